"""Parity of personal prices between groups of users: measured on the prices, never an input to them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm


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
    of `models.pricing.decide.price_decisions`; ``group`` has one label a row, and rows without one, or refused,
    are left out. The mean of a group is Σ w·price / Σ w·uniform price; its interval is the linearised
    ratio's with users as clusters (Cochran, Sampling Techniques, 1977, section 6).
    """
    tally = ParityTally()
    tally.add(prices, user_id, group)
    return tally.report(confidence)


class ParityTally:
    """The same comparison where prices come in blocks: of each user only sums are kept."""

    def __init__(self) -> None:
        self._sums: list[pd.DataFrame] = []

    def add(self, prices: pd.DataFrame, user_id: pd.Series, group: ArrayLike) -> None:
        """Take in a block; arguments as in `price_parity`."""
        table = pd.DataFrame(
            {
                "user": user_id.to_numpy(),
                "group": pd.Series(group, dtype=object).to_numpy(),
                "price": prices["price"].to_numpy(),
                "uniform": prices["uniform_price"].to_numpy(),
                "demand": prices["purchase_probability"].to_numpy(),
            }
        ).dropna()
        # offered: every decision counts alike, whatever its product costs; paid: by its expected sales
        sums = pd.DataFrame(
            {
                "user": table["user"],
                "group": table["group"],
                "decisions": 1,
                "offered": table["price"] / table["uniform"],
                "offered_at_uniform": 1.0,
                "paid": table["demand"] * table["price"],
                "paid_at_uniform": table["demand"] * table["uniform"],
            }
        )
        self._sums.append(sums.groupby(["group", "user"], as_index=False).sum())

    def report(self, confidence: float = 0.95) -> ParityReport:
        """Return the comparison of all blocks so far."""
        users = pd.concat(self._sums, ignore_index=True).groupby(["group", "user"], as_index=False).sum()
        z = float(norm.ppf((1 + confidence) / 2))
        offered, paid = (tuple(_group_prices(users, weighting, z)) for weighting in ("offered", "paid"))
        return ParityReport(Parity(offered), Parity(paid))


def _group_prices(users: pd.DataFrame, weighting: str, z: float) -> Iterator[GroupPrice]:
    for name, rows in users.groupby("group"):
        paid, reference = rows[weighting], rows[f"{weighting}_at_uniform"]
        mean = paid.sum() / reference.sum()
        residual, count = paid - mean * reference, len(rows)
        spread = z * np.sqrt((residual**2).sum() * count / max(count - 1, 1)) / reference.sum()
        yield GroupPrice(str(name), count, int(rows["decisions"].sum()), mean, mean - spread, mean + spread)
