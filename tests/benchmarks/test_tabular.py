import numpy as np
import pandas as pd
import pytest

from models.features.decisions import Decisions
from models.simulation.marketplace import MarketplaceConfig, simulate
from tests.benchmarks.tabular import Tabular, behaviour_summary

NOW = pd.Timestamp("2026-03-01 12:00", tz="UTC")


@pytest.fixture
def two_users() -> Decisions:
    """One user who saw both categories, most of it long ago, and one of whom nothing is known."""
    events = pd.DataFrame(
        {
            "kind": ["view", "cart", "view", "view"],
            "product_id": "p",
            "category": ["lamp", "lamp", "watch", "lamp"],
            "dwell_seconds": [np.nan, np.e - 1, 0.0, 0.0],
            "occurred_at": pd.Series([NOW - pd.Timedelta(days=days) for days in (9, 3, 2, 0.5)]).astype(
                "datetime64[us, UTC]"
            ),
        }
    )
    frame = pd.DataFrame(
        {
            "decision_id": ["a", "b"],
            "user_id": ["u", "w"],
            "product_id": "p",
            "category": "lamp",
            "decided_at": pd.Series([NOW, NOW]).astype("datetime64[us, UTC]"),
            "list_price": 10.0,
            "events_start": [0, 4],
            "events_end": [4, 4],
        }
    )
    return Decisions(frame, events)


def test_behaviour_is_counted_by_kind_time_and_category(two_users: Decisions):
    found = {name: column.tolist() for name, column in behaviour_summary(two_users, ("view", "cart")).items()}
    assert found["behaviour_ever_view"] == [0.75, 0.0]
    assert found["behaviour_ever_category"] == [0.75, 0.0]
    assert found["behaviour_ever_dwell"] == [pytest.approx(0.25), 0.0]
    assert found["behaviour_day_view"] == [pytest.approx(np.log(2)), 0.0]
    assert found["behaviour_day_cart"] == [0.0, 0.0]
    assert found["behaviour_day_category"] == [1.0, 0.0]
    assert found["behaviour_ever_events"] == [pytest.approx(np.log(5)), 0.0]


def test_the_table_hides_what_there_is_no_consent_for_and_no_price_or_cost_or_instrument_is_in_it():
    market = simulate(MarketplaceConfig(users=300, products=6, offers=3_000))
    tabular = Tabular.of(market.log, market.requests)
    hidden = ~market.log.consent
    assert hidden.any()
    personal = [
        name for name in tabular.learning if name.startswith(("user_attr_", "activity_", "pair_", "behaviour_"))
    ]
    assert tabular.learning.loc[hidden, personal].isna().all(axis=None)
    names = " ".join(tabular.learning)
    assert not any(word in names for word in ("price_ratio", "unit_cost", "instrument", "purchased", "randomised"))
    assert np.isfinite(tabular.scaled_requests.to_numpy()).all()
    assert list(tabular.requests) == list(tabular.learning)
