"""Corrects a demand curve by what it was not learnt from.

In this order: it is averaged over the demand that nobody recorded, which moved the logged prices and will move sales
again; its slopes are fit to decisions whose price was drawn at random, which no confounding can reach; and it is moved
to the level, and shrunk to the spread, of offers it has not seen.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from models.demand.demand_curve import DemandCurve
from models.demand.logistic import OPEN, maximum_likelihood

_LEAST_OF_EACH_OUTCOME = 100  # purchases and refusals needed before two slopes and a level are fit
# Of an s2 below 1. Some hundred drawn prices leave s2 open by a third, and users taken for far less sensitive than they
# are cost more than the correction gains; thousands of draws, or a wide range, are hardly held back. What confounding
# hides is sensitivity, so that an s2 above 1 is believed as it is.
PRIOR_SD = 0.25
SPREAD_PRIOR_SD = 0.1  # of how far a curve is shrunk to the spread of offers it has not seen: some thousand tell it
_SMALLEST_SCALE = 0.05
_SMALLEST_RANGE = 1e-6  # of price / list price; without one no slope can be fit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recalibration:
    """P(buy) = sigmoid(alpha + s1 b (v - 1) + s2 b (1 - price ratio)).

    `method` says what it rests on: all three numbers on `rows` offers whose price was drawn, level and spread alone on
    the newest, or nothing. `measured_scale` is what drawn prices alone say of s2, of the averaged curve's sensitivity
    and before any prior.
    """

    alpha: float = 0.0
    level_scale: float = 1.0
    sensitivity_scale: float = 1.0
    method: Literal["randomised", "newest", "identity"] = "identity"
    rows: int = 0
    measured_scale: float = 1.0

    def apply(self, curve: DemandCurve) -> DemandCurve:
        """Return the corrected curve: b' = s2 b and v' = 1 + (alpha + s1 b (v - 1)) / b'."""
        sensitivity = self.sensitivity_scale * curve.sensitivity
        level = self.alpha + self.level_scale * curve.sensitivity * (curve.valuation - 1)
        return DemandCurve(sensitivity, 1 + level / sensitivity)

    def then(self, later: Self) -> Self:
        """Return both corrections as one; it rests on drawn prices where one of them does."""
        rests_on_later = later.method == "randomised" or (later.method == "newest" and self.method != "randomised")
        source = later if rests_on_later else self
        return replace(
            source,
            alpha=later.alpha + later.level_scale * self.alpha,
            level_scale=later.level_scale * self.level_scale,
            sensitivity_scale=later.sensitivity_scale * self.sensitivity_scale,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the recalibration that `to_dict` described."""
        return cls(**state)


def averaging(spread: float) -> float:
    """Return what log-odds are multiplied by to be those of the mean probability, if they spread normally by `spread`.

    MacKay, The Evidence Framework Applied to Classification Networks (Neural Computation 1992). The mean over what
    moved the logged prices is the average structural function of Blundell & Powell (2003): at a residual of 0 lies the
    typical week, whose demand answers prices more sharply than that of all weeks does.
    """
    return float(1 / np.sqrt(1 + np.pi / 8 * spread**2))


def recalibrate(
    curve: DemandCurve, ratio: Array, purchased: Array, weight: Array, prior_sd: float = np.inf
) -> Recalibration:
    """Fit all three numbers to what was bought at prices drawn at random, all of them (rows,), where that is enough.

    `curve` is the model's at residual 0. Where less sensitivity than the model's is measured, it is drawn towards the
    model's by a normal prior of `prior_sd`.
    """
    if not _enough(purchased) or np.ptp(ratio) <= _SMALLEST_RANGE:
        return Recalibration()
    b, v = curve.sensitivity, curve.valuation
    columns = np.column_stack([np.ones(len(b)), b * (v - 1), b * (1 - ratio)])
    scale = (_SMALLEST_SCALE, None)
    start, bounds = np.array([0.0, 1.0, 1.0]), [OPEN, scale, scale]
    given = columns, purchased, weight, start, bounds
    measured = maximum_likelihood(*given)
    is_believed = measured[2] >= 1 or np.isinf(prior_sd)
    held = measured if is_believed else maximum_likelihood(*given, precision=np.array([0, 0, prior_sd**-2]))
    alpha, level, sensitivity = held.tolist()
    return Recalibration(alpha, level, sensitivity, "randomised", len(b), float(measured[2]))


def fit_newest(log_odds: Array, purchased: Array, weight: Array, explained: NDArray[np.bool_]) -> Recalibration:
    """Fit level and spread of log-odds (rows,) to what was bought of offers (rows,) that they were not learnt from.

    Log-odds that were learnt with noise lie too far apart for other offers (Guo et al., ICML 2017). Their spread is
    fit to the `explained` offers (rows,) alone: where unknown demand moved the price, too small a spread would make up
    for it. With too few of those only the level moves.
    """
    if not _enough(purchased):
        return Recalibration()
    columns, start = np.column_stack([np.ones(len(log_odds)), log_odds]), np.array([0.0, 1.0])
    spread = 1.0
    if _enough(purchased[explained]):
        told = columns[explained], purchased[explained], weight[explained]
        prior = np.array([0, SPREAD_PRIOR_SD**-2])
        spread = float(maximum_likelihood(*told, start, [OPEN, (_SMALLEST_SCALE, None)], precision=prior)[1])
    level = float(maximum_likelihood(columns, purchased, weight, np.array([0.0, spread]), [OPEN, (spread, spread)])[0])
    return Recalibration(level, spread, spread, "newest", len(purchased))


def _enough(purchased: Array) -> bool:
    bought = purchased.sum()
    return bool(min(bought, len(purchased) - bought) >= _LEAST_OF_EACH_OUTCOME)
