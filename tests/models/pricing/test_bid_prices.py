"""Bid prices that follow the stock and the requests of a book without solving it again."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.demand.demand_curve import DemandCurve
from models.pricing.bid_prices import BidPriceCurve
from models.pricing.book_request import BookRequest
from models.pricing.decide import price_decisions
from models.pricing.policy import Exploration, Guardrails, Portfolio, PricingPolicy
from models.pricing.price_book import SettledBook, settle_book
from models.pricing.shadow_prices import BookTerms

DAY = date(2026, 11, 2)

FREE = PricingPolicy(guardrails=Guardrails(minimum_margin=0.05, maximum_markup=3.0, maximum_discount=0.6))
ROWS = 600
LIST_PRICE = 100.0


def request_of(remaining: dict[str, float], policy: PricingPolicy = FREE, seed: int = 0) -> BookRequest:
    rng = np.random.default_rng(seed)
    decisions = pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(ROWS)],
            "product_id": "p",
            "list_price": LIST_PRICE,
            "unit_cost": 30.0,
            "floor": np.nan,
            "ceiling": np.nan,
            "consent": True,
            "pool_id": rng.choice(np.array(["a", "b", None], dtype=object), ROWS),
        }
    )
    curve = DemandCurve(rng.uniform(2, 6, ROWS), rng.uniform(0.6, 1.4, ROWS))
    uniform = DemandCurve(np.full(ROWS, 4.0), np.full(ROWS, 1.0))
    return BookRequest(decisions, curve, uniform, policy, "EUR", exploration_period=DAY, remaining=remaining)


def curves(book: SettledBook) -> dict[str, BidPriceCurve]:
    return {curve.pool_id: curve for curve in book.bid_price_curves()}


EXPLORING = FREE.model_copy(update={"exploration": Exploration(share=0.1, dither=0.02)})


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [(FREE, 0.01), (EXPLORING, 0.04)],  # a drawn price sells the same at any bid price
    ids=["plain", "exploring"],
)
def test_a_curve_is_what_solving_the_book_again_would_find(policy: PricingPolicy, tolerance: float) -> None:
    stock = {"a": 40.0, "b": 70.0}
    found = curves(settle_book([request_of(stock, policy)]))
    for pool, units in stock.items():
        for left in (0.3, 0.6, 1.3, 2.5):
            fresh = settle_book([request_of(stock | {pool: units * left}, policy)]).terms.bid_prices[pool]
            assert found[pool].at(units * left, 1.0) == pytest.approx(fresh, abs=tolerance * LIST_PRICE)


@pytest.mark.parametrize(
    "policy",
    [FREE, EXPLORING, FREE.model_copy(update={"portfolio": Portfolio(minimum_volume=180.0)})],
    ids=["plain", "exploring", "volume"],
)
def test_a_curve_goes_through_the_books_own_bid_price(policy: PricingPolicy) -> None:
    stock = {"a": 40.0, "b": 70.0, "more than enough": 1e6}
    book = settle_book([request_of(stock, policy)])
    for pool, curve in curves(book).items():
        assert curve.at(stock[pool], 1.0) == pytest.approx(book.terms.bid_prices[pool], abs=1e-9)


@given(left=st.floats(0.0, 500.0), fewer=st.floats(0.0, 1.0), to_come=st.floats(-1.0, 1.0))
def test_a_unit_is_worth_no_less_when_fewer_are_left_and_no_more_when_fewer_requests_are(
    left: float, fewer: float, to_come: float
) -> None:
    curve = CURVE
    bid = curve.at(left, to_come)
    assert 0 <= bid <= curve.bid_price[0]
    assert curve.at(left * fewer, to_come) >= bid
    assert curve.at(left, to_come - 0.2) <= bid


CURVE = curves(settle_book([request_of({"a": 40.0})]))["a"]


def test_stock_that_goes_as_expected_keeps_its_bid_price() -> None:
    assert CURVE.at(20.0, 0.5) == pytest.approx(CURVE.at(40.0, 1.0), rel=0.02)
    assert CURVE.at(10.0, 0.5) > 1.1 * CURVE.at(40.0, 1.0)  # it went faster
    assert CURVE.at(35.0, 0.5) < 0.9 * CURVE.at(40.0, 1.0)


def test_what_is_left_after_all_requests_is_not_given_away() -> None:
    assert CURVE.at(40.0, -9.0) == CURVE.at(40.0, 0.0)
    assert CURVE.at(2.0, -9.0) > 0  # a tenth of them may come again


def test_a_pool_without_requests_has_no_curve_and_one_sold_out_has_the_highest_bid() -> None:
    found = curves(settle_book([request_of({"a": 40.0, "elsewhere": 5.0})]))
    assert set(found) == {"a"}
    assert found["a"].at(0.0, 1.0) == found["a"].at(-3.0, 1.0) == found["a"].bid_price[0]


def test_stock_that_runs_out_has_the_highest_bid_until_more_of_it_comes() -> None:
    capped = FREE.model_copy(update={"guardrails": Guardrails(maximum_markup=0.2)})
    request = replace(request_of({"a": 5.0}, capped), may_run_out=frozenset({"a"}))
    book = settle_book([request])
    (state,) = book.solution.states
    assert state.runs_out
    curve = curves(book)["a"]
    assert curve.at(5.0, 1.0) == curve.bid_price[0]
    assert curve.at(2 * state.achieved, 1.0) < curve.at(1.1 * state.achieved, 1.0) < curve.bid_price[0]


def test_a_decisions_own_bid_price_stands_for_its_pools() -> None:
    request = request_of({"a": 40.0})
    terms = settle_book([request]).terms
    given = (request.curve, request.uniform_curve, FREE, "EUR")
    of_book = price_decisions(request.decisions, *given, terms=terms)
    own = request.decisions["pool_id"].map({"a": 80.0}).astype("float64")
    now = price_decisions(request.decisions.assign(bid_price=own), *given, terms=terms)
    instead = price_decisions(request.decisions, *given, terms=replace(terms, bid_prices={"a": 80.0}))
    pd.testing.assert_frame_equal(now, instead)
    assert (now["price"] > of_book["price"])[own.notna()].all()
    unmoved = price_decisions(request.decisions.assign(bid_price=np.nan), *given, terms=terms)
    pd.testing.assert_frame_equal(unmoved, of_book)


@pytest.mark.parametrize("keener", [0.8, 1.25], ids=["fewer buy", "more buy"])
def test_following_the_pick_up_earns_more_than_the_books_bid_price_where_the_model_errs(keener: float) -> None:
    follows, stands = np.array([[_season(seed, keener, follow) for follow in (True, False)] for seed in range(12)]).T
    assert follows.mean() > 1.01 * stands.mean()


def _season(seed: int, keener: float, follow: bool) -> float:
    """Profit of selling a book's requests in random order to people whose valuations are not the model's."""
    stock, steps = 60.0, 20
    request = request_of({"a": stock}, seed=seed)
    book = settle_book([request])
    curve, bid = curves(book)["a"], book.terms.bid_prices["a"]
    rows = np.flatnonzero(request.decisions["pool_id"] == "a")
    rng = np.random.default_rng(seed)
    rng.shuffle(rows)
    draw, profit = rng.random(len(rows)), 0.0
    for step in np.array_split(np.arange(len(rows)), steps):
        if follow:
            bid = curve.at(stock, 1 - step[0] / len(rows))
        asked = request.take(rows[step])
        terms = BookTerms({"a": bid})
        price = price_decisions(asked.decisions, asked.curve, asked.uniform_curve, FREE, "EUR", terms=terms)["price"]
        truth = DemandCurve(asked.curve.sensitivity, asked.curve.valuation * keener)
        buys = np.flatnonzero(draw[step] < truth.purchase_probability(price.to_numpy() / LIST_PRICE))[: int(stock)]
        profit += float((price.to_numpy()[buys] - 30.0).sum())
        stock -= len(buys)
    return profit
