"""Feature columns as numbers a network can read: scales for numbers, vocabularies for text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import PricingError

MISSING, UNKNOWN = 0, 1
_KNOTS = 17


class FeatureError(PricingError):
    """A feature column is not of the type it had when the encoding was fit."""


class Features(NamedTuple):
    """One group of features of R rows: numeric (R, numbers) float32, codes (R, texts) int64."""

    numeric: Tensor
    codes: Tensor


Record = TypeVar("Record", bound=tuple[Any, ...])


def take(record: Record, index: Tensor) -> Record:
    """Return the rows of `index` (N,) of every tensor in a named tuple."""
    return _each(record, lambda tensor: tensor[index])


def move(record: Record, device: torch.device) -> Record:
    """Return a named tuple with every tensor on `device`; numbers stay what they are."""
    return _each(record, lambda tensor: tensor.to(device))


def _each(record: Record, change: Callable[[Tensor], Tensor]) -> Record:
    def changed(part: Any) -> Any:
        if isinstance(part, tuple):
            return _each(part, change)
        return change(part) if isinstance(part, Tensor) else part

    return type(record)(*map(changed, record))


@dataclass(frozen=True)
class Vocabulary:
    """The text values seen often enough in training; every other value shares one index."""

    values: tuple[str, ...]

    @classmethod
    def fit(cls, column: pd.Series, minimum_count: int) -> Self:
        """Keep the values with at least `minimum_count` rows, in alphabetical order."""
        counts = column.dropna().astype(str).value_counts()
        return cls(tuple(sorted(str(value) for value in counts.index[counts >= minimum_count])))

    def __len__(self) -> int:
        return len(self.values) + 2

    def encode(self, column: pd.Series) -> NDArray[np.int64]:
        """Return indices (rows,): 0 missing, 1 not in the vocabulary, 2 and up its values."""
        codes, seen = pd.factorize(column)  # look up each distinct value once, not each row
        known = pd.Index(self.values, dtype=object).get_indexer(pd.Index(seen.astype(str), dtype=object))
        index = np.append(np.where(known < 0, UNKNOWN, known + 2), MISSING)
        return index[codes].astype(np.int64)


@dataclass(frozen=True)
class Scale:
    """A number's place between its smallest (0) and largest (1) value in training, by quantiles.

    A skewed number is spread out, and one that outgrows its training range stays at the edge of it, where the
    network has been, instead of pulling a price to where it has not. `missing` says whether it ever was.
    """

    knots: tuple[float, ...]
    missing: bool

    @classmethod
    def fit(cls, values: NDArray[np.float64]) -> Self:
        """Learn the quantiles of the finite values."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return cls((0.0,), True)
        knots = np.unique(np.quantile(finite, np.linspace(0, 1, _KNOTS)))
        return cls(tuple(knots.tolist()), len(finite) < len(values))

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return places from 0 to 1 (rows,), NaN where the value is not finite."""
        places = np.interp(values, self.knots, np.linspace(0, 1, len(self.knots)))
        return np.where(np.isfinite(values), places, np.nan)


@dataclass(frozen=True)
class FeatureGroup:
    """Scales and vocabularies of the columns that one encoder of the network reads."""

    numeric: dict[str, Scale]
    text: dict[str, Vocabulary]

    @classmethod
    def fit(cls, frame: pd.DataFrame, columns: list[str], minimum_count: int) -> Self:
        """Learns the statistics of `columns` from the rows of `frame`."""
        numbers = [name for name in columns if is_number(frame[name])]
        texts = [name for name in columns if name not in numbers]
        return cls(
            {name: Scale.fit(number_column(frame, name)) for name in numbers},
            {name: Vocabulary.fit(text_column(frame, name), minimum_count) for name in texts},
        )

    @property
    def width(self) -> int:
        """Columns of `Features.numeric`: each number, then an indicator for those that can be missing."""
        return len(self.numeric) + sum(scale.missing for scale in self.numeric.values())

    @property
    def vocabulary_size(self) -> int:
        """Rows of the one embedding table that all texts of the group share."""
        return sum(len(vocabulary) for vocabulary in self.text.values())

    def numbers(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Return the numbers' places (rows, numbers), NaN where missing."""
        columns = [scale.encode(number_column(frame, name)) for name, scale in self.numeric.items()]
        return _stack(columns, len(frame), np.dtype("float32"))

    def texts(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """Vocabulary indices (rows, texts), each column counting from 0."""
        columns = [vocabulary.encode(text_column(frame, name)) for name, vocabulary in self.text.items()]
        return _stack(columns, len(frame), np.dtype("int64"))

    def encode(self, frame: pd.DataFrame, masked: NDArray[np.bool_] | None = None) -> Features:
        """Tensors of every row; the rows of `masked` carry nothing of their values."""
        numbers, codes = self.numbers(frame), self.texts(frame)
        flagged = [scale.missing for scale in self.numeric.values()]
        missing = np.isnan(numbers)
        known = np.where(missing, np.where(flagged, 0.0, 0.5), numbers)  # the middle where none was ever missing
        numeric = np.concatenate([known, missing[:, flagged]], axis=1, dtype="float32")
        if masked is not None:
            numeric[masked], codes[masked] = 0.0, MISSING
        offsets = np.cumsum([0, *map(len, self.text.values())], dtype="int64")[:-1]
        return Features(torch.from_numpy(numeric), torch.from_numpy(codes + offsets))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "numeric": {name: [list(s.knots), s.missing] for name, s in self.numeric.items()},
            "text": {name: list(vocabulary.values) for name, vocabulary in self.text.items()},
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the group that `to_dict` described."""
        return cls(
            {name: Scale(tuple(knots), missing) for name, (knots, missing) in state["numeric"].items()},
            {name: Vocabulary(tuple(values)) for name, values in state["text"].items()},
        )


def is_number(column: pd.Series) -> bool:
    """Whether a feature column is read as a number (bool included) rather than as text."""
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise FeatureError(f"feature {column.name!r} is a time; give it as a number, such as days before now")
    return pd.api.types.is_numeric_dtype(column)


def number_column(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return a numeric feature (rows,), all NaN where the frame does not have it.

    Raises:
        FeatureError: the column holds text where training saw numbers.

    """
    if name not in frame:
        return np.full(len(frame), np.nan)
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column) and column.isna().all():
        return np.full(len(frame), np.nan)
    if not is_number(column):
        example = column.dropna().iloc[0]
        raise FeatureError(f"feature {name!r} was a number in training and now holds {example!r}; convert it")
    return column.to_numpy("float64", na_value=np.nan)


def text_column(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a text column, all missing where the frame does not have it."""
    return frame[name] if name in frame else pd.Series(None, index=frame.index, dtype="str", name=name)


def _stack(columns: list[NDArray[Any]], rows: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    if not columns:
        return np.empty((rows, 0), dtype)
    return np.stack(columns, axis=1).astype(dtype, copy=False)
