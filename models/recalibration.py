"""Corrects a demand curve with decisions whose price was drawn at random, which no confounding can reach."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from models.decisions import Decisions
from models.demand_curve import DemandCurve
from models.logistic import maximum_likelihood

ALARM_SENSITIVITY_SCALE = 1.4
_LEAST_OF_EACH_OUTCOME = 100  # purchases and refusals needed before two slopes and a level are fit
_SMALLEST_SCALE = 0.05
_SMALLEST_RANGE = 1e-6  # of price / list price; without one no slope can be fit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recalibration:
    """P(buy) = sigmoid(alpha + s1 b (v - 1) + s2 b (1 - price ratio)).

    `method` says what was fit: all three on randomised rows, the level alone on validation rows, or nothing.
    """

    alpha: float = 0.0
    level_scale: float = 1.0
    sensitivity_scale: float = 1.0
    method: Literal["randomised", "level", "identity"] = "identity"
    rows: int = 0

    @property
    def alarm(self) -> bool:
        """Whether randomised prices show far more sensitivity than the model: confounding remains."""
        return self.sensitivity_scale > ALARM_SENSITIVITY_SCALE

    def apply(self, curve: DemandCurve) -> DemandCurve:
        """Return the corrected curve: b' = s2 b and v' = 1 + (alpha + s1 b (v - 1)) / b'."""
        sensitivity = self.sensitivity_scale * curve.sensitivity
        level = self.alpha + self.level_scale * curve.sensitivity * (curve.valuation - 1)
        return DemandCurve(sensitivity, 1 + level / sensitivity)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the recalibration that `to_dict` described."""
        return cls(**state)


def fit_recalibration(curve: DemandCurve, offers: Decisions, *, validation: NDArray[np.bool_]) -> Recalibration:
    """Fits all three numbers on the randomised offers, else the level on the `validation` ones, else nothing.

    Args:
        curve: the model's curve of every offer, at residual 0.
        offers: decisions with price and outcome.
        validation: offers the model was not fit on (rows,).

    """
    randomised = offers.randomised
    drawn = offers.price_ratio[randomised]
    found = recalibrate(curve.take(randomised), drawn, offers.purchased[randomised], offers.weight[randomised])
    if found.method == "identity" and _enough(offers.purchased[validation]):
        shown, bought, weight = (values[validation] for values in (offers.price_ratio, offers.purchased, offers.weight))
        return _fit(curve.take(validation), shown, bought, weight, "level")
    return found


def recalibrate(curve: DemandCurve, ratio: Array, purchased: Array, weight: Array) -> Recalibration:
    """Fit all three numbers to what was bought at prices drawn at random, all of them (rows,), where that is enough."""
    if _enough(purchased) and np.ptp(ratio) > _SMALLEST_RANGE:
        return _fit(curve, ratio, purchased, weight, "randomised")
    return Recalibration()


def _enough(purchased: Array) -> bool:
    bought = purchased.sum()
    return bool(min(bought, len(purchased) - bought) >= _LEAST_OF_EACH_OUTCOME)


def _fit(
    curve: DemandCurve, ratio: Array, purchased: Array, weight: Array, method: Literal["randomised", "level"]
) -> Recalibration:
    b, v = curve.sensitivity, curve.valuation
    columns = np.column_stack([np.ones(len(b)), b * (v - 1), b * (1 - ratio)])
    scale = (_SMALLEST_SCALE, None) if method == "randomised" else (1.0, 1.0)
    alpha, level, sensitivity = maximum_likelihood(
        columns, purchased, weight, np.array([0.0, 1.0, 1.0]), [(None, None), scale, scale]
    ).tolist()
    return Recalibration(alpha, level, sensitivity, method, len(b))
