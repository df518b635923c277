"""What a pricing policy would have earned on offers whose prices were drawn at random with a known density.

A target price is valued by the logged offers whose price lies near it, each weighted by a kernel around the target
over the density of the price that was shown (Kallus & Zhou, Policy Evaluation and Optimization with Continuous
Treatments, AISTATS 2018). Weights divide by their own sum (SNIPS; Swaminathan & Joachims, NeurIPS 2015), and the
doubly robust form (Dudík et al., ICML 2011) weights only what a demand model left unexplained. The intervals are
linearised and clustered by user. With weights of 1{action = target} / probability the same estimators are those of
discrete actions.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from models.demand.demand_curve import DemandCurve
from models.demand.recalibration import recalibrate
from models.errors import PricingError

Array = NDArray[np.float64]

BANDWIDTH = 0.6  # half-width of the kernel in widths of the drawn range, before it shrinks by explored^(-1/5)
NARROWINGS = (1.0, 0.5, 0.25, 0.125)  # of it that are tried, for logs that drew most prices near the target
LEAST_TICKS = 2.0  # of half-width
ONE_SIDED = 0.95


class OffPolicyError(PricingError, ValueError):
    """Logged offers that cannot be evidence: nothing is known of how their prices were drawn."""


@dataclass(frozen=True)
class ExploredOffers:
    """Offers whose price was drawn with a known density; every array is (rows,).

    Args:
        ratio: price / list price that was shown.
        density: with which it was drawn, per unit of price / list price.
        purchased: 1 where the offer was taken, else 0.
        list_price, unit_cost: in money.
        units: at stake.
        weight: inverse sampling probability.
        user: number of each offer's user, 0 to users - 1.
        users: how many there are, with those who have no such offer.
        lowest, highest: the logged support, price / list price between which every price had a density above 0.
        drawn_range: the width of price / list price that prices of the product were drawn over, of which an offer's own
            support may be a part.
        tick: how far apart the prices are that could be drawn, as price / list price; 0 where any could.

    Raises:
        OffPolicyError: there is no offer, or a density or the width of a support is not above 0.

    """

    ratio: Array
    density: Array
    purchased: Array
    list_price: Array
    unit_cost: Array
    units: Array
    weight: Array
    user: NDArray[np.int64]
    users: int
    lowest: Array
    highest: Array
    drawn_range: Array
    tick: Array

    def __post_init__(self) -> None:
        if not len(self.ratio):
            raise OffPolicyError("no offer has a density; log the propensity of explored prices")
        for name, values in (("density", self.density), ("width of the support", self.highest - self.lowest)):
            if not (values > 0).all():
                worst = float(values[~(values > 0)][0])
                raise OffPolicyError(f"the {name} is {worst}, but must be above 0: leave such offers out")

    def __len__(self) -> int:
        return len(self.ratio)

    def margin(self, ratio: Array) -> Array:
        """Return what one purchase at a price ratio earns (rows,), in money."""
        return np.asarray(self.units * (ratio * self.list_price - self.unit_cost))

    @property
    def profit(self) -> Array:
        """What each offer earned (rows,), in money."""
        return self.margin(self.ratio) * self.purchased


@dataclass(frozen=True)
class Estimate:
    """A value, in money an offer, and how far each user moved it: `by_user` (users,) sums to about its error."""

    value: float
    by_user: Array

    @classmethod
    def mean(cls, amount: Array, weight: Array, user: NDArray[np.int64], users: int) -> Self:
        """Return the weighted mean of amounts (rows,)."""
        total = weight.sum()
        value = float(weight @ amount / total)
        moved = np.bincount(user, weight * (amount - value) / total, users)
        return cls(value, np.asarray(moved, np.float64))

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value + other.value, self.by_user + other.by_user)

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.by_user - other.by_user)

    def times(self, factor: float) -> "Estimate":
        """Return a multiple of the estimate."""
        return Estimate(factor * self.value, factor * self.by_user)

    @property
    def standard_error(self) -> float:
        """Clustered by user, with the usual correction for few of them (CR1)."""
        users = int((self.by_user != 0).sum())
        return float(np.sqrt((self.by_user**2).sum() * users / max(users - 1, 1)))

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound, each one-sided at 95 %."""
        users = int((self.by_user != 0).sum())
        reach = float(student.ppf(ONE_SIDED, max(users - 1, 1))) * self.standard_error
        return self.value - reach, self.value + reach


