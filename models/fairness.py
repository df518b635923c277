"""Parity of personal prices between groups of users: measured on the prices, never an input to them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GroupPrice:
    """Mean price of one group relative to the uniform price, with a confidence interval clustered by user."""

    group: str
    users: int
    decisions: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Parity:
    """How mean prices compare between groups; ``gap`` is the highest group's over the lowest's, less 1."""

    groups: tuple[GroupPrice, ...]

    @property
    def gap(self) -> float:
        """0 where every group pays alike, or where there are fewer than two."""
        means = [group.mean for group in self.groups]
        return max(means) / min(means) - 1 if means else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON holds it."""
        return asdict(self) | {"gap": self.gap}


@dataclass(frozen=True)
class ParityReport:
    """Parity of the prices offered, and of those paid: each decision weighted by its expected sales."""

    offered: Parity
    demand_weighted: Parity

    @property
    def gap(self) -> float:
        """The wider of the two gaps, which a parity bound limits."""
        return max(self.offered.gap, self.demand_weighted.gap)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {"offered": self.offered.to_dict(), "demand_weighted": self.demand_weighted.to_dict()}


def price_parity(prices: pd.DataFrame, user_id: pd.Series, group: ArrayLike, confidence: float = 0.95) -> ParityReport:
    """Compare what groups of users are offered, relative to the uniform price of the same product.

    Relative prices compare like with like when groups look at different products. ``prices`` is the table
    of `models.pricing.price_decisions`; ``group`` has one label a row, and rows without one, or refused,
    are left out. The mean of a group is Σ w·price / Σ w·uniform price; its interval is the linearised
    ratio's with users as clusters (Cochran, Sampling Techniques, 1977, section 6).
    """
    table = pd.DataFrame(
        {
            "user": pd.factorize(user_id)[0],
            "group": pd.Series(group, dtype=object).to_numpy(),
            "price": prices["price"].to_numpy(),
            "uniform": prices["uniform_price"].to_numpy(),
            "demand": prices["purchase_probability"].to_numpy(),
        }
    ).dropna()
    even = 1.0 / table["uniform"]  # so that every decision counts alike, whatever its product costs
    z = float(norm.ppf((1 + confidence) / 2))
    return ParityReport(
        Parity(tuple(_group_prices(table, even, z))), Parity(tuple(_group_prices(table, table["demand"], z)))
    )


def _group_prices(table: pd.DataFrame, weight: pd.Series, z: float) -> Iterator[GroupPrice]:
    paid, reference = weight * table["price"], weight * table["uniform"]
    for name, rows in table.groupby("group").groups.items():
        mean = paid[rows].sum() / reference[rows].sum()
        residual = (paid[rows] - mean * reference[rows]).groupby(table.loc[rows, "user"]).sum()
        users = len(residual)
        spread = z * np.sqrt((residual**2).sum() * users / max(users - 1, 1)) / reference[rows].sum()
        yield GroupPrice(str(name), users, len(rows), mean, mean - spread, mean + spread)
