"""Two policies on the same simulated requests, judged by the truth and not by the model that set the prices."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.demand_curve import DemandCurve
from models.demand.metrics import Estimate
from models.pricing.book_request import BookRequest
from models.pricing.fairness import ParityReport, price_parity
from models.pricing.guardrails import RULES
from models.pricing.policy import PricingPolicy
from models.pricing.price_book import PriceBook, price_book
from models.simulation.marketplace import Marketplace, MarketplaceError
from models.simulation.season_pricing import CurveOf, OraclePricer, bid_prices
from models.simulation.surplus import true_surplus

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

REPLICATES = 500
_BOUNDS = set(RULES) - {"price_ending"}  # which rounds every price and holds none


class Figure(NamedTuple):
    """A figure of a policy: the sum of one column over the sum of another, and how two policies are compared by it."""

    amount: str
    per: str
    relative: bool  # the difference is a share of the second policy's figure, not in the figure's own unit


FIGURES = {
    "profit": Figure("profit", "request", relative=True),
    "satisfaction": Figure("surplus", "request", relative=True),
    "regret": Figure("lost", "best_profit", relative=False),
    "share_sold": Figure("sold", "units", relative=False),
    "price_to_list": Figure("price_ratio", "priced", relative=False),
    "at_guardrail": Figure("held", "priced", relative=False),
}


@dataclass(frozen=True)
class Trial:
    """One marketplace's requests and what a demand model makes of them: all that no policy changes.

    Args:
        marketplace: whose truth judges.
        curve_of: the model's demand curves of decisions.
        uniform_curve_of: the same without personal data.

    """

    marketplace: Marketplace
    curve_of: CurveOf
    uniform_curve_of: CurveOf

    @cached_property
    def curves(self) -> tuple[DemandCurve, DemandCurve]:
        """Curve and uniform curve of the requests."""
        return self.curve_of(self.marketplace.requests), self.uniform_curve_of(self.marketplace.requests)

    def group(self, column: str) -> NDArray[np.object_]:
        """Return the group of each request's user (rows,) by a column of the users; no price reads it.

        Raises:
            MarketplaceError: users have no such column.

        """
        users = self.marketplace.tables["users"].set_index("user_id")
        if column not in users:
            raise MarketplaceError(
                f"simulated users have no {column!r} to compare; they have {', '.join(map(str, users))}"
            )
        return self.marketplace.requests.frame["user_id"].map(users[column]).to_numpy(object)

    @cached_property
    def stock(self) -> pd.Series | None:
        """Units by pool, of the pools that are asked for; None where nothing is scarce."""
        if "inventory" not in self.marketplace.tables:
            return None
        pools = self.marketplace.requests.frame["pool_id"].unique()
        capacity: pd.Series = self.marketplace.tables["inventory"].set_index("pool_id")["capacity"]
        return capacity[capacity.index.isin(pools)].astype("float64")

    @cached_property
    def best_profit(self) -> Array:
        """The true expected profit (rows,) of the best prices in the full guardrail range, within the stock."""
        requests = self.marketplace.requests
        if self.stock is None:
            return self.marketplace.profit(requests, self.marketplace.oracle(requests))
        oracle, units = OraclePricer.of(self.marketplace, requests), _units(requests.frame)
        pool = _pool_of(requests.frame, self.stock)
        highest = requests.frame["ceiling"].groupby(pool).max().to_numpy("float64")
        bid = bid_prices(oracle, units, pool, self.stock.to_numpy(), highest)
        price = oracle.price(bid[pool])
        return units * oracle.probability(price) * oracle.margin(price)

    def price(self, policy: PricingPolicy, currency: str) -> PriceBook:
        """Price all requests together as a first book is: no live price, stock shared out, some prices explored."""
        return price_book(
            BookRequest(
                self.marketplace.requests.frame,
                *self.curves,
                policy,
                currency,
                exploration_period=self.marketplace.requests.frame["decided_at"].max().date(),
                remaining=None if self.stock is None else dict(zip(self.stock.index, self.stock, strict=True)),
                group=self.group(policy.fairness.group),
            )
        )

    def judge(self, prices: pd.DataFrame, group: str) -> pd.DataFrame:
        """Return what the truth makes of prices, one row a request; `group` is the users' column to compare by.

        Sales beyond a pool's stock do not happen: where prices invite too many, everyone is served the same share.
        """
        requests = self.marketplace.requests
        frame, priced = requests.frame, prices["price"].notna().to_numpy()
        price = np.where(priced, prices["price"].to_numpy("float64"), requests.list_price)
        ratio = price / requests.list_price
        wanted = np.where(priced, _units(frame) * self.marketplace.purchase_probability(requests, ratio), 0.0)
        served = self._served(wanted)
        sold = wanted * served
        profit = sold * (price - frame["unit_cost"].to_numpy("float64"))
        surplus = np.where(priced, true_surplus(self.marketplace, requests, ratio) * served, 0.0)
        held = [not _BOUNDS.isdisjoint(reasons) for reasons in prices["reasons"]]
        return pd.DataFrame(
            {
                "user_id": f"{self.marketplace.config.seed}-" + frame["user_id"].astype("str"),
                "group": self.group(group),
                "price": prices["price"].to_numpy(),
                "uniform_price": prices["uniform_price"].to_numpy(),
                "purchase_probability": prices["purchase_probability"].to_numpy(),
                "request": 1.0,
                "priced": priced.astype("float64"),
                "units": _units(frame),
                "sold": sold,
                "profit": profit,
                "surplus": surplus,
                "best_profit": self.best_profit,
                "lost": self.best_profit - profit,
                "price_ratio": np.where(priced, ratio, 0.0),
                "held": np.where(priced, held, 0.0),
            }
        )

    def _served(self, wanted: Array) -> Array:
        """Share of each request's demand that stock can meet (rows,)."""
        if self.stock is None:
            return np.ones(len(wanted))
        pool = _pool_of(self.marketplace.requests.frame, self.stock)
        asked = np.bincount(pool, wanted, len(self.stock))
        return np.asarray(np.minimum(1.0, self.stock.to_numpy() / np.maximum(asked, 1e-9))[pool])


