"""Portfolio constraints (stock, discount budget, least volume and revenue), each met by one multiplier."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.pricing.certificate import MAXIMUM_DUALITY_GAP, ConstraintState
from models.pricing.objective import Objective
from models.pricing.shadow_prices import ChargedObjective, ShadowPrices

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]

NO_POOL = -1
TOTALS = ("discount_budget", "minimum_volume", "minimum_revenue")  # in this order after the pools
TOLERANCE = 1e-5  # of each limit: how closely a charged constraint binds
SPARE = 1e-4  # of each limit: what is worth giving back
FARTHEST = 1e4  # list prices: a limit that is not kept at such a multiplier is out of reach
STEPS, ROUNDS, TIGHTENINGS, GIVE_BACKS, BISECTIONS = 80, 200, 25, 6, 12


class Offer(NamedTuple):
    """Prices as the multipliers make them, float64 ``[n]``: the best admissible ones, and those shown."""

    best: FloatArray
    shown: FloatArray


@dataclass(frozen=True)
class PriceResponse:
    """How prices answer to shadow prices: any real price inside the guardrails, and the admissible ones.

    ``tick`` is the distance between neighbouring admissible prices, in money (0: any price is admissible).
    """

    relaxed: Callable[[ShadowPrices], FloatArray]
    admissible: Callable[[ShadowPrices], Offer]
    tick: float = 0.0


@dataclass(frozen=True)
class Portfolio:
    """Rows priced together: what each is worth, how many units are at stake, which pool it sells from.

    ``objective`` is before any charge; ``quantity`` float64 ``[n]``; ``pool`` int64 ``[n]`` indexes
    ``remaining`` (units left, float64 ``[pools]``, all above zero) or is NO_POOL. A total limit that is
    None does not apply. ``may_run_out`` (bool ``[pools]``) marks stock that may be sold out early where no price
    is high enough; other stock is a limit like any.
    """

    objective: Objective
    quantity: FloatArray
    pool: NDArray[np.int64]
    remaining: FloatArray
    discount_budget: float | None = None
    minimum_volume: float | None = None
    minimum_revenue: float | None = None
    may_run_out: Flags | None = None

    @property
    def limits(self) -> FloatArray:
        """Limits of every constraint, pools first; an absent one is NaN."""
        totals = [getattr(self, name) for name in TOTALS]
        return np.concatenate([self.remaining, np.array(totals, dtype=np.float64)])

    @property
    def sides(self) -> FloatArray:
        """+1 where the limit is a most, −1 where it is a least."""
        return np.concatenate([np.ones(len(self.remaining) + 1), [-1.0, -1.0]])

    def usage(self, price: FloatArray) -> FloatArray:
        """Return what these prices use of each constraint, in expectation."""
        list_price, sales = self.objective.list_price, self.sales(price)
        pools = np.bincount(self.pool + 1, weights=sales, minlength=len(self.remaining) + 1)[1:]
        discount = np.maximum(list_price - price, 0.0) @ sales if self.discount_budget is not None else 0.0
        return np.concatenate([pools, [discount, sales.sum(), price @ sales]])

    def sales(self, price: FloatArray) -> FloatArray:
        """Return the units each row is expected to sell at its price."""
        return np.asarray(self.quantity * self.objective.curve.purchase_probability(price / self.objective.list_price))

    def shadow_prices(self, multipliers: FloatArray) -> ShadowPrices:
        """Return what each row is charged under these multipliers, one per constraint."""
        discount, volume, revenue = multipliers[len(self.remaining) :].tolist()
        bid_prices = np.append(multipliers[: len(self.remaining)], 0.0)  # NO_POOL takes the last
        return ShadowPrices(bid_prices[self.pool] - volume, revenue, discount)


Parts = Iterable[tuple[Portfolio, PriceResponse]]
"""The rows of one book under the same limits, gone through as often as prices are tried; each may be made anew."""


@dataclass(frozen=True)
class Trial:
    """What the prices of some multipliers amount to over all rows, in expectation.

    ``used`` is what the prices shown use of each constraint and ``best`` what the best admissible ones do; ``value`` is
    the objective of the latter, ``charged`` the same less the charges, and ``tick`` what use a tick of price moves, in
    money. ``highest`` is the highest of the best prices in each pool.
    """

    used: FloatArray
    best: FloatArray
    value: float
    charged: float
    tick: float
    highest: FloatArray


@dataclass(frozen=True)
class Solution:
    """The multipliers found, and the evidence that their prices are best.

    ``duality_gap`` is relative to the dual value, which no prices inside the same guardrails can exceed under
    the limits, less what exploration uses of them. ``rounding_bound`` is relative to it too: at the multipliers
    under which real prices use the limits up, admissible ones lie within a tick of them and use at most so much
    less.
    """

    multipliers: FloatArray
    states: tuple[ConstraintState, ...]
    objective: float
    duality_gap: float
    rounding_bound: float
    iterations: int


def solve(parts: Parts, pool_ids: list[str]) -> Solution:
    """Find the least multipliers under which the prices shown keep every limit.

    Each multiplier lowers the use of its own constraint monotonically, so it is found inside a bracket;
    where several bind they are settled in turn, which is coordinate descent on the convex dual. Rounding
    and exploration then move usage a little, so limits are tightened by what is left over until the prices
    shown keep them. Where no multiplier is enough the states of the solution say which constraint is
    violated. Of the rows only sums are kept, so that parts which are made anew are never held together.
    """
    search = _Search(parts)
    multipliers = search.set_aside()
    short, tightening = np.zeros_like(search.target), np.zeros_like(search.target)
    for attempt in range(TIGHTENINGS):
        multipliers = search.settle(multipliers, tightening)
        trial = search.offer(multipliers)
        excess = search.excess_of(trial.used)
        # Exploration may as well use less than the best prices would. What is given back moves the explored share of
        # them by nothing, so a little is left over, and given back again; but not where it once was too much.
        spare = np.where((multipliers > 0) & (excess < -SPARE) & (short == 0), excess, 0.0) * (attempt < GIVE_BACKS)
        if not (search.is_short(trial) | (spare < 0)).any():
            break
        short = np.where(excess > 0, multipliers, short)
        # by less than the tolerance no multiplier would move; coarse prices need ever more
        further = np.maximum(TOLERANCE * 1.5**attempt, tightening / 2)
        tightening = np.minimum(tightening + np.where(excess > 0, excess + further, spare), search.tightest)
    found = _evidence(search, multipliers, trial, pool_ids)
    if found.duality_gap <= MAXIMUM_DUALITY_GAP or any(not state.is_met for state in found.states):
        return found
    return _evidence(search, *_sharpened(search, short, multipliers, trial), pool_ids)


def _sharpened(search: "_Search", short: FloatArray, enough: FloatArray, found: Trial) -> tuple[FloatArray, Trial]:
    """Bisect towards the least multipliers whose admissible prices keep every limit.

    Where few rows share a pool and prices are coarse, use falls in steps and tightening overshoots the last
    one.
    """
    for _ in range(BISECTIONS):
        may_move = (short > 0) & (short < enough) & ~search.out_of_reach
        middle = np.where(may_move, (short + enough) / 2, enough)
        tried = search.offer(middle)
        is_short = search.is_short(tried)
        short = np.where(is_short, middle, short)
        if not is_short.any():
            enough, found = middle, tried
            continue
        mixed = np.where(is_short, enough, middle)  # pools do not touch each other, so most of the middle may stand
        tried = search.offer(mixed)
        if not search.is_short(tried).any():
            enough, found = mixed, tried
    return enough, found


class _Search:
    """The state of one search: how steeply usage answers to each multiplier, and the prices computed."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        sold = price = 0.0
        for portfolio, _ in parts:
            self.limits, self.sides, pools = portfolio.limits, portfolio.sides, len(portfolio.remaining)
            may_run_out = np.zeros(pools, bool) if portfolio.may_run_out is None else portfolio.may_run_out
            self.may_run_out = np.append(may_run_out, [False] * len(TOTALS))
            is_sold = portfolio.quantity > 0
            sold, price = sold + float(is_sold.sum()), price + float(portfolio.objective.list_price[is_sold].sum())
        self.target = np.log(self.limits)
        self.blocks = [slice(0, pools), *(slice(pools + i, pools + i + 1) for i in range(len(TOTALS)))]
        self.scale = np.full(len(self.target), price / sold if sold else 1.0)
        self.scale[[pools, pools + 2]] = 1.0  # a charge per unit of money has no unit
        self.slope = 3.0 / self.scale  # of the excess in the multiplier: a first guess, for an elasticity of −3
        self.out_of_reach = np.zeros(len(self.target), dtype=bool)
        self.runs_out = np.zeros(len(self.target), dtype=bool)
        self.tightest = np.full(len(self.target), np.inf)
        self.evaluations = 0

    def set_aside(self) -> FloatArray:
        """Find the stock that runs out even at the highest prices; returns the multipliers to begin with.

        Such stock is not searched for: it is charged so much that its prices stay the highest. Other stock is never
        tightened beyond what prices can reach.
        """
        pools, farthest = self.blocks[0], np.zeros_like(self.target)
        if not pools.stop:
            return farthest
        farthest[pools] = FARTHEST * self.scale[pools]
        least = self.offer(farthest)
        self.runs_out = self.may_run_out & (self.excess_of(least.used) > 0)
        self.out_of_reach |= self.runs_out
        self.tightest[pools] = np.maximum(-self.excess_of(least.best)[pools] - TOLERANCE, 0.0)
        return np.where(self.runs_out, farthest, 0.0)

    def excess_of(self, usage: FloatArray) -> FloatArray:
        """Log of usage over limit, nearly straight in the multiplier; above 0 is a violation."""
        with np.errstate(divide="ignore"):
            excess = self.sides * (np.log(usage) - self.target)
        return np.where(np.isnan(excess), -np.inf, excess)

    def is_short(self, trial: Trial) -> Flags:
        """Which limits the prices of a trial do not keep, of those that prices can keep."""
        return np.asarray((self.excess_of(trial.used) > 0) & ~self.out_of_reach)

    def excess(self, multipliers: FloatArray, tightening: FloatArray) -> FloatArray:
        self.evaluations += 1
        usage = np.zeros_like(self.target)
        for portfolio, response in self.parts:
            usage += portfolio.usage(response.relaxed(portfolio.shadow_prices(multipliers)))
        return self.excess_of(usage) + tightening

    def offer(self, multipliers: FloatArray) -> Trial:
        self.evaluations += 1
        used, best = np.zeros_like(self.target), np.zeros_like(self.target)
        value = charged = tick = 0.0
        highest = np.zeros_like(self.target)  # NO_POOL is the last, which is a total and has none
        for portfolio, response in self.parts:
            shadow = portfolio.shadow_prices(multipliers)
            offer = response.admissible(shadow)
            used += portfolio.usage(offer.shown)
            best += portfolio.usage(offer.best)
            value += float(portfolio.quantity @ portfolio.objective.value(offer.best))
            charged += float(portfolio.quantity @ ChargedObjective(portfolio.objective, shadow).value(offer.best))
            searched = np.where(self.runs_out, 0.0, multipliers)
            tick += _worth_of_a_tick(portfolio, response.tick, searched, offer.best)
            np.maximum.at(highest, portfolio.pool, np.where(portfolio.quantity > 0, offer.best, 0.0))
        return Trial(used, best, value, charged, tick, highest)

    def settle(self, multipliers: FloatArray, tightening: FloatArray) -> FloatArray:
        """Settle each kind of constraint in turn until all of them are settled together."""
        excess = self.excess(multipliers, tightening)
        for _ in range(ROUNDS):
            unsettled = ~_is_settled(multipliers, excess) & ~self.out_of_reach
            if not unsettled.any():
                break
            for block in self.blocks:
                if unsettled[block].any():
                    multipliers, excess = self.settle_block(multipliers, excess, tightening, block)
        return multipliers

    def settle_block(
        self, multipliers: FloatArray, excess: FloatArray, tightening: FloatArray, block: slice
    ) -> tuple[FloatArray, FloatArray]:
        """Return the least multipliers of this block that keep its limits, and the excess with them.

        Secant steps, each constraint in a bracket of its own that a step never leaves.
        """
        low, high = np.zeros_like(self.slope[block]), np.full_like(self.slope[block], np.inf)
        for _ in range(STEPS):
            here, over = multipliers[block], excess[block]
            low, high = np.where(over > 0, here, low), np.where(over <= 0, here, high)
            is_lost = (over > 0) & (here >= FARTHEST * self.scale[block])
            self.out_of_reach[block] |= is_lost
            is_open = ~_is_settled(here, over) & ~self.out_of_reach[block]
            if not is_open.any():
                break
            with np.errstate(invalid="ignore"):
                step = (over + TOLERANCE / 2) / self.slope[block]
            aimed = np.maximum(here + step, 0.0)
            between = np.where(np.isfinite(high), (low + high) / 2, 4 * here + self.scale[block])
            is_inside = (aimed >= low) & (aimed < np.minimum(high, between * 4)) & (aimed != here)
            there = np.where(is_open, np.where(is_inside, aimed, between), here)
            multipliers = multipliers.copy()
            multipliers[block] = there
            excess = self.excess(multipliers, tightening)
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                slope = (over - excess[block]) / (there - here)
                # held within a tenth and ten times the last, so that where usage is flat the steps grow
                slope = np.clip(slope, 0.1 * self.slope[block], 10 * self.slope[block])
            self.slope[block] = np.where(is_open & np.isfinite(slope), slope, self.slope[block])
        return multipliers, excess


