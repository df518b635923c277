"""Pricing decisions together: portfolio limits and the parity bound are kept, and a certificate says so."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.pricing.bid_prices import BidPriceCurve, bid_price_curves
from models.pricing.book_request import BookRequest
from models.pricing.certificate import Certificate
from models.pricing.decide import explored, price_decisions
from models.pricing.fairness import ParityTally
from models.pricing.guardrails import RULES, Interval, bounds, intersect
from models.pricing.inputs import PricingInputs, read_inputs
from models.pricing.policy import PolicyError, PricingPolicy
from models.pricing.portfolio import Offer, Portfolio, PriceResponse, Solution, solve
from models.pricing.row_prices import RowPrices, best_prices, objectives
from models.pricing.shadow_prices import BookTerms, ChargedObjective, ShadowPrices

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]

PARITY_BISECTIONS = 12
ROWS_PER_BLOCK = 100_000  # whose prices are written out at once


@dataclass(frozen=True)
class PriceBook:
    """Prices of decisions priced together, as `models.pricing.decide.price_decisions` gives them.

    ``terms`` price a later decision as the book would have; ``certificate`` is the evidence to publish by.
    """

    prices: pd.DataFrame
    terms: BookTerms
    certificate: Certificate


@dataclass
class RowTally:
    """What is counted of prices while they pass: the rows each reason holds, and those refused, by reason."""

    reasons: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, prices: pd.DataFrame) -> None:
        """Count a block of prices."""
        self.reasons.update(chain.from_iterable(prices["reasons"]))
        self.refused.update(prices["refused"].dropna())


@dataclass(frozen=True)
class SettledBook:
    """Requests whose terms are decided, so that their rows can be priced block by block."""

    requests: Iterable[BookRequest]
    terms: BookTerms
    solution: Solution

    def prices(self, request: BookRequest) -> pd.DataFrame:
        """Return the prices of a request or a block of one, as `models.pricing.decide.price_decisions` gives them."""
        prices = price_decisions(
            request.decisions,
            request.curve,
            request.uniform_curve,
            request.policy,
            request.currency,
            live_price=request.live_price,
            live_uniform_price=request.live_uniform_price,
            live_propensity=request.live_propensity,
            exploration_period=request.exploration_period,
            terms=self.terms,
        )
        return _withdrawn(prices, _withdrawals(request))

    def blocks(self) -> Iterator[BookRequest]:
        """Yield the rows in blocks small enough for all that is said of a price; one at least of each request."""
        for request in self.requests:
            for start in range(0, max(len(request.decisions), 1), ROWS_PER_BLOCK):
                yield request.take(slice(start, start + ROWS_PER_BLOCK))

    def bid_price_curves(self) -> Iterator[BidPriceCurve]:
        """Yield what a unit of each pool will be worth as its stock and the requests for it go."""
        request = next(iter(self.requests))
        share = 0.0 if request.exploration_period is None else request.policy.exploration.drawn_share
        parts = _Parts(self.requests, self.terms.parity_band)
        return bid_price_curves(parts, self.solution, list(_stock(request)), share)

    def certificate(self, counted: RowTally) -> Certificate:
        """Return the evidence, once all prices have been counted."""
        solution = self.solution
        return Certificate(
            constraints=solution.states,
            objective=solution.objective,
            duality_gap=solution.duality_gap,
            iterations=solution.iterations,
            binding_rules={rule: counted.reasons[rule] for rule in RULES if counted.reasons[rule]},
            refused=dict(counted.refused),
            rounding_bound=solution.rounding_bound,
        )


def price_book(request: BookRequest) -> PriceBook:
    """Price every decision of a request at once: `settle_book`, then the prices of all its rows."""
    settled, counted = settle_book([request]), RowTally()
    prices = settled.prices(request)
    counted.add(prices)
    return PriceBook(prices, settled.terms, settled.certificate(counted))


def settle_book(requests: Iterable[BookRequest]) -> SettledBook:
    """Find the terms under which the expected sales, discounts and revenue of all decisions keep the limits.

    Limits hold for the prices shown, rounding and exploration included. A limit that no price inside the
    guardrails can keep leaves a certificate that is not certified and names it. Where the policy bounds
    parity, personal prices are kept as near the uniform price as the bound needs, by one band for everyone,
    so that no user's price depends on the group that user is in. Raises PolicyError where parity is bounded
    and ``group`` is missing, and the errors of `price_decisions`.

    The requests (one at least) have policy and stock in common and are gone through many times: where they do not
    stay in memory, neither does what is computed of their rows.
    """
    request = next(iter(requests))
    bound = request.policy.fairness.parity_bound
    book = _settled(requests, parity_band=None)
    if bound is None:
        return book
    if request.group is None:
        raise PolicyError("fairness.parity_bound is set, but no group of users is known: give group, or unset it")
    if _gap(book) <= bound:
        return book
    return _within_parity(book, bound)


def _within_parity(book: SettledBook, bound: float) -> SettledBook:
    """Bisect for a wide band around the uniform price whose prices keep the bound."""
    narrow, wide = 0.0, _widest(book)
    best = _settled(book.requests, parity_band=0.0)
    for _ in range(PARITY_BISECTIONS):
        middle = (narrow + wide) / 2
        trial = _settled(book.requests, parity_band=middle)
        if _gap(trial) <= bound:
            narrow, best = middle, trial
        else:
            wide = middle
    return best


def _widest(book: SettledBook) -> float:
    """How far, as a share, a personal price is from the uniform price at most."""
    widest = 0.0
    for block in book.blocks():
        prices = book.prices(block)
        widest = max(widest, float(np.abs(prices["price"] / prices["uniform_price"] - 1).max()))
    return widest


def _gap(book: SettledBook) -> float:
    tally = ParityTally()
    for block in book.blocks():
        assert block.group is not None  # noqa: S101
        tally.add(book.prices(block), block.decisions["user_id"], block.group)
    return tally.report().gap


def _settled(requests: Iterable[BookRequest], parity_band: float | None) -> SettledBook:
    parts = _Parts(requests, parity_band)
    pool_ids = list(_stock(next(iter(requests))))
    # What is read of rows that are in memory anyway stays there too.
    solution = solve(list(parts) if isinstance(requests, Sequence) else parts, pool_ids)
    bids = dict(zip(pool_ids, solution.multipliers.tolist(), strict=False))
    discount, volume, revenue = solution.multipliers[len(pool_ids) :].tolist()
    return SettledBook(requests, BookTerms(bids, volume, revenue, discount, parity_band), solution)


@dataclass(frozen=True)
class _Parts:
    """Requests as what is solved, each read anew whenever they are gone through."""

    requests: Iterable[BookRequest]
    parity_band: float | None

    def __iter__(self) -> Iterator[tuple[Portfolio, PriceResponse]]:
        for request in self.requests:
            market = _Market.read(request, self.parity_band)
            spacing = market.rows.personal.interval.grid.spacing
            yield market.portfolio(), PriceResponse(market.relaxed, market.admissible, spacing)


def _stock(request: BookRequest) -> dict[str, float]:
    """The units of each pool that has any left."""
    return {pool: units for pool, units in (request.remaining or {}).items() if units > 0}


@dataclass(frozen=True)
class _Market:
    """The rows of a request as the portfolio sees them."""

    request: BookRequest
    given: PricingInputs
    rows: RowPrices
    alone: Interval  # of the personal price, before the uniform price bounds it
    pool: NDArray[np.int64]
    remaining: FloatArray
    quantity: FloatArray
    parity_band: float | None

    @classmethod
    def read(cls, request: BookRequest, parity_band: float | None) -> "_Market":
        decisions, policy = request.decisions, request.policy
        live = request.live_price, request.live_uniform_price
        given = read_inputs(decisions, request.curve, request.uniform_curve, *live)
        rows = best_prices(given, policy, request.currency, ShadowPrices(), parity_band)
        left = pd.Series(_stock(request), dtype=np.float64)
        pool_id = decisions.get("pool_id", pd.Series(None, decisions.index, dtype=object))
        quantity = decisions.get("quantity", pd.Series(1.0, decisions.index)).to_numpy(np.float64)
        return cls(
            request,
            given,
            rows,
            alone=_alone(given, policy, rows),
            pool=left.index.get_indexer(pd.Index(pool_id)).astype(np.int64),  # −1, NO_POOL, where not found
            remaining=np.asarray(left, np.float64),
            quantity=np.where(rows.has_price & pd.isna(_withdrawals(request)), quantity, 0.0),
            parity_band=parity_band,
        )

    def portfolio(self) -> Portfolio:
        _, objective = objectives(self.given, self.request.policy)
        limits = self.request.policy.portfolio.model_dump()
        may_run_out = np.array([pool in self.request.may_run_out for pool in _stock(self.request)], dtype=bool)
        return Portfolio(objective, self.quantity, self.pool, self.remaining, **limits, may_run_out=may_run_out)

    def relaxed(self, shadow: ShadowPrices) -> FloatArray:
        """Return the best real prices; the uniform price moves too where it bounds the personal one."""
        for_uniform, for_personal = objectives(self.given, self.request.policy)
        price = np.clip(ChargedObjective(for_personal, shadow).optimum(), self.alone.lower, self.alone.upper)
        may_exceed, band = self.request.policy.guardrails.above_uniform, self.parity_band
        if may_exceed and band is None:
            return price
        interval = self.rows.uniform.interval
        uniform = np.clip(ChargedObjective(for_uniform, shadow).optimum(), interval.lower, interval.upper)
        low, high = (0.0, np.inf) if band is None else (1 - band, 1 + band)
        bounded = np.clip(price, uniform * low, uniform * (high if may_exceed else min(high, 1.0)))
        return np.where(self.given.consent, bounded, price)

    def admissible(self, shadow: ShadowPrices) -> Offer:
        request = self.request
        rows = best_prices(self.given, request.policy, request.currency, shadow, self.parity_band)
        period, drawn = request.exploration_period, request.live_propensity
        shown = explored(request.decisions, self.given, rows, request.policy, period, drawn)
        return Offer(rows.personal.price, rows.personal.interval.grid.price(shown.rung))


def _alone(given: PricingInputs, policy: PricingPolicy, rows: RowPrices) -> Interval:
    amounts = given.list_price, given.unit_cost, given.floor, given.ceiling
    rules = bounds(policy.guardrails, *amounts, given.live_price)
    return intersect(rules, len(given), rows.personal.interval.grid)


def _withdrawals(request: BookRequest) -> NDArray[np.object_]:
    """Why each row is not sold, or None."""
    withdrawn = np.full(len(request.decisions), None, dtype=object)
    if "quantity" in request.decisions:
        quantity = request.decisions["quantity"].to_numpy(np.float64)
        withdrawn[~((quantity > 0) & (quantity < np.inf))] = "invalid_quantity"
    if request.remaining and "pool_id" in request.decisions:
        sold_out = [pool for pool, units in request.remaining.items() if not units > 0]
        withdrawn[request.decisions["pool_id"].isin(sold_out).to_numpy()] = "sold_out"
    return withdrawn


def _withdrawn(prices: pd.DataFrame, withdrawn: NDArray[np.object_]) -> pd.DataFrame:
    """Refuse the rows that are not sold, whatever their price would have been."""
    is_withdrawn = pd.notna(withdrawn)
    if not is_withdrawn.any():
        return prices
    amounts = prices.columns.difference(["reasons", "randomised", "refused", "uniform_price"])
    prices.loc[is_withdrawn, amounts] = np.nan
    prices.loc[is_withdrawn, "randomised"] = False
    prices.loc[is_withdrawn, "refused"] = withdrawn[is_withdrawn]
    prices["reasons"] = prices["reasons"].where(~is_withdrawn, pd.Series([[]] * len(prices), prices.index))
    return prices
