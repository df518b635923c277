"""What pricing managers ask policies for, as examples: each moves prices the way the field expects."""

import numpy as np
import pandas as pd
import pytest

from models.demand.demand_curve import DemandCurve
from models.pricing.book_request import BookRequest
from models.pricing.decide import price_decisions
from models.pricing.policy import PricingPolicy
from models.pricing.presets import PRESETS
from models.pricing.price_book import price_book

ROWS = 200


def decisions(**columns) -> pd.DataFrame:
    given = {
        "user_id": [f"u{row}" for row in range(ROWS)],
        "product_id": "p",
        "list_price": 100.0,
        "unit_cost": 30.0,
        "floor": np.nan,
        "ceiling": np.nan,
        "consent": True,
    }
    return pd.DataFrame(given | columns)


def curve(sensitivity=4.0, valuation=0.9) -> DemandCurve:
    return DemandCurve(np.zeros(ROWS) + sensitivity, np.zeros(ROWS) + valuation)


def priced(policy: PricingPolicy, personal: DemandCurve, uniform: DemandCurve | None = None) -> pd.DataFrame:
    return price_decisions(decisions(), personal, uniform or curve(), policy, "EUR")


@pytest.mark.parametrize("preset", ["open", "ecommerce", "hotel", "health_services"])
def test_the_longer_absent_the_lower_the_price_that_wins_back(preset):
    absent_days = np.linspace(0, 180, ROWS)
    cooling = curve(valuation=0.9 - 0.002 * absent_days)  # who has been away longer is ready to pay less
    prices = priced(PRESETS[preset], cooling)
    assert (np.diff(prices["price"]) <= 0).all()
    assert prices["price"].iloc[-1] < 0.97 * prices["price"].iloc[0]
    assert (prices["price"].iloc[1:] <= prices["uniform_price"].iloc[1:]).all()


@pytest.mark.parametrize("preset", ["open", "hotel", "road_tolls"])
def test_peak_season_raises_prices(preset):
    demand_index = np.linspace(-0.3, 0.5, ROWS)
    season = curve(valuation=0.9 + demand_index)  # a shared signal: strangers' demand moves with it
    prices = priced(PRESETS[preset], season, season)
    assert (np.diff(prices["price"]) >= 0).all()
    assert prices["price"].iloc[-1] > 1.05 * prices["price"].iloc[0]


@pytest.mark.parametrize("preset", ["open", "hotel"])
def test_scarcity_raises_prices(preset):
    rng = np.random.default_rng(0)
    personal = curve(rng.uniform(3, 5, ROWS), rng.uniform(0.7, 1.1, ROWS))

    def mean_price(units: float) -> float:
        request = BookRequest(decisions(pool_id="k"), personal, curve(), PRESETS[preset], "EUR", remaining={"k": units})
        book = price_book(request)
        assert book.certificate.is_certified
        return float(book.prices["price"].mean())

    plenty, few, fewer = (mean_price(units) for units in (1_000.0, 70.0, 50.0))
    assert plenty < few < fewer


def test_the_loyal_who_mind_no_price_never_pay_more_than_strangers():
    insensitive = curve(np.linspace(0.5, 4, ROWS), np.linspace(2.0, 0.9, ROWS))
    prices = priced(PRESETS["ecommerce"], insensitive)
    assert (prices["price"] <= prices["uniform_price"]).all()
    assert (priced(PRESETS["open"], insensitive)["price"] > prices["price"]).mean() > 0.9  # profit alone would


def test_what_satisfaction_weighs_comes_off_the_price():
    weighed = [priced(PricingPolicy(satisfaction_weight=weight), curve())["price"].iloc[0] for weight in (0, 0.3, 0.9)]
    assert weighed[0] > weighed[1] > weighed[2] > 30.0