def _is_settled(multipliers: FloatArray, excess: FloatArray) -> Flags:
    """Whether each constraint is kept, and binds where it is charged for."""
    is_binding = (multipliers == 0) | (excess >= -TOLERANCE)
    return np.asarray((excess <= 0) & is_binding)


def _evidence(search: _Search, multipliers: FloatArray, trial: Trial, pool_ids: list[str]) -> Solution:
    displaced = trial.used - trial.best  # what exploration itself uses
    limits = np.where(search.runs_out, trial.used, search.limits)  # these prices are the best of all that use no less
    dual = trial.charged + float(np.nansum(search.sides * multipliers * (limits - displaced)))
    size = max(abs(dual), float(np.finfo(float).tiny))
    gap, rounding = abs(dual - trial.value) / size, trial.tick / size
    # The least charge that certainly makes the same prices says more than the one that was searched with.
    discount, volume, revenue = multipliers[-len(TOTALS) :].tolist()
    highest = trial.highest * (1 + revenue + discount) + volume
    multipliers = np.where(search.runs_out, highest, multipliers)
    states = tuple(_states(search, multipliers, trial.used, pool_ids))
    return Solution(multipliers, states, trial.value, gap, rounding, search.evaluations)


def _worth_of_a_tick(portfolio: Portfolio, tick: float, multipliers: FloatArray, price: FloatArray) -> float:
    """What the use of the limits by which every charged row's price moves a tick is worth, in money."""
    sold = portfolio.quantity > 0
    bids = np.append(multipliers[: len(portfolio.remaining)], 0.0)[portfolio.pool]
    discount, volume, revenue = multipliers[len(portfolio.remaining) :].tolist()
    here, worth = portfolio.sales(price), np.zeros(len(price))
    for there in (price + tick, np.maximum(price - tick, 0.0)):
        sales = portfolio.sales(there)
        given = np.maximum(portfolio.objective.list_price - there, 0.0) * sales
        given -= np.maximum(portfolio.objective.list_price - price, 0.0) * here
        moved = (bids + volume) * np.abs(sales - here) + discount * np.abs(given)
        worth = np.maximum(worth, moved + revenue * np.abs(there * sales - price * here), where=sold, out=worth)
    return float(worth.sum())


def _states(
    search: _Search, multipliers: FloatArray, usage: FloatArray, pool_ids: list[str]
) -> Iterator[ConstraintState]:
    columns = (search.limits, usage, search.sides, multipliers, search.runs_out)
    names = [("stock", pool_id) for pool_id in pool_ids] + [(name, None) for name in TOTALS]
    for (name, pool_id), limit, used, side, multiplier, is_out in zip(
        names, *(column.tolist() for column in columns), strict=True
    ):
        if not np.isnan(limit):
            yield ConstraintState(name, pool_id, limit, used, side * (limit - used), multiplier, is_out)
