"""The logistic demand curve: how likely each decision's user is to buy at each price."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from models.errors import PricingError

FloatArray = NDArray[np.float64]


class DemandCurveError(PricingError):
    """A demand curve's arrays do not belong together."""


@dataclass(frozen=True)
class DemandCurve:
    """Purchase probability as a function of the price ratio, one curve per decision.

    P(buy) = σ(z) with z = b·(v − ρ), where ρ = price / list price, b is the sensitivity and v the valuation
    (the ratio at which the user buys half of the time).

    Shapes: ``sensitivity`` and ``valuation`` are float64 ``[n]``; every ratio must broadcast to ``[n]``.
    A row that is not finite, or whose sensitivity is not above 0, is kept and refused by ``models.pricing.decide``.
    Raises DemandCurveError when the two arrays are not one-dimensional and of one length.
    """

    sensitivity: FloatArray
    valuation: FloatArray

    def __post_init__(self) -> None:
        for name in ("sensitivity", "valuation"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        shapes = self.sensitivity.shape, self.valuation.shape
        if self.sensitivity.ndim != 1 or shapes[0] != shapes[1]:
            raise DemandCurveError(
                f"sensitivity has shape {shapes[0]} and valuation {shapes[1]}: give two arrays of shape [n]"
            )

    def __len__(self) -> int:
        return len(self.sensitivity)

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice) -> "DemandCurve":
        """Return the curves at these positions, or where the mask is true."""
        return DemandCurve(self.sensitivity[index], self.valuation[index])

    @classmethod
    def joined(cls, curves: Sequence["DemandCurve"]) -> "DemandCurve":
        """Return the curves of all of these, in order."""
        return cls(
            np.concatenate([curve.sensitivity for curve in curves]), np.concatenate([c.valuation for c in curves])
        )

    def logit(self, price_ratio: ArrayLike) -> FloatArray:
        """Return z = b·(v − ρ), the log-odds of a purchase at this price ratio."""
        return np.asarray(self.sensitivity * (self.valuation - np.asarray(price_ratio, np.float64)))

    def purchase_probability(self, price_ratio: ArrayLike) -> FloatArray:
        """Return P(buy) = σ(z) at this price ratio."""
        return np.asarray(expit(self.logit(price_ratio)))

    def elasticity(self, price_ratio: ArrayLike) -> FloatArray:
        """Return the own-price elasticity of demand, d log P / d log ρ = −b·ρ·(1 − P)."""
        ratio = np.asarray(price_ratio, np.float64)
        return np.asarray(-self.sensitivity * ratio * expit(-self.logit(ratio)))

    def consumer_surplus(self, price_ratio: ArrayLike, list_price: ArrayLike) -> FloatArray:
        """Return the expected consumer surplus in money, L·log(1 + e^z) / b.

        The log-sum of a binary logit over the marginal utility of money (Small & Rosen, Econometrica 1981).
        """
        surplus_ratio = np.logaddexp(0.0, self.logit(price_ratio)) / self.sensitivity
        return np.asarray(surplus_ratio * np.asarray(list_price, np.float64))
