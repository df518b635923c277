from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.demand.demand_curve import DemandCurve
from models.features.decisions import Decisions
from models.pricing.policy import PricingPolicy
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from models.simulation.season import Season, SeasonError, run_season
from models.simulation.season_pricing import ModelPricer

POOLS = 8


@cache
def hotel() -> Marketplace:
    return simulate(MarketplaceConfig("hotel", users=300, products=POOLS, offers=2_400))


@cache
def season(share: float = 1.0) -> Season:
    """A hotel's week; `share` of its capacities."""
    stock = hotel().tables["inventory"].set_index("pool_id")["capacity"]
    return Season.of(hotel(), (stock * share).round().to_dict())


def near_truth(decisions: Decisions) -> DemandCurve:
    """Logits of the true level and of the mean sensitivity of both classes of users."""
    curves = hotel().curves.reindex(decisions.frame["decision_id"])
    sensitivity = (curves["sensitivity"] * (1 - 0.65 * curves["business"])).to_numpy("float64")
    return DemandCurve(sensitivity, 1 + curves["level"].to_numpy("float64") / sensitivity)


def model(of: Season) -> ModelPricer:
    return of.pricer(near_truth, near_truth, PricingPolicy(), "EUR")


@pytest.mark.parametrize("control", ["re-solved", "solved once", "ignored"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_no_pool_sells_more_than_it_has(control: str, share: float) -> None:
    hotel = season(share)
    sale = run_season(hotel, hotel.oracle, control, seed=0, step_hours=24)
    assert (sale.left >= 0).all()
    assert sale.sold == pytest.approx(hotel.stock.sum() - sale.left.sum())


def test_scarcer_stock_raises_bid_prices() -> None:
    plenty, scarce = (
        run_season(season(share), season(share).oracle, "solved once", seed=0, step_hours=24) for share in (1.0, 0.3)
    )
    assert (scarce.bid_price[0] >= plenty.bid_price[0] - 1e-9).all()
    assert scarce.bid_price[0].mean() > plenty.bid_price[0].mean() + 1


def test_prices_that_follow_the_stock_earn_more_than_prices_that_ignore_it() -> None:
    hotel = season(0.4)
    followed, ignored = (
        np.mean([run_season(hotel, hotel.oracle, control, seed, step_hours=12).profit for seed in range(3)])
        for control in ("re-solved", "ignored")
    )
    assert followed > 1.02 * ignored
    assert followed <= 1.05 * hotel.bound


def test_equal_seeds_give_equal_seasons() -> None:
    hotel = season()
    first, second = (run_season(hotel, hotel.oracle, "re-solved", seed=3, step_hours=24).profit for _ in range(2))
    assert first == second


def test_a_shop_without_pools_has_no_season() -> None:
    with pytest.raises(SeasonError, match="ecommerce"):
        Season.of(simulate(MarketplaceConfig("ecommerce", users=50, products=8, offers=400)))


def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(SeasonError, match="0 hours"):
        run_season(season(), season().oracle, "ignored", seed=0, step_hours=0)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 90), min_size=POOLS, max_size=POOLS), st.integers(0, 99), st.sampled_from([24.0, 50.0]))
def test_a_model_keeps_to_any_stock(units: list[int], seed: int, step_hours: float) -> None:
    week = Season.of(hotel(), dict(zip(season().pool_ids, map(float, units), strict=True)))
    sale = run_season(week, model(week), "re-solved", seed, step_hours)
    assert (sale.left >= 0).all()
    assert sale.sold == sum(units) - sale.left.sum()


def test_groups_are_served_whole_or_not_at_all() -> None:
    requests = replace(hotel().requests, frame=hotel().requests.frame.assign(quantity=3.0))
    week = Season.of(replace(hotel(), requests=requests))
    sale = run_season(week, model(week), "ignored", seed=0, step_hours=24)
    assert sale.sold > 0
    assert pd.Series(week.stock - sale.left).mod(3).eq(0).all()


def test_ample_stock_is_worth_nothing_and_turns_nobody_away() -> None:
    week = season(1_000)
    sale = run_season(week, model(week), "re-solved", seed=0, step_hours=24)
    assert not sale.bid_price.any()
    assert sale.refused == 0
    assert sale.profit == run_season(week, model(week), "ignored", seed=0, step_hours=24).profit


def test_the_forecast_reads_nothing_that_is_yet_to_come() -> None:
    week, now = season(), 48.0
    rows, units = week.pick_up(now)
    assert (week.hour[rows] < now).all()
    came = (week.hour[week.requests] < now).sum()
    assert units.sum() == pytest.approx(came * (week.hours - now) / now, rel=0.05)


def test_a_week_without_requests_sells_nothing() -> None:
    nobody = hotel().requests.select(np.zeros(len(hotel().requests), dtype=bool))
    week = Season.of(replace(hotel(), requests=nobody))
    sale = run_season(week, model(week), "re-solved", seed=0, step_hours=24)
    assert (sale.profit, sale.sold, sale.refused) == (0, 0, 0)
    assert np.isnan(sale.mean_price_ratio)


def test_two_weeks_of_stock_are_no_season() -> None:
    with pytest.raises(SeasonError, match="days a multiple of 7"):
        Season.of(simulate(MarketplaceConfig("hotel", users=50, products=8, offers=400, days=31)))
