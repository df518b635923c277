"""The feature table every model reads: one row a pricing decision, with its user's earlier events beside it."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import PricingError
from models.features.content import ProductContent

USER_PREFIXES = ("user_attr_", "activity_")
PAIR_PREFIXES = ("pair_",)
PERSONAL_PREFIXES = USER_PREFIXES + PAIR_PREFIXES
PRODUCT_PREFIXES = ("product_attr_",)
CONTEXT_PREFIXES = ("market_", "context_", "calendar_")
SHARED_PREFIXES = PRODUCT_PREFIXES + CONTEXT_PREFIXES
INSTRUMENT_PREFIXES = ("instrument_",)

DECISION_COLUMNS = (
    "decision_id",
    "user_id",
    "product_id",
    "decided_at",
    "list_price",
    "events_start",
    "events_end",
)
EVENT_COLUMNS = ("kind", "product_id", "category", "dwell_seconds", "occurred_at")

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class DecisionsError(PricingError):
    """The decisions are not the table a model can read."""


class EmptySplitError(DecisionsError):
    """A split by time would leave a part without decisions."""


@dataclass(frozen=True)
class Decisions:
    """Offers or requests with everything known before each of them was decided.

    Args:
        frame: one row a decision; features are told apart by their column prefix.
        events: ordered by user, then time; decision i has seen `events.iloc[events_start[i]:events_end[i]]`.
        content: what the products' texts and images say, where they have any.

    Raises:
        DecisionsError: a column is missing, a list price is not positive, or a window leaves the events.

    """

    frame: pd.DataFrame
    events: pd.DataFrame
    content: ProductContent | None = None

    def __post_init__(self) -> None:
        _require(self.frame, DECISION_COLUMNS, "decisions")
        _require(self.events, EVENT_COLUMNS, "events")
        unpriced = ~(self.list_price > 0)
        if unpriced.any():
            worst = self.frame["decision_id"].to_numpy()[unpriced][:3].tolist()
            raise DecisionsError(f"list_price must be above 0; it is not for decisions {worst}")
        start, end = self.events_window
        outside = (start < 0) | (start > end) | (end > len(self.events))
        if outside.any():
            worst = self.frame["decision_id"].to_numpy()[outside][:3].tolist()
            raise DecisionsError(f"events_start..events_end leaves the {len(self.events)} events for {worst}")

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, rows: Flags | NDArray[np.int64]) -> Self:
        """Return the decisions of a boolean mask or of row numbers, over the same events and content."""
        picked = self.frame.loc[rows] if rows.dtype == np.bool_ else self.frame.iloc[rows]
        return type(self)(picked.reset_index(drop=True), self.events, self.content)

    def join(self, other: Self) -> Self:
        """Return both parts of one log, this one's rows first.

        Raises:
            DecisionsError: they do not share their events.

        """
        if other.events is not self.events:
            raise DecisionsError("the two parts have events of their own; join parts of one log only")
        return type(self)(pd.concat([self.frame, other.frame], ignore_index=True), self.events, self.content)

    def features(self, prefixes: tuple[str, ...]) -> list[str]:
        """Return the names of the feature columns that start with one of `prefixes` and hold any value."""
        named = [name for name in self.frame.columns if str(name).startswith(prefixes)]
        return [name for name in named if self.frame[name].notna().any()]

    @property
    def list_price(self) -> Floats:
        """List price in currency (rows,)."""
        return self.frame["list_price"].to_numpy("float64")

    @property
    def price_ratio(self) -> Floats:
        """Price shown over list price (rows,); offers only."""
        return self._offered("price") / self.list_price

    @property
    def purchased(self) -> Floats:
        """1 where the offer was taken, else 0 (rows,); offers only."""
        return self._offered("purchased")

    @property
    def weight(self) -> Floats:
        """Inverse sampling probability (rows,), 1 where nothing was sampled."""
        return self._optional("weight", 1.0)

    @property
    def randomised(self) -> Flags:
        """Whether the price was drawn at random (rows,)."""
        return self._optional("randomised", 0.0) > 0

    @property
    def unconfounded(self) -> Flags:
        """Whether nothing unrecorded can have moved the price (rows,): it was drawn, or the platform itself set it."""
        return self.randomised | (self._optional("quoted", 0.0) > 0)

    @property
    def consent(self) -> Flags:
        """Whether personal data may be read (rows,); absent means it may."""
        return self._optional("consent", 1.0) > 0

    @property
    def events_window(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First event and one past the last event known at each decision (rows,), (rows,)."""
        return self.frame["events_start"].to_numpy("int64"), self.frame["events_end"].to_numpy("int64")

    @property
    def decided_at(self) -> NDArray[np.int64]:
        """Time of each decision in microseconds since 1970, UTC (rows,)."""
        return microseconds(self.frame["decided_at"])

    def _offered(self, column: str) -> Floats:
        _require(self.frame, (column,), "offers")
        return self.frame[column].to_numpy("float64")

    def _optional(self, column: str, default: float) -> Floats:
        if column not in self.frame:
            return np.full(len(self), default)
        values = self.frame[column].to_numpy("float64", na_value=np.nan)
        return np.where(np.isnan(values), default, values)


class Split(NamedTuple):
    """Three parts in time order."""

    train: Decisions
    validation: Decisions
    test: Decisions


def split_by_time(decisions: Decisions, holdout_days: float = 28, validation_days: float = 14) -> Split:
    """Hold out the last `holdout_days` as test and the `validation_days` before them as validation.

    Where the two would take more than half of the span, they take its last fifth and the tenth before it.

    Raises:
        EmptySplitError: a part would have no decision.

    """
    decided = decisions.decided_at
    if not len(decided):
        raise EmptySplitError("there are no decisions to split; collect offers first")
    last, span = decided.max(), decided.max() - decided.min()
    holdout, validation = holdout_days * _DAY, validation_days * _DAY
    if holdout + validation > span / 2:
        holdout, validation = span / 5, span / 10
    test_from, validation_from = last - holdout, last - holdout - validation
    is_test = decided > test_from
    is_validation = (decided > validation_from) & ~is_test
    masks = {"train": ~is_test & ~is_validation, "validation": is_validation, "test": is_test}
    for part, mask in masks.items():
        if not mask.any():
            raise EmptySplitError(
                f"the {part} part of {len(decided)} decisions over {span / _DAY:.1f} days is empty; "
                "offers must be spread over more points in time"
            )
    return Split(**{part: decisions.select(mask) for part, mask in masks.items()})


def microseconds(times: pd.Series) -> NDArray[np.int64]:
    """Aware times as microseconds since 1970, UTC."""
    return times.to_numpy("datetime64[us]").astype("int64")


_DAY = 86_400_000_000


def _require(frame: pd.DataFrame, columns: tuple[str, ...], table: str) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise DecisionsError(f"{table} lack the columns {missing}; they have {sorted(map(str, frame.columns))}")