@dataclass(frozen=True)
class Target:
    """A policy to be valued: its prices, and the weights that make the logged offers look like its own.

    Args:
        ratio: its price / list price (rows,), inside the logged support.
        weights: of the logged offers (rows,); their mean is 1 in expectation where the support is as stated.
        is_covered: whether its price was inside the support (rows,) before it was moved to the nearest end.

    """

    ratio: Array
    weights: Array
    is_covered: NDArray[np.bool_]

    def mean_weight(self, offers: ExploredOffers) -> Estimate:
        """Return the mean weight, which is 1 where densities and support are right."""
        return Estimate.mean(self.weights, offers.weight, offers.user, offers.users)

    def effective_sample(self, offers: ExploredOffers) -> float:
        """Return Kish's effective number of offers."""
        return effective_sample(offers.weight * self.weights)


def kernel_target(offers: ExploredOffers, ratio: Array) -> Target:
    """Return a policy of one price an offer (rows,), weighted by an Epanechnikov kernel around it.

    The kernel's half-width is BANDWIDTH × the width of the drawn range × explored^(-1/5), the rate that balances
    squared bias and variance; `explored` are the effective offers of a policy that spreads over the whole range. Of
    NARROWINGS of it the one with the most effective offers is taken, without a look at any outcome: where a log drew
    most prices close to the target, the narrow one has both less bias and less variance.
    """
    inside = np.clip(ratio, offers.lowest, offers.highest)
    width = offers.highest - offers.lowest
    everywhere = effective_sample(offers.weight / (offers.density * width))
    half_width = BANDWIDTH * offers.drawn_range * everywhere**-0.2
    narrowest = LEAST_TICKS * offers.tick  # a kernel between two prices that could be shown would see none
    tried = [kernel(offers, inside, np.maximum(share * half_width, narrowest)) / offers.density for share in NARROWINGS]
    weights = max(tried, key=lambda weights: effective_sample(offers.weight * weights))
    # The ends of the support are the outermost prices logged: the true ones lie a little further out.
    return Target(inside, weights, np.abs(ratio - inside) <= half_width / 4)


def kernel(offers: ExploredOffers, target: Array, half_width: Array) -> Array:
    """Return the kernel's density around the target at each logged price (rows,).

    It integrates to 1 and has its mean at the target inside the support, also where the target is near an end of it:
    there it is the linear boundary kernel (Jones, Statistics and Computing 1993), which keeps the bias of second
    order, and up to twice as wide, which makes up for the side it lacks.
    """
    lost = 1 - _moments(*_ends(offers, target, half_width))[0]
    wide = half_width * (1 + 2 * lost)
    zeroth, first, second = _moments(*_ends(offers, target, wide))
    distance = (offers.ratio - target) / wide
    is_inside = (np.abs(distance) < 1) & (offers.lowest <= offers.ratio) & (offers.ratio <= offers.highest)
    shape = 0.75 * (1 - distance**2) * (second - first * distance) / (zeroth * second - first**2)
    return np.where(is_inside, shape / wide, 0.0)


def logged_policy(offers: ExploredOffers) -> Target:
    """Return the policy that drew the logged prices."""
    return Target(offers.ratio, np.ones(len(offers)), np.ones(len(offers), dtype=bool))


def self_normalised(offers: ExploredOffers, target: Target) -> Estimate:
    """Return the mean profit of a policy by weights alone (SNIPS)."""
    # A purchase is worth what it would have earned at the target's own price.
    earned = offers.margin(target.ratio) * offers.purchased
    return _weighted(offers, target.weights, earned)


