from functools import cache

import numpy as np
import pytest

from models.marketplace import MarketplaceConfig, simulate
from models.season import Season, SeasonError, run_season


@cache
def season(share: float = 1.0) -> Season:
    """A hotel's week; `share` of its capacities."""
    market = simulate(MarketplaceConfig("hotel", users=300, products=8, offers=2_400))
    stock = market.tables["inventory"].set_index("pool_id")["capacity"]
    return Season.of(market, (stock * share).round().to_dict())


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
