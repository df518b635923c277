import itertools
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

import models.pricing.price_book
from models.demand.demand_curve import DemandCurve
from models.pricing.book_request import BookRequest
from models.pricing.decide import price_decisions
from models.pricing.fairness import price_parity
from models.pricing.policy import Exploration, Fairness, Guardrails, PolicyError, Portfolio, PricingPolicy
from models.pricing.price_book import RowTally, price_book, settle_book

ROWS = 3_000
RAILS = Guardrails(minimum_margin=0.05, maximum_markup=2.0, maximum_discount=0.6)
SOLD = ["price", "purchase_probability", "expected_profit", "lower", "upper"]


def request_of(policy: PricingPolicy, seed: int = 0, rows: int = ROWS, **more) -> BookRequest:
    rng = np.random.default_rng(seed)
    list_price = np.round(rng.uniform(40, 200, rows), 2)
    decisions = pd.DataFrame(
        {
            "user_id": [f"u{row // 2}" for row in range(rows)],
            "product_id": rng.choice(["p", "q", "r"], rows),
            "list_price": list_price,
            "unit_cost": np.round(list_price * rng.uniform(0.2, 0.5, rows), 2),
            "floor": np.nan,
            "ceiling": np.nan,
            "consent": rng.random(rows) < 0.9,
            "quantity": rng.integers(1, 3, rows).astype(float),
            "pool_id": rng.choice(np.array(["a", "b", "c", None], dtype=object), rows),
        }
    )
    curve = DemandCurve(rng.uniform(2, 6, rows), rng.uniform(0.6, 1.3, rows))
    return BookRequest(decisions, curve, DemandCurve(np.full(rows, 4.0), np.full(rows, 0.9)), policy, "EUR", **more)


def sales(request: BookRequest, prices: pd.DataFrame) -> pd.Series:
    return request.decisions["quantity"] * prices["purchase_probability"]


