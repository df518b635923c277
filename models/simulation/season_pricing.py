"""Prices that follow the bid price of scarce stock: by demand curves under a policy, or by a marketplace's truth."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.demand.demand_curve import DemandCurve
from models.features.decisions import Decisions
from models.pricing.inputs import PricingInputs, read_inputs
from models.pricing.policy import Guardrails, PricingPolicy
from models.pricing.row_prices import best_prices
from models.pricing.shadow_prices import ShadowPrices
from models.simulation.marketplace import Marketplace

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
CurveOf = Callable[[Decisions], DemandCurve]

# Everyone pays the list price, where it lies between floor and ceiling.
LIST_PRICE = PricingPolicy(guardrails=Guardrails(maximum_markup=0.0, maximum_discount=0.0))
BISECTIONS = 24
_RATIOS = 129


class StockPricer(Protocol):
    """Decisions whose best price, and the sales expected at it, follow what a unit of their stock is worth."""

    def select(self, rows: Integers) -> Self:
        """Return the same for some of the rows."""

    def price(self, bid_price: Array) -> Array:
        """Return the best price (rows,) where a sale also costs the bid price (rows,), both in money."""

    def probability(self, price: Array) -> Array:
        """Return the expected probability of purchase (rows,) at a price (rows,)."""

    def margin(self, price: Array) -> Array:
        """Return price less unit cost (rows,)."""


@dataclass(frozen=True)
class ModelPricer:
    """Prices as the platform sets them: closed form at cost plus bid price, inside the policy's guardrails."""

    given: PricingInputs
    policy: PricingPolicy
    currency: str

    @classmethod
    def of(
        cls, decisions: Decisions, curve: DemandCurve, uniform_curve: DemandCurve, policy: PricingPolicy, currency: str
    ) -> Self:
        """Return the pricer of decisions with their curves; the errors are those of `read_inputs`."""
        return cls(read_inputs(decisions.frame, curve, uniform_curve, None, None), policy, currency)

    def select(self, rows: Integers) -> Self:
        """Return the same for some of the rows."""
        columns: dict[str, Any] = {
            name: column.take(rows) if isinstance(column, DemandCurve) else column[rows]
            for name, column in vars(self.given).items()
        }
        return replace(self, given=PricingInputs(**columns))

    def price(self, bid_price: Array) -> Array:
        """Return the best admissible price (rows,), in money."""
        return best_prices(self.given, self.policy, self.currency, ShadowPrices(bid_price)).personal.price

    def probability(self, price: Array) -> Array:
        """Return what the curves expect at a price (rows,)."""
        return self.given.curve.purchase_probability(price / self.given.list_price)

    def margin(self, price: Array) -> Array:
        """Return price less unit cost (rows,)."""
        return price - self.given.unit_cost


@dataclass(frozen=True)
class OraclePricer:
    """Prices of someone who knows the truth of every decision: the best of a grid over the full guardrail range.

    `prices` and `probabilities` are (rows, grid).
    """

    prices: Array
    probabilities: Array
    unit_cost: Array

    @classmethod
    def of(cls, marketplace: Marketplace, decisions: Decisions) -> Self:
        """Tabulate the truth of a marketplace's decisions."""
        ratios = np.linspace(*marketplace.bounds(decisions), _RATIOS)
        probabilities = [marketplace.purchase_probability(decisions, ratio) for ratio in ratios]
        cost = decisions.frame["unit_cost"].to_numpy("float64")
        return cls((ratios * decisions.list_price).T, np.stack(probabilities, axis=1), cost)

    def select(self, rows: Integers) -> Self:
        """Return the same for some of the rows."""
        return type(self)(self.prices[rows], self.probabilities[rows], self.unit_cost[rows])

    def price(self, bid_price: Array) -> Array:
        """Return the price (rows,) of the highest true profit at cost plus bid price."""
        profits = self.probabilities * (self.prices - (self.unit_cost + bid_price)[:, None])
        return np.asarray(self.prices[np.arange(len(profits)), profits.argmax(axis=1)])

    def probability(self, price: Array) -> Array:
        """Return the truth at a price (rows,), interpolated."""
        first, width = self.prices[:, 0], np.maximum(self.prices[:, -1] - self.prices[:, 0], np.finfo(float).tiny)
        place = np.clip((price - first) / width, 0, 1) * (_RATIOS - 1)
        below = np.minimum(place.astype(np.int64), _RATIOS - 2)
        rows, share = np.arange(len(place)), place - below
        return np.asarray((1 - share) * self.probabilities[rows, below] + share * self.probabilities[rows, below + 1])

    def margin(self, price: Array) -> Array:
        """Return price less unit cost (rows,)."""
        return price - self.unit_cost


def bid_prices(pricer: StockPricer, units: Array, pool: Integers, stock: Array, highest: Array) -> Array:
    """Return the least bid price of each pool (pools,), in money, at which expected sales fit its stock.

    The fluid approximation of network revenue management (Gallego & van Ryzin, Management Science 1994); one pool
    does not touch another, so all are bisected side by side. It asks of demand only that it falls in price, so that
    a model and a truth of any form are priced alike; `models.pricing.portfolio.solve` gives the same multipliers.

    Args:
        pricer: of rows; what is not yet known may be a sample that stands for it.
        units: expected units at stake in each row (rows,).
        pool: of each row (rows,), an index of `stock`.
        stock: units left (pools,).
        highest: bid price (pools,) that is certainly enough, such as the highest price; it is also the answer where
            no price is high enough.

    """

    def fits(bid: Array) -> NDArray[np.bool_]:
        charged = bid[pool]
        sold = units * pricer.probability(pricer.price(charged))
        return np.bincount(pool, sold, len(stock)) <= stock

    low, high = np.zeros(len(stock)), np.where(fits(np.zeros(len(stock))), 0.0, highest)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        enough = fits(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def highest_profit(oracle: OraclePricer, units: Array, pool: Integers, stock: Array, highest: Array) -> float:
    """Return what no pricing of these requests can exceed in expectation: the fluid bound with hindsight.

    It knows every request and its true curve, and keeps stock in expectation only. Any bid price gives a bound, by
    weak duality; those of `bid_prices` give the lowest.
    """
    bid = bid_prices(oracle, units, pool, stock, highest)
    price = oracle.price(bid[pool])
    charged = units * oracle.probability(price) * (oracle.margin(price) - bid[pool])
    return float(charged.sum() + bid @ stock)
