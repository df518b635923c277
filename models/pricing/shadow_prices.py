"""Shadow prices: what a unit of each portfolio constraint is worth, and the objective that charges for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.pricing.objective import Objective, closed_form

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ShadowPrices:
    """One multiplier per constraint, none below zero; the default charges for nothing.

    ``unit`` (float64 ``[n]`` or one number) is the bid price of the stock a row sells from less the bonus
    for volume, in money per unit sold. ``revenue`` is the bonus per unit of money taken, ``discount`` the
    charge per unit of money given away below the list price.
    """

    unit: FloatArray | float = 0.0
    revenue: float = 0.0
    discount: float = 0.0

    @property
    def is_charged(self) -> NDArray[np.bool_]:
        """Whether anything moves the row's price."""
        return np.not_equal(self.unit, 0.0) | (self.revenue > 0) | (self.discount > 0)


@dataclass(frozen=True)
class BookTerms:
    """What pricing a whole book decided for its rows, stored with it so that a later row is priced alike.

    ``bid_prices`` is what a unit of each pool's stock is worth, in money; a pool without one is not scarce.
    ``volume_bonus`` is in money per unit, ``revenue_bonus`` and ``discount_charge`` per unit of money.
    ``parity_band`` is how far, as a share, a personal price may be from the uniform price (None: anywhere).
    """

    bid_prices: Mapping[str, float] = field(default_factory=dict)
    volume_bonus: float = 0.0
    revenue_bonus: float = 0.0
    discount_charge: float = 0.0
    parity_band: float | None = None

    def shadow_prices(self, decisions: pd.DataFrame) -> ShadowPrices:
        """Return what these decisions are charged.

        Where one has a ``bid_price`` of its own, set since the book, it takes the place of its pool's.
        """
        unit = np.full(len(decisions), -self.volume_bonus)
        if ("pool_id" in decisions and self.bid_prices) or "bid_price" in decisions:
            unit = unit + self.bid_prices_of(decisions)
        return ShadowPrices(unit, self.revenue_bonus, self.discount_charge)

    def bid_prices_of(self, decisions: pd.DataFrame) -> FloatArray:
        """Return the bid price of each decision (rows,), 0 where its stock is not scarce."""
        nothing = pd.Series(np.nan, decisions.index)
        own = decisions.get("bid_price", nothing).astype("float64")
        of_book = decisions.get("pool_id", nothing).map(dict(self.bid_prices))
        return np.asarray(own.fillna(of_book).fillna(0.0), np.float64)


@dataclass(frozen=True)
class ChargedObjective:
    """The Lagrangian of one row: its objective less what its sales, revenue and discount are charged.

    (1 + μ)·p·P − (c + λ)·P − η·max(L − p, 0)·P + θ·surplus, with λ, μ, η the unit, revenue and discount
    shadow prices. Written in P instead of p it is concave, so it too rises to one maximum and falls after
    it.
    """

    objective: Objective
    shadow: ShadowPrices

    def value(self, price: FloatArray) -> FloatArray:
        """Return the objective less the charges at this price, in money."""
        plain, shadow = self.objective, self.shadow
        charge = shadow.unit - shadow.revenue * price
        if shadow.discount > 0:
            charge = charge + shadow.discount * np.maximum(plain.list_price - price, 0.0)
        return np.asarray(plain.value(price) - charge * plain.curve.purchase_probability(price / plain.list_price))

    def optimum(self) -> FloatArray:
        """Return the best price, in closed form on either side of the list price, where discounts begin."""
        above = self._optimum_where(discount=0.0)
        if self.shadow.discount == 0:
            return above
        list_price = self.objective.list_price
        below = self._optimum_where(self.shadow.discount)
        return np.where(above >= list_price, above, np.minimum(below, list_price))

    def _optimum_where(self, discount: float) -> FloatArray:
        plain, shadow = self.objective, self.shadow
        scale = 1.0 + shadow.revenue + discount  # of the price in the margin; the rest follows divided by it
        cost = (plain.marginal_cost + shadow.unit + discount * plain.list_price) / scale
        weight = plain.satisfaction_weight / scale
        return closed_form(replace(plain, marginal_cost=cost, satisfaction_weight=weight))
