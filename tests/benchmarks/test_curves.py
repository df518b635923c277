import numpy as np
import pytest

from models.demand.demand_curve import DemandCurve
from models.simulation.marketplace import MarketplaceConfig, simulate
from tests.benchmarks.curves import IndexCurves, MixedCurves, best_ratio
from tests.benchmarks.scenario import Scenario


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    market = simulate(MarketplaceConfig(users=100, products=6, offers=1_000))
    order = np.argsort(market.log.decided_at, kind="stable")
    return Scenario(market, market.log.select(order[:900]), market.log.select(order[900:]), market.requests)


def test_the_grid_finds_the_closed_forms_price(scenario: Scenario):
    rng = np.random.default_rng(0)
    rows = len(scenario.requests)
    sensitivity, valuation = rng.uniform(2, 8, rows), rng.uniform(0.5, 1.2, rows)
    exact = best_ratio(DemandCurve(sensitivity, valuation), scenario)
    searched = best_ratio(IndexCurves(sensitivity * valuation, -sensitivity, "logit"), scenario)
    lower, upper = scenario.bounds
    assert np.abs(exact - searched).max() <= ((upper - lower) / 50).max()
    assert ((searched >= lower) & (searched <= upper)).all()


def test_a_mixture_of_one_node_is_a_logit():
    level, ratio = np.array([1.0, 2.0]), np.linspace([0.5, 0.5], [1.5, 1.5], 5)
    mixed = MixedCurves(level, np.array([-3.0]), np.ones((2, 1)))
    assert mixed.purchase_probability(ratio) == pytest.approx(
        IndexCurves(level, np.full(2, -3.0), "logit").purchase_probability(ratio)
    )


def test_a_linear_curve_stays_a_probability():
    curves = IndexCurves(np.array([0.9]), np.array([-2.0]), "linear")
    assert curves.purchase_probability(np.array([[0.0], [0.2], [1.0]])).ravel() == pytest.approx([0.9, 0.5, 0.0])


def test_the_best_price_by_the_truth_has_no_regret(scenario: Scenario):
    best = scenario.market.oracle(scenario.requests)
    assert scenario.market.profit(scenario.requests, best).sum() == pytest.approx(scenario.best_profit.sum())
    for ratio in (scenario.last_logged, scenario.market.best_uniform_ratio(scenario.requests)):
        assert scenario.market.profit(scenario.requests, ratio).sum() < scenario.best_profit.sum()
