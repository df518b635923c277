import numpy as np
import pytest

from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from models.simulation.surplus import true_surplus


@pytest.fixture(scope="module", params=["ecommerce", "hotel", "automobile"])
def market(request: pytest.FixtureRequest) -> Marketplace:
    return simulate(MarketplaceConfig(request.param, users=30, products=5, offers=200))


def test_it_is_the_area_under_the_demand_curve(market: Marketplace) -> None:
    requests, price = market.requests, np.full(120, 0.9)
    steps = np.linspace(0, 12, 4_001)
    demand = [market.purchase_probability(requests, price + step) for step in steps]
    area = np.trapezoid(demand, steps, axis=0) * requests.list_price
    assert true_surplus(market, requests, price) == pytest.approx(area, rel=0.01)


def test_a_lower_price_leaves_more(market: Marketplace) -> None:
    dear, cheap = (true_surplus(market, market.requests, np.full(120, ratio)) for ratio in (1.1, 0.8))
    assert (cheap > dear).all()