def doubly_robust(offers: ExploredOffers, target: Target, outcome: DemandCurve) -> Estimate:
    """Return the mean profit of a policy as a demand model predicts it, corrected by what the log shows of its errors.

    `outcome` (rows,) must come from other offers' outcomes (see `cross_fitted`). Whatever it says, the estimate is
    right where the densities are, but for what the kernel smooths; the better it is, the narrower the interval.
    """
    predicted = offers.margin(target.ratio) * outcome.purchase_probability(target.ratio)
    missed = offers.purchased - outcome.purchase_probability(offers.ratio)
    correction = _weighted(offers, target.weights, offers.margin(target.ratio) * missed)
    return _mean(offers, predicted) + correction


def surplus_uplift(offers: ExploredOffers, target: Array, other: Array, outcome: DemandCurve) -> Estimate:
    """Return the mean consumer surplus that prices `target` give over prices `other` (rows,), in money an offer.

    Between two prices the surplus is the area under the demand curve, and purchases at logged prices that lie between
    them measure it: E[1{between} · purchased / density]. No kernel is needed; the demand model only lowers variance.
    """
    first, second = (outcome.consumer_surplus(ratio, offers.list_price) for ratio in (target, other))
    between = (offers.ratio > target).astype("float64") - (offers.ratio > other)
    missed = (offers.purchased - outcome.purchase_probability(offers.ratio)) / offers.density
    return _mean(offers, offers.units * (first - second + offers.list_price * between * missed))


def surplus_uplift_over_logged(offers: ExploredOffers, target: Array, outcome: DemandCurve) -> Estimate:
    """Return the same over the logged prices, by the demand model alone: their distribution is not logged."""
    first, second = (outcome.consumer_surplus(ratio, offers.list_price) for ratio in (target, offers.ratio))
    return _mean(offers, offers.units * (first - second))


def cross_fitted(offers: ExploredOffers, curve: DemandCurve) -> DemandCurve:
    """Return the demand curves (rows,) corrected for each half of the users by what the other half bought.

    A kernel sees prices beside the target's, and a correction by them is right as far as the outcome model bends as
    demand does; a challenger that takes users for far more or less sensitive than they are must not profit from that.
    Every half fits level and both slopes (see `models.demand.recalibration`), its offers weighted as if their prices
    had been spread evenly over the logged range, so that nothing that moved the usual prices can reach the fit.
    """
    evenly = offers.weight / (offers.density * (offers.highest - offers.lowest))
    half = offers.user % 2
    sensitivity, valuation = curve.sensitivity.copy(), curve.valuation.copy()
    for number in (0, 1):
        there, here = half != number, half == number
        recalibration = recalibrate(curve.take(there), offers.ratio[there], offers.purchased[there], evenly[there])
        corrected = recalibration.apply(curve.take(here))
        sensitivity[here], valuation[here] = corrected.sensitivity, corrected.valuation
    return DemandCurve(sensitivity, valuation)


def effective_sample(weights: Array) -> float:
    """Return Kish's effective number of rows, (Σw)² / Σw²."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def _mean(offers: ExploredOffers, amount: Array) -> Estimate:
    return Estimate.mean(amount, offers.weight, offers.user, offers.users)


def _weighted(offers: ExploredOffers, weights: Array, amount: Array) -> Estimate:
    return Estimate.mean(amount, offers.weight * weights, offers.user, offers.users)


def _ends(offers: ExploredOffers, target: Array, half_width: Array) -> tuple[Array, Array]:
    """The part of [-1, 1] that the support leaves of the kernel (rows,), (rows,)."""
    return (
        np.maximum((offers.lowest - target) / half_width, -1.0),
        np.minimum((offers.highest - target) / half_width, 1.0),
    )


def _moments(low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Zeroth to second moment of 0.75 (1 - u²) over [low, high]."""

    def upto(u: Array) -> tuple[Array, Array, Array]:
        return 0.75 * (u - u**3 / 3), 0.75 * (u**2 / 2 - u**4 / 4), 0.75 * (u**3 / 3 - u**5 / 5)

    first, last = upto(low), upto(high)
    return last[0] - first[0], last[1] - first[1], last[2] - first[2]
