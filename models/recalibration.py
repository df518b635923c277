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
    if _enough(offers, randomised) and np.ptp(offers.price_ratio[randomised]) > 1e-6:
        return _fit(curve, offers, randomised, "randomised")
    if _enough(offers, validation):
        return _fit(curve, offers, validation, "level")
    return Recalibration()


def _enough(offers: Decisions, rows: NDArray[np.bool_]) -> bool:
    bought = offers.purchased[rows].sum()
    return bool(min(bought, rows.sum() - bought) >= _LEAST_OF_EACH_OUTCOME)


def _fit(
    curve: DemandCurve, offers: Decisions, rows: NDArray[np.bool_], method: Literal["randomised", "level"]
) -> Recalibration:
    b, v = curve.sensitivity[rows], curve.valuation[rows]
    columns = np.column_stack([np.ones(rows.sum()), b * (v - 1), b * (1 - offers.price_ratio[rows])])
    scale = (_SMALLEST_SCALE, None) if method == "randomised" else (1.0, 1.0)
    alpha, level, sensitivity = maximum_likelihood(
        columns,
        offers.purchased[rows],
        offers.weight[rows],
        np.array([0.0, 1.0, 1.0]),
        [(None, None), scale, scale],
    ).tolist()
    return Recalibration(alpha, level, sensitivity, method, int(rows.sum()))
