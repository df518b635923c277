import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import coo_array, vstack

from models.demand.demand_curve import DemandCurve
from models.pricing.objective import Objective
from models.pricing.portfolio import NO_POOL, Offer, Portfolio, PriceResponse, Solution, solve
from models.pricing.shadow_prices import ChargedObjective, ShadowPrices

LOWEST, HIGHEST, TICK = 8.0, 30.0, 0.05


def market(seed: int, rows: int, pools: int, fraction: float = 0.7, **limits) -> Portfolio:
    """Rows whose free sales exceed each pool's stock; limits are shares of the free totals."""
    rng = np.random.default_rng(seed)
    curve = DemandCurve(rng.uniform(2, 6, rows), rng.uniform(0.6, 1.4, rows))
    objective = Objective(curve, np.full(rows, 20.0), rng.uniform(5, 10, rows), satisfaction_weight=0.1)
    pool = rng.integers(0, pools, rows) if pools else np.full(rows, NO_POOL)
    free = Portfolio(objective, rng.integers(1, 4, rows).astype(float), pool, np.ones(pools), 1.0, 1.0, 1.0)
    usage = free.usage(response_of(free).admissible(ShadowPrices()).best)
    totals = dict(zip(("discount_budget", "minimum_volume", "minimum_revenue"), usage[pools:], strict=True))
    wanted = {name: share * totals[name] for name, share in limits.items()}
    return Portfolio(objective, free.quantity, pool, fraction * usage[:pools], **wanted)


def response_of(portfolio: Portfolio) -> PriceResponse:
    def relaxed(shadow: ShadowPrices) -> np.ndarray:
        return np.clip(ChargedObjective(portfolio.objective, shadow).optimum(), LOWEST, HIGHEST)

    def admissible(shadow: ShadowPrices) -> Offer:
        charged = ChargedObjective(portfolio.objective, shadow)
        below = LOWEST + TICK * np.floor((relaxed(shadow) - LOWEST) / TICK)
        above = np.minimum(below + TICK, HIGHEST)
        best = np.where(charged.value(above) > charged.value(below), above, below)
        return Offer(best, best)

    return PriceResponse(relaxed, admissible)


def solved(portfolio: Portfolio) -> Solution:
    return solve([(portfolio, response_of(portfolio))], [f"k{k}" for k in range(len(portfolio.remaining))])


def exact_objective(portfolio: Portfolio) -> float:
    """Return the best value of the linear programme over all mixtures of ticks (HiGHS)."""
    ticks = np.arange(LOWEST, HIGHEST + TICK / 2, TICK)
    rows, objective = len(portfolio.quantity), portfolio.objective
    prices = np.tile(ticks[:, None], rows)
    sales = portfolio.quantity * objective.curve.purchase_probability(prices / objective.list_price)
    value = portfolio.quantity * np.array([objective.value(price) for price in prices])
    discount = np.maximum(objective.list_price - prices, 0) * sales
    one_of = coo_array((np.ones(prices.size), (np.tile(np.arange(rows), len(ticks)), np.arange(prices.size))))
    uses = [np.where(portfolio.pool == k, sales, 0).ravel() for k in range(len(portfolio.remaining))]
    limits = list(portfolio.remaining)
    for limit, use in (
        (portfolio.discount_budget, discount),
        (portfolio.minimum_volume, -sales),
        (portfolio.minimum_revenue, -prices * sales),
    ):
        if limit is not None:
            uses.append(use.ravel())
            limits.append(limit if use is discount else -limit)
    found = linprog(
        -value.ravel(), A_ub=vstack([coo_array(use[None]) for use in uses]), b_ub=limits,
        A_eq=one_of, b_eq=np.ones(rows), method="highs-ipm",
    )  # fmt: skip
    assert found.success
    return -found.fun


@pytest.mark.parametrize(
    ("pools", "limits"),
    [
        (1, {}),
        (4, {}),
        (0, {"discount_budget": 0.6}),
        (0, {"minimum_volume": 1.2}),
        (0, {"minimum_revenue": 1.02}),
        (3, {"discount_budget": 0.5}),
        (0, {"discount_budget": 1.5, "minimum_volume": 1.03}),
        (2, {"minimum_revenue": 0.8}),
    ],
)
def test_agrees_with_the_exact_programme(pools, limits):
    portfolio = market(5, 120, pools, **limits)
    solution = solved(portfolio)
    assert all(state.is_met for state in solution.states)
    assert solution.duality_gap <= 1e-4
    assert solution.objective == pytest.approx(exact_objective(portfolio), rel=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_no_limit_is_violated(seed):
    solution = solved(market(seed, 200, 10, fraction=0.45 + 0.03 * seed, discount_budget=0.8))
    assert all(state.is_met for state in solution.states)
    assert (solution.multipliers >= 0).all()
    for state in solution.states:  # what is charged for is used up
        assert state.shadow_price == 0 or state.slack <= 0.01 * state.limit


def test_plentiful_stock_costs_nothing():
    solution = solved(market(0, 100, 3, fraction=1.01))
    assert (solution.multipliers == 0).all()
    assert solution.duality_gap == 0


def test_scarcer_stock_has_a_higher_bid_price():
    bids = [solved(market(1, 100, 1, fraction=fraction)).multipliers[0] for fraction in (0.9, 0.6, 0.3)]
    assert 0 < bids[0] < bids[1] < bids[2]


def test_what_no_price_can_keep_is_named():
    portfolio = market(2, 100, 2, fraction=0.7)
    starved = Portfolio(portfolio.objective, portfolio.quantity, portfolio.pool, portfolio.remaining * [1, 0.01])
    solution = solved(starved)
    assert [(state.pool_id, state.is_met) for state in solution.states] == [("k0", True), ("k1", False)]
    assert np.isfinite(solution.objective)


@pytest.mark.parametrize("limits", [{"minimum_volume": 5.0}, {"minimum_revenue": 5.0}])
def test_totals_out_of_reach_are_named(limits):
    solution = solved(market(3, 50, 0, **limits))
    assert [state.is_met for state in solution.states] == [False]


def test_no_rows():
    empty = np.array([])
    objective = Objective(DemandCurve(empty, empty), empty, empty)
    nothing = Portfolio(objective, empty, empty.astype(np.int64), np.array([5.0]))
    solution = solve([(nothing, PriceResponse(lambda shadow: empty, lambda shadow: Offer(empty, empty)))], ["k0"])
    assert solution.states[0].slack == 5.0
