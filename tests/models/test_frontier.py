import numpy as np
import pandas as pd

from models.demand_curve import DemandCurve
from models.frontier import BookSample, profit_satisfaction_frontier
from models.policy import Exploration, Guardrails, Portfolio, PricingPolicy
from models.price_book import BookRequest, price_book


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
        live_price=pd.Series(np.full(rows, 80.0)), exploration_period="w1", group=np.arange(rows) % 2,
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
