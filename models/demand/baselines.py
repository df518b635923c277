"""What a demand model must beat: a constant rate, a linear regression and gradient boosted trees."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from models.features.decisions import Decisions
from models.features.encoding import Encoding

Array = NDArray[np.float64]
_EDGE = 1e-4  # a linear probability outside (0, 1) would have an infinite log loss


class PurchaseModel(Protocol):
    """Anything that says how likely a purchase is at a price."""

    def probability(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Purchase probability (rows,) at price / list price (rows,)."""
        ...


@dataclass(frozen=True)
class ConstantRate:
    """The training part's purchase rate, whoever and whatever the price."""

    rate: float

    @classmethod
    def fit(cls, training: Decisions) -> Self:
        """Return the weighted purchase rate."""
        return cls(float(np.average(training.purchased, weights=training.weight)))

    def probability(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Return the same rate on every row, whatever the price."""
        return np.full(len(decisions), self.rate)


@dataclass(frozen=True)
class Table:
    """The price ratio, then numbers, then each text as the purchase rate seen with its value (TargetEncoder)."""

    encoding: Encoding
    rates: TargetEncoder

    @classmethod
    def fit(cls, training: Decisions, encoding: Encoding, seed: int) -> tuple[Self, Array]:
        """Return the table's rates, and the training rows with cross-fit rates, so that no row sees its own outcome."""
        rates = TargetEncoder(target_type="continuous", cv=KFold(5, shuffle=True, random_state=seed))
        numbers, codes = _parts(training, encoding)
        rated = rates.fit_transform(codes, training.purchased)
        return cls(encoding, rates), np.column_stack([training.price_ratio, numbers, rated])

    def rows(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Rows to predict (rows, columns)."""
        numbers, codes = _parts(decisions, self.encoding)
        return np.column_stack([price_ratio, numbers, self.rates.transform(codes)])


@dataclass(frozen=True)
class LinearRegression:
    """A linear probability model (least squares with a trace of ridge), clipped to a probability."""

    table: Table
    regression: Ridge

    @classmethod
    def fit(cls, training: Decisions, encoding: Encoding, seed: int) -> Self:
        """Weighted least squares."""
        table, rows = Table.fit(training, encoding, seed)
        return cls(table, Ridge(1.0).fit(np.nan_to_num(rows), training.purchased, sample_weight=training.weight))

    def probability(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Clipped linear prediction (rows,)."""
        predicted = self.regression.predict(np.nan_to_num(self.table.rows(decisions, price_ratio)))
        return np.asarray(np.clip(predicted, _EDGE, 1 - _EDGE))


@dataclass(frozen=True)
class BoostedTrees:
    """Gradient boosted trees whose probability never rises with the price."""

    table: Table
    trees: HistGradientBoostingClassifier

    @classmethod
    def fit(cls, training: Decisions, encoding: Encoding, seed: int, iterations: int = 200) -> Self:
        """At most `iterations` trees, fewer where a tenth of the rows stops improving."""
        table, rows = Table.fit(training, encoding, seed)
        falling = np.zeros(rows.shape[1], dtype="int64")
        falling[0] = -1
        trees = HistGradientBoostingClassifier(
            max_iter=iterations, monotonic_cst=falling, early_stopping=True, random_state=seed
        )
        return cls(table, trees.fit(rows, training.purchased, sample_weight=training.weight))

    def probability(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Predicted probability (rows,)."""
        return np.asarray(self.trees.predict_proba(self.table.rows(decisions, price_ratio))[:, 1])


def _parts(decisions: Decisions, encoding: Encoding) -> tuple[Array, NDArray[np.int64]]:
    flat = encoding.flat(decisions)
    codes = [name for name in flat.columns if name.endswith("_code")]
    return flat.drop(columns=codes).to_numpy("float64"), flat[codes].to_numpy("int64")
