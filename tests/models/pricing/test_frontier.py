from datetime import date

import numpy as np
import pandas as pd

from models.demand.demand_curve import DemandCurve
from models.pricing.book_request import BookRequest
from models.pricing.book_sample import BookReservoir, BookSample
from models.pricing.frontier import profit_satisfaction_frontier
from models.pricing.policy import Exploration, Guardrails, Portfolio, PricingPolicy
from models.pricing.price_book import price_book


def sample_of(policy: PricingPolicy, rows: int = 400, drawn: int = 150) -> BookSample:
    rng = np.random.default_rng(0)
    decisions = pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(rows)],
            "product_id": "p",
            "list_price": 100.0,
            "unit_cost": np.where(np.arange(rows) % 10, 40.0, np.nan),  # every tenth is refused
            "floor": np.nan,
            "ceiling": np.nan,
            "consent": True,
            "quantity": rng.integers(1, 4, rows).astype(float),
        }
    )
    curve = DemandCurve(rng.uniform(2, 6, rows), rng.uniform(0.6, 1.3, rows))
    request = BookRequest(
        decisions, curve, curve, policy, "EUR",
        live_price=pd.Series(np.full(rows, 80.0)), exploration_period=date(2026, 11, 2), group=np.arange(rows) % 2,
    )  # fmt: skip
    return BookSample.draw(request, price_book(request), drawn, seed=0)


OPEN = PricingPolicy(guardrails=Guardrails(maximum_markup=2.0), exploration=Exploration(share=0.2))


def test_satisfaction_is_bought_with_profit():
    points = profit_satisfaction_frontier(sample_of(OPEN), [0.0, 0.3, 0.6, 0.9])
    assert (np.diff(points["surplus"]) > 0).all()
    assert (np.diff(points["profit"]) < 0).all()


def test_tight_guardrails_leave_little_to_choose():
    rails = Guardrails(maximum_step=0.01, maximum_markup=2.0)
    points = profit_satisfaction_frontier(sample_of(PricingPolicy(guardrails=rails)), [0.0, 0.9])
    free = profit_satisfaction_frontier(sample_of(OPEN), [0.0, 0.9])
    assert np.ptp(points["surplus"]) < 0.1 * np.ptp(free["surplus"])


def test_a_book_s_limits_keep_their_worth():
    policy = OPEN.model_copy(update={"portfolio": Portfolio(minimum_volume=500.0)})
    sample = sample_of(policy)
    assert sample.terms.volume_bonus > 0
    assert np.isfinite(profit_satisfaction_frontier(sample, [0.0, 0.5]).to_numpy()).all()


def test_a_sample_holds_priced_rows_and_all_that_belongs_to_them():
    sample = sample_of(OPEN)
    assert len(sample.prices) == len(sample.request.decisions) == len(sample.request.curve) == 150
    assert sample.prices["price"].notna().all()
    number = sample.request.decisions["user_id"].str.removeprefix("u").astype(int)
    assert (np.asarray(sample.request.group) == number % 2).all()
    assert len(sample_of(OPEN, drawn=10_000).prices) == 360


def test_a_sample_of_blocks_is_in_order_and_favours_none():
    kept = np.zeros(40)
    for seed in range(200):
        reservoir = BookReservoir(10, seed)
        whole = sample_of(OPEN, rows=40, drawn=40)
        refused = whole.prices.assign(refused=[None if row % 4 else "invalid_unit_cost" for row in whole.prices.index])
        for start in range(0, len(refused), 9):
            rows = slice(start, start + 9)
            reservoir.add(whole.request.take(rows), refused.iloc[rows], whole.terms)
        users = reservoir.sample.request.decisions["user_id"].str[1:].astype(int).to_numpy()
        assert len(users) == 10 and (np.diff(users) > 0).all()
        assert reservoir.sample.prices["refused"].isna().all()
        kept[users] += 1
    chosen = kept[kept > 0] / 200
    assert len(chosen) == 27  # the priced ones
    assert abs(chosen - 10 / 27).max() < 0.15
