"""Corrects a demand curve with decisions whose price was drawn at random, which no confounding can reach."""

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
_SMALLEST_SCALE = 0.05
_SMALLEST_RANGE = 1e-6  # of price / list price; without one no slope can be fit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recalibration:
    """P(buy) = sigmoid(alpha + s1 b (v - 1) + s2 b (1 - price ratio)).

    `method` says what was fit: all three on `rows` randomised offers, the level alone on the newest, or nothing.
    `measured_scale` is what these offers alone say of s2, before any prior.
    """

    alpha: float = 0.0
    level_scale: float = 1.0
    sensitivity_scale: float = 1.0
    method: Literal["randomised", "level", "identity"] = "identity"
    rows: int = 0
    measured_scale: float = 1.0

    def apply(self, curve: DemandCurve) -> DemandCurve:
        """Return the corrected curve: b' = s2 b and v' = 1 + (alpha + s1 b (v - 1)) / b'."""
        sensitivity = self.sensitivity_scale * curve.sensitivity
        level = self.alpha + self.level_scale * curve.sensitivity * (curve.valuation - 1)
        return DemandCurve(sensitivity, 1 + level / sensitivity)

    def at_level(self, log_odds: Array, purchased: Array, weight: Array) -> Self:
        """Return the same with the level that best fits offers (rows,) whose log-odds, corrected by it, are given."""
        if not _enough(purchased):
            return self
        columns = np.column_stack([np.ones(len(log_odds)), log_odds])
        start, bounds = np.array([0.0, 1.0]), [OPEN, (1.0, 1.0)]
        shift, _ = maximum_likelihood(columns, purchased, weight, start, bounds).tolist()
        moved = replace(self, alpha=self.alpha + shift)
        return replace(moved, method="level", rows=len(purchased)) if self.method == "identity" else moved

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the recalibration that `to_dict` described."""
        return cls(**state)


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


def _enough(purchased: Array) -> bool:
    bought = purchased.sum()
    return bool(min(bought, len(purchased) - bought) >= _LEAST_OF_EACH_OUTCOME)
