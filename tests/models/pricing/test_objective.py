import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import wrightomega

from models.demand.demand_curve import DemandCurve
from models.pricing.objective import STRATEGIES, Objective, closed_form


def random_objective(seed: int, weight: float, rows: int = 200) -> Objective:
    rng = np.random.default_rng(seed)
    list_price = rng.uniform(1, 500, rows)
    curve = DemandCurve(rng.uniform(0.3, 40, rows), rng.uniform(-1, 3, rows))
    return Objective(curve, list_price, list_price * rng.uniform(0, 1.2, rows), weight)


def single(sensitivity, valuation, cost=0.0, list_price=1.0, weight=0.0) -> Objective:
    curve = DemandCurve(np.array([sensitivity]), np.array([valuation]))
    return Objective(curve, np.array([list_price]), np.array([cost]), weight)


@pytest.mark.parametrize("strategy", ["gradient_ascent", "grid"])
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_strategies_find_the_closed_form_price(strategy, weight, seed):
    objective = random_objective(seed, weight)
    found = STRATEGIES[strategy](objective)
    np.testing.assert_allclose(found / objective.list_price, closed_form(objective) / objective.list_price, atol=1e-6)


@given(st.floats(0.1, 50), st.floats(-2, 4), st.floats(0, 2), st.floats(0, 0.99), st.floats(0.01, 3))
def test_no_other_price_is_better(sensitivity, valuation, cost, weight, distance):
    objective = single(sensitivity, valuation, cost, weight=weight)
    best = closed_form(objective)
    value = objective.value(best) * (1 + 1e-12)
    assert value >= objective.value(best + distance)
    assert value >= objective.value(best - distance)


def test_value_and_probability_at_the_maximum():
    objective = random_objective(7, 0.0)
    curve, list_price = objective.curve, objective.list_price
    best = closed_form(objective)
    omega = wrightomega(curve.logit(objective.marginal_cost / list_price) - 1)
    np.testing.assert_allclose(objective.value(best), list_price * omega / curve.sensitivity, rtol=1e-9)
    np.testing.assert_allclose(curve.purchase_probability(best / list_price), omega / (1 + omega), rtol=1e-9)


def test_the_price_nears_cost_as_satisfaction_gains_weight():
    prices = [closed_form(single(3.0, 1.2, 0.6, weight=weight))[0] for weight in (0.0, 0.5, 0.9, 1 - 1e-9)]
    assert prices == sorted(prices, reverse=True)
    assert prices[-1] == pytest.approx(0.6, abs=1e-6)


@pytest.mark.parametrize("valuation", [-1e7, -1e3, 1e3, 1e7])
@pytest.mark.parametrize("weight", [0.0, 0.9])
def test_extreme_log_odds_give_a_finite_price(valuation, weight):
    objective = single(5.0, valuation, cost=0.4, weight=weight)
    price = closed_form(objective)[0]
    if valuation < 0:  # nobody buys: the margin of the last buyer
        assert price == pytest.approx(0.4 + (1 - weight) / 5)
    else:  # everybody buys just below the valuation
        assert price == pytest.approx(valuation, rel=0.01)


@pytest.mark.parametrize("valuation", [-400.0, -3.0])
def test_gradient_ascent_needs_no_demand_to_follow(valuation):
    objective = single(5.0, valuation, cost=0.4, weight=0.4)
    np.testing.assert_allclose(STRATEGIES["gradient_ascent"](objective), closed_form(objective), atol=1e-9)


def test_scarce_stock_raises_the_price():
    plain, scarce = single(4.0, 1.0, cost=0.5), single(4.0, 1.0, cost=0.5 + 0.3)
    assert closed_form(scarce) > closed_form(plain)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_rows(strategy):
    empty = Objective(DemandCurve(np.array([]), np.array([])), np.array([]), np.array([]))
    assert STRATEGIES[strategy](empty).shape == (0,)
