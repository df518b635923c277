import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features.columns import Vocabulary
from models.features.decisions import Decisions, microseconds
from models.features.event_counts import RECENT, event_counts

NOW = pd.Timestamp("2026-03-01 12:00", tz="UTC")
KINDS, CATEGORIES = Vocabulary(("cart", "purchase", "view")), Vocabulary(("lamp", "watch"))


def decisions_over(events, asked):
    """One decision at NOW for each category in `asked`, all by one user who has seen all events."""
    frame = pd.DataFrame(
        {
            "decision_id": [str(number) for number in range(len(asked))],
            "user_id": "u",
            "product_id": "p",
            "category": pd.Series(asked, dtype="str"),
            "decided_at": pd.Series([NOW] * len(asked)).astype("datetime64[us, UTC]"),
            "list_price": 1.0,
            "events_start": 0,
            "events_end": len(events),
        }
    )
    hours = [hours for _, _, hours in events]
    times = pd.Series([NOW - pd.Timedelta(hours=value) for value in hours], dtype="datetime64[us, UTC]")
    table = pd.DataFrame(
        {
            "kind": pd.Series([kind for kind, _, _ in events], dtype="str"),
            "product_id": None,
            "category": pd.Series([category for _, category, _ in events], dtype="str"),
            "dwell_seconds": np.nan,
            "occurred_at": times,
        }
    )
    return Decisions(frame, table)


def counts(decisions):
    events = decisions.events
    kind, category = KINDS.encode(events["kind"]), CATEGORIES.encode(events["category"])
    return event_counts(decisions, kind, category, microseconds(events["occurred_at"]), KINDS, CATEGORIES)


def test_shares_are_of_all_events_and_recent_ones_of_the_category_alone():
    events = [("view", "lamp", 200), ("view", "lamp", 30), ("cart", "lamp", 2), ("view", "watch", 1)]
    events.insert(1, ("purchase", "lamp", 100))  # counted elsewhere
    found = counts(decisions_over(events, ["lamp", "watch", "kettle", None]))
    np.testing.assert_allclose(found["activity_share_view"], np.log(3.5 / 5))
    np.testing.assert_allclose(found["activity_share_cart"], np.log(1.5 / 5))
    np.testing.assert_allclose(found["pair_recent_cart"], np.log1p([1, 0, 0, 0]))
    np.testing.assert_allclose(found["pair_recent_view"], np.log1p([0, 1, 0, 0]))


def test_without_events_no_share_is_known():
    found = counts(decisions_over([], ["lamp"]))
    assert found.filter(like="activity_").isna().all(axis=None)
    assert (found.filter(like="pair_") == 0).all(axis=None)


def test_a_category_that_is_not_known_matches_nothing_though_events_have_it_too():
    found = counts(decisions_over([("view", "kettle", 1), ("view", None, 1)], ["kettle", None]))
    assert (found["pair_recent_view"] == 0).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row(rows):
    found = counts(decisions_over([("view", "lamp", 1)], ["lamp"] * rows))
    assert found.shape == (rows, 4)


EVENT = st.tuples(
    st.sampled_from(["view", "cart", "purchase", "other"]), st.sampled_from(["lamp", "watch"]), st.integers(1, 60)
)


@given(st.lists(EVENT, max_size=30), st.data())
def test_counts_are_what_counting_one_by_one_finds(events, data):
    """Also where decisions have seen different parts of the events."""
    events = sorted(events, key=lambda event: -event[2])
    decisions = decisions_over(events, ["lamp", "watch", "lamp"])
    bounds = st.integers(0, len(events))
    windows = [sorted((data.draw(bounds), data.draw(bounds))) for _ in range(3)]
    frame = decisions.frame.assign(events_start=[w[0] for w in windows], events_end=[w[1] for w in windows])
    found = counts(Decisions(frame, decisions.events))
    for row, (start, end) in enumerate(windows):
        seen = events[start:end]
        recent = [kind for kind, about, hours in seen if about == frame["category"][row] and hours * 3.6e9 <= RECENT]
        kinds = [kind for kind, _, _ in seen if kind in ("cart", "view")]
        for kind in ("cart", "view"):
            assert found[f"pair_recent_{kind}"][row] == pytest.approx(np.log1p(recent.count(kind)))
            share = (kinds.count(kind) + 0.5) / (len(kinds) + 1) if kinds else np.nan
            assert found[f"activity_share_{kind}"][row] == pytest.approx(np.log(share), nan_ok=True)
