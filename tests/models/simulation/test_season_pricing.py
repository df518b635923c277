from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.demand.demand_curve import DemandCurve
from models.features.decisions import Decisions
from models.pricing.objective import Objective
from models.pricing.policy import PricingPolicy
from models.pricing.portfolio import Offer, Portfolio, PriceResponse, solve
from models.pricing.shadow_prices import ChargedObjective, ShadowPrices
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from models.simulation.season_pricing import LIST_PRICE, ModelPricer, OraclePricer, bid_prices, highest_profit

POOLS = 8
PERMISSIVE = PricingPolicy.from_mapping({"guardrails": {"currency_digits": 6}}, "test")


@cache
def hotel() -> Marketplace:
    return simulate(MarketplaceConfig("hotel", users=100, products=POOLS, offers=600))


def near_truth(decisions: Decisions) -> DemandCurve:
    """Logits of the true level and of the mean sensitivity of both classes of users."""
    curves = hotel().curves.loc[decisions.frame["decision_id"]]
    sensitivity = (curves["sensitivity"] * (1 - 0.65 * curves["business"])).to_numpy()
    return DemandCurve(sensitivity, 1 + curves["level"].to_numpy() / sensitivity)


def model(policy: PricingPolicy = PERMISSIVE) -> ModelPricer:
    requests = hotel().requests
    return ModelPricer.of(requests, near_truth(requests), near_truth(requests), policy, "EUR")


def pools() -> np.ndarray:
    return np.unique(hotel().requests.frame["pool_id"], return_inverse=True)[1]


UNITS = np.ones(400)
HIGHEST = np.full(POOLS, 1_000.0)


def sales(pricer: ModelPricer | OraclePricer, bid: np.ndarray) -> np.ndarray:
    return np.bincount(pools(), pricer.probability(pricer.price(bid[pools()])), POOLS)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.5, 60), min_size=POOLS, max_size=POOLS), st.floats(0.3, 0.99))
def test_scarcer_stock_is_dearer_and_expected_sales_fit_it(units: list[float], share: float) -> None:
    stock = np.array(units)
    ample, scarce = (bid_prices(model(), UNITS, pools(), left, HIGHEST) for left in (stock, share * stock))
    assert (scarce >= ample).all()
    within_reach = scarce < HIGHEST
    assert (sales(model(), scarce) <= share * stock)[within_reach].all()
    dearest = np.full(POOLS, 1_000.0)
    assert (sales(model(), dearest) > share * stock)[~within_reach].all()


def test_stock_for_everyone_is_worth_nothing() -> None:
    assert not bid_prices(model(), UNITS, pools(), np.full(POOLS, 1e6), HIGHEST).any()


def test_bid_prices_are_those_of_the_portfolio() -> None:
    frame, pool = hotel().requests.frame, pools()
    stock = np.full(POOLS, 8.0)
    list_price, cost, floor, ceiling = (
        frame[name].to_numpy("float64") for name in ("list_price", "unit_cost", "floor", "ceiling")
    )
    objective = Objective(near_truth(hotel().requests), list_price, cost)

    def relaxed(shadow: ShadowPrices) -> np.ndarray:
        return np.clip(ChargedObjective(objective, shadow).optimum(), floor, ceiling)

    portfolio = Portfolio(objective, UNITS, pool, stock)
    response = PriceResponse(relaxed, lambda shadow: Offer(relaxed(shadow), relaxed(shadow)))
    expected = solve([(portfolio, response)], [str(number) for number in range(POOLS)]).multipliers[:POOLS]
    found = bid_prices(model(), UNITS, pool, stock, HIGHEST)
    assert found.min() > 1
    assert found == pytest.approx(expected, rel=2e-3)


def test_the_oracle_finds_the_prices_of_the_marketplace() -> None:
    market, frame = hotel(), hotel().requests.frame
    oracle, bid = OraclePricer.of(market, market.requests), np.full(400, 30.0)
    price = oracle.price(bid)
    best = market.best_ratio(market.requests, frame["unit_cost"].to_numpy("float64") + bid)

    def value(ratio: np.ndarray) -> np.ndarray:
        margin = ratio * market.requests.list_price - frame["unit_cost"].to_numpy("float64") - bid
        return market.purchase_probability(market.requests, ratio) * margin

    assert value(price / market.requests.list_price).sum() == pytest.approx(value(best).sum(), rel=1e-3)
    truth = market.purchase_probability(market.requests, best)
    assert oracle.probability(best * market.requests.list_price) == pytest.approx(truth, abs=1e-3)


def test_no_bid_price_earns_more_than_the_bound() -> None:
    oracle = OraclePricer.of(hotel(), hotel().requests)
    stock = np.full(POOLS, 8.0)
    bound = highest_profit(oracle, UNITS, pools(), stock, HIGHEST)
    for pricer in (oracle, model()):
        bid = bid_prices(pricer, UNITS, pools(), stock, HIGHEST)
        price = pricer.price(bid[pools()])
        sold = oracle.probability(price)
        served = np.minimum(1, stock / np.bincount(pools(), sold))[pools()]
        assert float((served * sold * oracle.margin(price)).sum()) <= bound


def test_selected_rows_have_the_same_prices() -> None:
    rows, bid = np.array([7, 3, 300]), np.array([0.0, 10.0, 20.0])
    for pricer in (model(), OraclePricer.of(hotel(), hotel().requests)):
        charged = np.zeros(400)
        charged[rows] = bid
        assert pricer.select(rows).price(bid) == pytest.approx(pricer.price(charged)[rows])


def test_list_price_follows_no_bid_price() -> None:
    price = model(LIST_PRICE).price(np.full(400, 50.0))
    assert price == pytest.approx(hotel().requests.list_price)