@dataclass(frozen=True)
class Comparison:
    """Two policies side by side.

    Args:
        figures: by name of FIGURES: first, second, difference, low and high, a 95 % interval clustered by user.
        profit: of both, in money.
        parity: of both, between groups of users.
        requests, users: how many were priced, of all seeds together.

    """

    figures: pd.DataFrame
    profit: tuple[float, float]
    parity: tuple[ParityReport, ParityReport]
    requests: int
    users: int


def compare(first: pd.DataFrame, second: pd.DataFrame, seed: int = 0) -> Comparison:
    """Compare what the truth made of two policies on the same requests, in the form `Trial.judge` gives it.

    The interval is a bootstrap over users, who each stay in both policies, so that what they share cancels out.
    """
    user, users = pd.factorize(first["user_id"])
    draws = np.random.default_rng(seed).poisson(1.0, (REPLICATES, len(users))).astype("float32")
    rows = {name: _compared(figure, first, second, user, draws) for name, figure in FIGURES.items()}
    return Comparison(
        figures=pd.DataFrame.from_dict(rows, orient="index", columns=["first", "second", "difference", "low", "high"]),
        profit=(float(first["profit"].sum()), float(second["profit"].sum())),
        parity=(_parity(first), _parity(second)),
        requests=len(first),
        users=len(users),
    )


def _compared(
    figure: Figure, first: pd.DataFrame, second: pd.DataFrame, user: Integers, draws: NDArray[np.float32]
) -> tuple[float, ...]:
    one, other = (_replicated(figure, table, user, draws) for table in (first, second))
    differences = one / other - 1 if figure.relative else one - other
    low, high = np.nanquantile(differences[1:], [0.025, 0.975])
    return float(one[0]), float(other[0]), *Estimate(float(differences[0]), float(low), float(high))


def _replicated(figure: Figure, table: pd.DataFrame, user: Integers, draws: NDArray[np.float32]) -> Array:
    """Return the figure itself, then of each replicate (1 + replicates,)."""
    columns = [table[name].to_numpy("float64") for name in (figure.amount, figure.per)]
    sums = np.stack([np.bincount(user, column, draws.shape[1]) for column in columns], axis=1)
    totals = np.concatenate([sums.sum(0)[None], draws @ sums])
    return np.asarray(totals[:, 0] / np.where(totals[:, 1] > 0, totals[:, 1], np.nan))


def _parity(table: pd.DataFrame) -> ParityReport:
    return price_parity(table, table["user_id"], table["group"])


def _units(frame: pd.DataFrame) -> Array:
    return frame["quantity"].to_numpy("float64")


def _pool_of(frame: pd.DataFrame, stock: pd.Series) -> Integers:
    return stock.index.get_indexer(pd.Index(frame["pool_id"])).astype(np.int64)
