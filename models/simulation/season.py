"""A simulated selling season: requests meet stock that perishes, priced by bid prices that follow the pick-up."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import PricingError
from models.features.decisions import Decisions
from models.pricing.policy import PricingPolicy
from models.simulation.marketplace import Marketplace
from models.simulation.season_pricing import (
    CurveOf,
    ModelPricer,
    OraclePricer,
    StockPricer,
    bid_prices,
    highest_profit,
)
from models.simulation.surplus import true_surplus
from models.simulation.visits import REQUEST_DAYS

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
StockControl = Literal["re-solved", "solved once", "ignored"]

RECENT = 100  # last decisions of a pool whose curves stand for those to come
_PRIOR_HOURS = 24.0  # of a pool's own pick-up that weigh as much as its share of the log
_PRIOR_UNITS = 20.0  # of a pool's own sales, the same against what was expected of it
_RATE_DAYS = 28
_HOUR = 3_600_000_000


class SeasonError(PricingError):
    """A marketplace without a season of scarce stock, or steps that are none."""


@dataclass(frozen=True)
class Season:
    """Requests in order of arrival, the offers before them, and the stock they meet.

    Args:
        marketplace: whose truth answers the prices.
        decisions: recent offers of the log, then all requests, by time.
        requests_from: row of the first request.
        hour: of each decision since the season opened (rows,); offers of the log are below 0.
        pool: each decision's (rows,), an index of `pool_ids`.
        pool_ids: one a product.
        stock: units at the opening (pools,).
        log_rate: requests an hour (pools,) by the log's last weeks.

    """

    marketplace: Marketplace
    decisions: Decisions
    requests_from: int
    hour: Array
    pool: Integers
    pool_ids: tuple[str, ...]
    stock: Array
    log_rate: Array

    @classmethod
    def of(cls, marketplace: Marketplace, stock: Mapping[str, float] | None = None) -> Self:
        """Return the season of a marketplace's requests, with its own capacities or other ones by pool.

        Raises:
            SeasonError: it has no pools, or a product sells from more than one.

        """
        if "inventory" not in marketplace.tables:
            raise SeasonError(f"the domain {marketplace.config.domain!r} has no pools of stock; take hotel")
        asked = marketplace.requests.frame[["pool_id", "product_id"]].drop_duplicates().sort_values("pool_id")
        if asked["product_id"].duplicated().any():
            raise SeasonError(
                f"the requests after {marketplace.config.days} days span two weeks of stock; make days a multiple of 7"
            )
        capacity = marketplace.tables["inventory"].set_index("pool_id")["capacity"] if stock is None else stock
        past, requests = marketplace.log.frame, marketplace.requests.frame.sort_values("decided_at")
        past = past[past["product_id"].isin(asked["product_id"])].sort_values("decided_at")
        recent = past[past["decided_at"] > past["decided_at"].max() - pd.Timedelta(days=_RATE_DAYS)]
        of_product = pd.Index(asked["product_id"])
        offered = np.bincount(of_product.get_indexer(pd.Index(recent["product_id"])), minlength=len(asked))
        past = past.groupby("product_id").tail(RECENT)
        frame = pd.concat([past, requests], ignore_index=True)
        decisions = Decisions(frame, marketplace.requests.events, marketplace.requests.content)
        at = decisions.decided_at
        return cls(
            marketplace=marketplace,
            decisions=decisions,
            requests_from=len(past),
            hour=(at - at[len(past) :].min(initial=at.max(initial=0))) / _HOUR,
            pool=of_product.get_indexer(pd.Index(frame["product_id"])).astype(np.int64),
            pool_ids=tuple(asked["pool_id"]),
            stock=np.array([float(capacity[pool]) for pool in asked["pool_id"]]),
            log_rate=(offered + 1) / (_RATE_DAYS * 24.0),
        )

    @property
    def hours(self) -> float:
        """How long it sells."""
        return REQUEST_DAYS * 24.0

    @property
    def requests(self) -> Integers:
        """Rows of the requests."""
        return np.arange(self.requests_from, len(self.decisions))

    @cached_property
    def quantity(self) -> Array:
        """Units at stake in each decision (rows,)."""
        return self.decisions.frame["quantity"].to_numpy("float64")

    @cached_property
    def highest(self) -> Array:
        """The highest price in each pool (pools,)."""
        ceiling = self.decisions.frame["ceiling"].groupby(self.pool).max()
        return ceiling.reindex(range(len(self.stock)), fill_value=0.0).to_numpy("float64")

    @cached_property
    def oracle(self) -> OraclePricer:
        """The truth of every decision."""
        return OraclePricer.of(self.marketplace, self.decisions)

    @cached_property
    def bound(self) -> float:
        """Expected profit that no policy exceeds, see `highest_profit`."""
        rows = self.requests
        return highest_profit(self.oracle.select(rows), self.quantity[rows], self.pool[rows], self.stock, self.highest)

    def pricer(self, curve_of: CurveOf, uniform_curve_of: CurveOf, policy: PricingPolicy, currency: str) -> ModelPricer:
        """Return the pricer of a demand model under a policy."""
        decisions = self.decisions
        return ModelPricer.of(decisions, curve_of(decisions), uniform_curve_of(decisions), policy, currency)

    def pick_up(self, now: float) -> tuple[Integers, Array]:
        """Return the rows that stand for the requests still to come, and the units expected of each (rows,).

        The last decisions seen of each pool are its mix. Requests still to come are the remaining hours times a rate:
        the pool's own pick-up, shrunk to its share of the log at the pace of all pools together (a Gamma-Poisson
        forecast). Nothing after `now` is read.
        """
        seen = int(np.searchsorted(self.hour, now))
        known = np.bincount(self.pool[self.requests_from : seen], minlength=len(self.stock))
        pace = (1 + known.sum()) / (1 + self.log_rate.sum() * now)
        rate = (self.log_rate * pace * _PRIOR_HOURS + known) / (_PRIOR_HOURS + now)
        from_the_end = pd.Series(self.pool[:seen][::-1]).groupby(self.pool[:seen][::-1]).cumcount().to_numpy()[::-1]
        rows = np.flatnonzero(from_the_end < RECENT)
        mixed = np.bincount(self.pool[rows], minlength=len(self.stock))
        to_come = rate * (self.hours - now)
        return rows, self.quantity[rows] * (to_come / np.maximum(mixed, 1))[self.pool[rows]]


@dataclass(frozen=True)
class SeasonResult:
    """What a season brought.

    Args:
        profit: of the units sold, in money.
        surplus: true consumer surplus expected of all prices shown, in money.
        sold: units.
        refused: requests that met a sold-out pool.
        mean_price_ratio: price / list price of the prices shown, NaN where there were none.
        left: units of each pool at the end (pools,).
        bid_price: of each step and pool (steps, pools).

    """

    profit: float
    surplus: float
    sold: float
    refused: int
    mean_price_ratio: float
    left: Array
    bid_price: Array


def run_season(
    season: Season, pricer: StockPricer, control: StockControl, seed: int, step_hours: float = 6.0
) -> SeasonResult:
    """Sell a season; equal seeds meet equal users, so that two ways of pricing can be compared request by request.

    Re-solving bid prices as stock and forecast move is the self-adjusting control of Jasin (Operations Research
    2014). Prices hold for a step; a request whose pool has too little left is refused.

    Args:
        season: what is asked for, and the stock.
        pricer: one row each of `season.decisions`.
        control: bid prices solved again at every step, at the opening only, or no bid prices.
        seed: of the users' answers.
        step_hours: from one price to the next.

    Raises:
        SeasonError: a step is not longer than 0.

    """
    if not step_hours > 0:
        raise SeasonError(f"a step of {step_hours} hours is none; give more than 0")
    return _Sale(season, pricer, seed).run(control, step_hours)


class _Sale:
    """The state of one season: stock left, prices shown and units sold so far."""

    def __init__(self, season: Season, pricer: StockPricer, seed: int) -> None:
        self.season, self.pricer = season, pricer
        self.left = season.stock.copy()
        self.draw = np.random.default_rng(seed).random(len(season.requests))
        self.price = np.full(len(season.decisions), np.nan)  # NaN: not shown
        self.units, self.expected = np.zeros((2, len(season.decisions)))

    def run(self, control: StockControl, step_hours: float) -> SeasonResult:
        path, bid = [], np.zeros(len(self.left))
        for now in np.arange(0.0, self.season.hours, step_hours).tolist():
            if control == "re-solved" or (control == "solved once" and now == 0):
                bid = self.bid_prices(now)
            path.append(bid)
            first, end = np.searchsorted(self.season.hour, [now, now + step_hours]).tolist()
            self.sell(first, end, bid)
        return self.result(np.array(path))

    def bid_prices(self, now: float) -> Array:
        season = self.season
        rows, units = season.pick_up(now)
        units = units * self.appetite()[season.pool[rows]]
        return bid_prices(self.pricer.select(rows), units, season.pool[rows], self.left, season.highest)

    def appetite(self) -> Array:
        """Return sales so far over those expected at the same prices (pools,), each shrunk to that of all pools."""
        pool, pools = self.season.pool, len(self.left)
        sold, expected = (np.bincount(pool, units, pools) for units in (self.units, self.expected))
        of_all = (_PRIOR_UNITS + sold.sum()) / (_PRIOR_UNITS + expected.sum())
        return np.asarray((_PRIOR_UNITS * of_all + sold) / (_PRIOR_UNITS + expected))

    def sell(self, first: int, end: int, bid: Array) -> None:
        """Price the requests of one step and hand out stock in the order they came."""
        season = self.season
        rows = np.arange(max(first, season.requests_from), end)
        rows = rows[self.left[season.pool[rows]] >= season.quantity[rows]]
        pricer = self.pricer.select(rows)
        price = pricer.price(bid[season.pool[rows]])
        decisions = season.decisions.select(rows)
        chance = season.marketplace.purchase_probability(decisions, price / decisions.list_price)
        would_buy = self.draw[rows - season.requests_from] < chance
        wanted = np.where(would_buy, season.quantity[rows], 0.0)
        table = pd.DataFrame({"pool": season.pool[rows], "wanted": wanted})
        so_far = table.groupby("pool")["wanted"].cumsum().to_numpy()
        stock = self.left[season.pool[rows]]
        is_served = so_far - wanted + season.quantity[rows] <= stock
        sold = np.where(is_served, wanted, 0.0)
        self.price[rows] = np.where(is_served, price, np.nan)
        self.units[rows] = sold
        self.expected[rows] = np.where(is_served, season.quantity[rows] * pricer.probability(price), 0.0)
        self.left -= np.bincount(season.pool[rows], sold, len(self.left))

    def result(self, path: Array) -> SeasonResult:
        shown = np.flatnonzero(np.isfinite(self.price))
        decisions, price = self.season.decisions.select(shown), self.price[shown]
        ratio = price / decisions.list_price
        margin = price - decisions.frame["unit_cost"].to_numpy("float64")
        return SeasonResult(
            profit=float(self.units[shown] @ margin),
            surplus=float(true_surplus(self.season.marketplace, decisions, ratio).sum()),
            sold=float(self.units.sum()),
            refused=len(self.season.requests) - len(shown),
            mean_price_ratio=float(ratio.mean()) if len(shown) else float("nan"),
            left=self.left,
            bid_price=path,
        )
