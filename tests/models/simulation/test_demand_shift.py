import numpy as np
import pandas as pd
import pytest

from models.simulation.demand_shift import DemandShift, DemandShiftError
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from models.simulation.tables import START

AT = START + pd.Timedelta(days=14)


@pytest.fixture(scope="module")
def market() -> Marketplace:
    return simulate(MarketplaceConfig(users=100, products=8, offers=1_500, days=28))


def later(market: Marketplace) -> np.ndarray:
    return (market.log.frame["decided_at"] >= AT).to_numpy()


def test_demand_before_the_moment_stays(market: Marketplace) -> None:
    shifted, ratio = market.shifted(DemandShift(AT, 0.85, 1.4)), market.log.price_ratio
    changed = shifted.purchase_probability(market.log, ratio) != market.purchase_probability(market.log, ratio)
    np.testing.assert_array_equal(changed, later(market))
    np.testing.assert_array_equal(shifted.log.purchased, market.log.purchased)


def test_less_willingness_is_what_dearer_prices_were(market: Marketplace) -> None:
    shifted, ratio = market.shifted(DemandShift(AT, willingness=0.85)), market.log.price_ratio
    after = later(market)
    found = shifted.purchase_probability(market.log, ratio)[after]
    np.testing.assert_allclose(found, market.purchase_probability(market.log, ratio / 0.85)[after])


@pytest.mark.parametrize("domain", ["ecommerce", "hotel", "finance"])
def test_more_sensitivity_turns_demand_about_list_price(domain: str) -> None:
    market = simulate(MarketplaceConfig(domain, users=100, products=8, offers=600, days=28))  # type: ignore[arg-type]
    shifted, after = market.shifted(DemandShift(AT, sensitivity=1.4)), later(market)
    for ratio, holds in ((0.8, np.greater), (1.0, np.isclose), (1.2, np.less)):
        at = np.full(len(market.log), ratio)
        before, now = (each.purchase_probability(market.log, at)[after] for each in (market, shifted))
        assert holds(now, before).all()


def test_who_knows_the_shift_charges_less_after_it(market: Marketplace) -> None:
    before, after = market.oracle(market.requests), market.shifted(DemandShift(AT, 0.85)).oracle(market.requests)
    assert (after <= before + 1e-9).all()
    assert after.mean() < before.mean()


@pytest.mark.parametrize("wrong", [{"willingness": 0.0}, {"sensitivity": -1.0}, {"willingness": float("nan")}])
def test_a_factor_must_be_above_0(wrong: dict[str, float]) -> None:
    with pytest.raises(DemandShiftError, match="above 0"):
        DemandShift(AT, **wrong)