POLICIES = {
    "plain": PricingPolicy(guardrails=RAILS),
    "explored": PricingPolicy(guardrails=RAILS, exploration=Exploration(share=0.1, dither=0.01)),
    "capped": PricingPolicy(guardrails=RAILS.model_copy(update={"above_uniform": False})),
    "endings": PricingPolicy(guardrails=RAILS.model_copy(update={"price_ending": 0.9})),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_stock_is_never_oversold(policy):
    remaining = {"a": 250.0, "b": 300.0, "c": 5_000.0}
    request = request_of(policy, remaining=remaining, exploration_period=date(2026, 11, 2))
    book = price_book(request)
    sold = sales(request, book.prices).groupby(request.decisions["pool_id"]).sum()
    for pool, units in remaining.items():
        assert sold[pool] <= units
    assert sold["a"] == pytest.approx(250, rel=0.01)
    assert book.terms.bid_prices["a"] > 0
    assert book.terms.bid_prices["c"] == 0
    assert [state.achieved for state in book.certificate.constraints] == pytest.approx(sold.tolist())
    assert not book.certificate.violated
    assert book.certificate.is_certified
    assert (book.certificate.gap_tolerance > 1e-3) == (policy.guardrails.price_ending is not None)


@pytest.mark.parametrize("method", ["in_turn", "uniform"])
def test_whatever_is_drawn_the_stock_is_used_up_and_the_book_certified(method):
    policy = PricingPolicy(guardrails=RAILS, exploration=Exploration(share=0.1, dither=0.01, method=method))
    for day in range(1, 9):
        request = request_of(policy, remaining={"a": 250.0, "b": 300.0}, exploration_period=date(2026, 11, day))
        certificate = price_book(request).certificate
        assert certificate.is_certified
        assert all(0 <= state.slack < 1e-3 * state.limit for state in certificate.constraints)


@pytest.mark.parametrize(
    ("limits", "measure", "side"),
    [
        ({"minimum_volume": 2_600.0}, lambda d, p, s: s.sum(), -1),
        ({"minimum_revenue": 272_000.0}, lambda d, p, s: (s * p["price"]).sum(), -1),
        (
            {"discount_budget": 9_000.0},
            lambda d, p, s: (s * (d["list_price"] - p["price"]).clip(lower=0)).sum(),
            1,
        ),
    ],
)
def test_each_total_is_kept(limits, measure, side):
    (limit,) = limits.values()
    free = request_of(PricingPolicy(guardrails=RAILS))
    unlimited = price_book(free).prices
    assert side * measure(free.decisions, unlimited, sales(free, unlimited)) > side * limit  # so that it binds
    request = request_of(PricingPolicy(guardrails=RAILS, portfolio=Portfolio(**limits)))
    book = price_book(request)
    assert book.certificate.is_certified
    assert side * measure(request.decisions, book.prices, sales(request, book.prices)) <= side * limit * (1 + 1e-12)


@pytest.mark.parametrize("ending", [0.0, 0.9, 9.0])
@pytest.mark.parametrize(("rows", "seed"), [(6, 0), (6, 1), (60, 2), (60, 3)])
def test_few_rows_and_coarse_prices_are_certified_by_what_rounding_can_cost(ending, rows, seed):
    policy = PricingPolicy(guardrails=RAILS.model_copy(update={"price_ending": ending, "above_uniform": False}))
    free = request_of(policy, seed, rows)
    sold = sales(free, price_book(free).prices).groupby(free.decisions["pool_id"]).sum()
    book = price_book(request_of(policy, seed, rows, remaining=(0.6 * sold).to_dict()))
    assert not book.certificate.violated
    assert book.certificate.duality_gap <= book.certificate.rounding_bound
    assert book.certificate.is_certified
    fine = PricingPolicy(guardrails=policy.guardrails.model_copy(update={"price_ending": None}))
    exact = price_book(request_of(fine, seed, rows, remaining=(0.6 * sold).to_dict())).certificate
    assert exact.rounding_bound < 0.1 * book.certificate.rounding_bound


def test_without_limits_the_book_is_its_rows():
    request = request_of(POLICIES["explored"], exploration_period=date(2026, 11, 2))
    book = price_book(request)
    arguments = (request.decisions, request.curve, request.uniform_curve, request.policy, "EUR")
    pd.testing.assert_frame_equal(book.prices, price_decisions(*arguments, exploration_period=date(2026, 11, 2)))
    assert book.certificate.duality_gap == 0


def test_a_later_row_is_priced_by_the_terms_of_the_book():
    policy = PricingPolicy(guardrails=RAILS, portfolio=Portfolio(minimum_revenue=150_000.0))
    request = request_of(policy, remaining={"a": 250.0})
    book = price_book(request)
    some = np.arange(0, ROWS, 7)
    alone = price_decisions(
        request.decisions.iloc[some],
        request.curve.take(some),
        request.uniform_curve.take(some),
        policy,
        "EUR",
        terms=book.terms,
    )
    pd.testing.assert_frame_equal(alone, book.prices.iloc[some])


def test_rows_alone_do_not_pretend_to_keep_the_limits_of_a_book():
    request = request_of(PricingPolicy(portfolio=Portfolio(minimum_volume=5.0)))
    with pytest.raises(PolicyError, match="price_book"):
        price_decisions(request.decisions, request.curve, request.uniform_curve, request.policy, "EUR")


def test_rows_that_cannot_be_sold_are_refused():
    request = request_of(PricingPolicy(guardrails=RAILS), remaining={"a": 0.0, "b": 1e9})
    request.decisions.loc[5, ["quantity", "pool_id"]] = [np.nan, None]
    book = price_book(request)
    sold_out = request.decisions["pool_id"] == "a"
    assert (book.prices.loc[sold_out, "refused"] == "sold_out").all()
    assert book.prices.loc[5, "refused"] == "invalid_quantity"
    assert book.prices.loc[sold_out, SOLD].isna().all(axis=None)
    assert (book.prices.loc[sold_out, "reasons"].map(len) == 0).all()
    assert book.prices.loc[~sold_out, "price"].notna().sum() == (~sold_out).sum() - 1
    assert book.certificate.refused["sold_out"] == sold_out.sum()


def test_a_limit_out_of_reach_leaves_the_book_uncertified():
    book = price_book(request_of(PricingPolicy(guardrails=RAILS), remaining={"a": 0.001}))
    assert not book.certificate.is_certified
    assert [state.pool_id for state in book.certificate.violated] == ["a"]


@pytest.mark.parametrize(
    "more",
    [{}, {"guardrails": RAILS.model_copy(update={"currency_digits": 0})},
     {"portfolio": Portfolio(minimum_revenue=100_000.0)}],
    ids=["cents", "whole units", "with a least revenue"],
)  # fmt: skip
def test_stock_with_an_end_that_no_price_makes_last_is_sold_at_the_highest_prices(more):
    remaining = {"a": 0.001, "b": 300.0, "c": 250.0}
    policy = PricingPolicy(**{"guardrails": RAILS, "exploration": Exploration(share=0.1)} | more)
    plain = request_of(policy, remaining=remaining, exploration_period=date(2026, 11, 2))
    book = price_book(replace(plain, may_run_out=frozenset({"a", "c"})))
    certificate = book.certificate
    assert certificate.is_certified
    assert certificate.gap_tolerance < 1e-2
    stock = {state.pool_id: state.runs_out for state in certificate.constraints if state.pool_id}
    assert stock == {"a": True, "b": False, "c": False}
    of_a = (plain.decisions["pool_id"] == "a").to_numpy() & ~book.prices["randomised"].to_numpy(bool)
    tick = policy.guardrails.price_grid("EUR").spacing
    np.testing.assert_allclose(book.prices["price"][of_a], book.prices["upper"][of_a], atol=tick)
    assert book.terms.bid_prices["a"] < 3 * book.prices["price"].max()
    if not more:
        others = plain.decisions["pool_id"].to_numpy() != "a"
        lasting = price_book(replace(plain, remaining=remaining | {"a": 1e6}))
        pd.testing.assert_series_equal(book.prices["price"][others], lasting.prices["price"][others], rtol=1e-3)


def unequal_request(bound: float | None, share: float = 0.0) -> BookRequest:
    """Users of group y hardly mind the price, so that profit alone would charge them more."""
    policy = PricingPolicy(
        guardrails=RAILS, fairness=Fairness(parity_bound=bound), exploration=Exploration(share=share)
    )
    request = request_of(policy, exploration_period=date(2026, 11, 2))
    group = np.where(np.arange(ROWS) // 2 % 2, "y", "x")
    request.curve.sensitivity[group == "y"] /= 2
    return BookRequest(**{**vars(request), "group": group})


@pytest.mark.parametrize(("bound", "share"), [(0.1, 0.0), (0.02, 0.0), (0.02, 0.05)])
def test_the_parity_bound_is_kept(bound, share):
    def gap(request: BookRequest, prices: pd.DataFrame) -> float:
        return price_parity(prices, request.decisions["user_id"], request.group).gap

    free, bounded = unequal_request(None, share), unequal_request(bound, share)
    assert gap(free, price_book(free).prices) > 0.1
    book = price_book(bounded)
    assert 0.5 * bound < gap(bounded, book.prices) <= bound
    assert any("parity_bound" in reasons for reasons in book.prices["reasons"])
    within = np.abs(book.prices["price"] / book.prices["uniform_price"] - 1)
    assert within.max() <= book.terms.parity_band + 1e-9


def test_one_user_in_another_group_keeps_every_price_but_for_the_band_of_all():
    request = unequal_request(0.5)  # wide enough not to bind
    group = request.group.copy()
    group[:100] = "z"
    flipped = BookRequest(**{**vars(request), "group": group})
    pd.testing.assert_frame_equal(price_book(request).prices, price_book(flipped).prices)


def test_a_parity_bound_needs_groups():
    with pytest.raises(PolicyError, match=r"fairness.parity_bound is set"):
        price_book(request_of(PricingPolicy(guardrails=RAILS, fairness=Fairness(parity_bound=0.1))))


@pytest.mark.parametrize("bound", [None, 0.01])
def test_a_book_priced_by_blocks_is_the_same_book(bound, monkeypatch):
    monkeypatch.setattr(models.pricing.price_book, "ROWS_PER_BLOCK", 7)
    policy = POLICIES["explored"].model_copy(update={"fairness": Fairness(parity_bound=bound)})
    request = request_of(
        policy, rows=200, remaining={"a": 15.0, "b": 0.0}, exploration_period=date(2026, 11, 2),
        live_price=np.full(200, np.nan), group=np.arange(200) % 2,
    )  # fmt: skip
    whole, settled = price_book(request), settle_book([request])
    blocks = [settled.prices(block) for block in settled.blocks()]
    pd.testing.assert_frame_equal(pd.concat(blocks, ignore_index=True), whole.prices)
    counted = RowTally()
    for block in blocks:
        counted.add(block)
    assert settled.certificate(counted) == whole.certificate
    assert whole.certificate.refused["sold_out"] > 0


class ReadAnew:
    """Requests that are not kept between two times they are gone through."""

    def __init__(self, request: BookRequest, cuts: list[int]) -> None:
        self.request, self.edges, self.times = request, [0, *cuts, len(request.decisions)], 0

    def __iter__(self):
        self.times += 1
        return (self.request.take(slice(*edges)) for edges in itertools.pairwise(self.edges))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(
    "limits", [{"discount_budget": 9_000.0, "minimum_revenue": 200_000.0}, {"minimum_volume": 2_600.0}, {}]
)
def test_a_book_in_parts_has_the_terms_and_the_certificate_of_the_whole(name, limits):
    policy = POLICIES[name].model_copy(update={"portfolio": Portfolio(**limits)})
    stock = {} if limits else {"a": 250.0, "b": 300.0, "c": 0.0}
    request = request_of(policy, remaining=stock, exploration_period=date(2026, 11, 2))
    whole, parts = price_book(request), ReadAnew(request, cuts=[7, 900, 900, 2_000])
    settled, counted = settle_book(parts), RowTally()
    prices = [settled.prices(block) for block in settled.blocks()]
    for block in prices:
        counted.add(block)
    assert parts.times > 3
    for one, other in zip(flat(settled.terms), flat(whole.terms), strict=True):
        assert one == pytest.approx(other, rel=1e-6)
    certificate = settled.certificate(counted)
    assert (certificate.binding_rules, certificate.refused) == (
        whole.certificate.binding_rules, whole.certificate.refused
    )  # fmt: skip
    assert certificate.objective == pytest.approx(whole.certificate.objective, rel=1e-6)
    assert certificate.is_certified == whole.certificate.is_certified
    assert not certificate.violated
    np.testing.assert_allclose(pd.concat(prices)["price"], whole.prices["price"], rtol=1e-9)


def flat(terms):
    return [*terms.bid_prices.values(), terms.volume_bonus, terms.revenue_bonus, terms.discount_charge]


def test_requests_apart_and_joined_are_the_same_rows():
    request = request_of(POLICIES["plain"], rows=60, live_price=np.full(60, 50.0), group=np.arange(60) % 3)
    joined = BookRequest.joined([request.take(slice(0, 13)), request.take(np.arange(13, 60))])
    pd.testing.assert_frame_equal(joined.decisions, request.decisions)
    np.testing.assert_array_equal(joined.curve.valuation, request.curve.valuation)
    np.testing.assert_array_equal(joined.group, request.group)
    assert joined.live_uniform_price is None
