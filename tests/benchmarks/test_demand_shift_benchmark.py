from dataclasses import replace

import numpy as np
import pytest

from models.simulation.live_market import LiveMarket
from models.simulation.marketplace import MarketplaceConfig, simulate
from tests.benchmarks.closed_loop import policy
from tests.benchmarks.demand_shift import DAY, SHIFTS, Course, Watch, judged, quoted, summary, traced, watched
from tests.benchmarks.demand_shift_report import drawn, markdown, smoothed
from tests.benchmarks.promotion import Distortion, StandIn

COURSE = Course(users=600, products=12, daily=400, log_days=14, days=12, shift_day=6, looks=1)


@pytest.fixture(scope="module")
def live() -> LiveMarket:
    days = COURSE.log_days + COURSE.days + 1
    return LiveMarket.opened(simulate(MarketplaceConfig(users=600, products=12, offers=400 * days, days=days)), 14)


@pytest.fixture(scope="module")
def stand_in(live: LiveMarket) -> StandIn:
    """The truth itself in place of a trained model."""
    return StandIn(live.market, Distortion("truth"), seed=0)


def test_detection_counts_the_windows_of_changed_demand():
    assert Watch("s", 0, [], [["purchases"], [], [], ["profit"]]).detection(2) == 2
    assert Watch("s", 0, [], [["purchases"], [], []]).detection(1) is None


def test_quotes_keep_the_policy_and_draw_anew_each_day(live: LiveMarket, stand_in: StandIn):
    visits = live.visits(live.opens_at, live.opens_at + 2 * DAY)
    quotes = quoted(stand_in, visits, live, policy())
    assert (quotes["price"] / quotes["list_price"]).between(0.7 - 0.01, 1.3 + 0.01).all()
    assert quotes["price"].between(quotes["lower"] - 1e-9, quotes["upper"] + 1e-9).all()
    assert 0.05 < quotes["randomised"].mean() < 0.16
    assert set(quotes["window"]) == {0, 1}
    np.testing.assert_array_equal(quotes["user_id"], visits.frame["user_id"])


def test_a_strong_shift_is_seen_and_no_shift_hardly(live: LiveMarket, stand_in: StandIn, monkeypatch):
    monkeypatch.setitem(SHIFTS, "willingness × 0.85", {"willingness": 0.7})
    visits = live.visits(live.opens_at, live.opens_at + COURSE.days * DAY)
    quotes = quoted(stand_in, visits, live, policy())
    names, seeds = ("none", "willingness × 0.85"), range(6)
    of = summary([watched(quotes, visits, live, name, COURSE, seed) for name in names for seed in seeds], COURSE)
    assert of["willingness × 0.85"]["detected"] == 6
    assert of["willingness × 0.85"]["median_windows"] <= 4
    assert of["none"]["windows_without_shift"] == 72
    assert of["none"]["false_alarms"] <= 7  # weeks in which the whole market wants more or less


def test_more_looks_see_what_fewer_do(live: LiveMarket, stand_in: StandIn):
    visits = live.visits(live.opens_at, live.opens_at + COURSE.days * DAY)
    quotes = quoted(stand_in, visits, live, policy())
    daily, often = (
        watched(quotes, visits, live, "willingness × 0.85", replace(COURSE, days=8, looks=looks), 0) for looks in (1, 4)
    )
    for once, more in ((daily.breached, often.breached), (daily.alarmed, often.alarmed)):
        assert once[-1] and all(set(few) <= set(many) for few, many in zip(once, more, strict=True))


def test_the_features_that_nobody_changed_are_stable(live: LiveMarket, stand_in: StandIn):
    visits = live.visits(live.opens_at, live.opens_at + 3 * DAY)
    quotes = quoted(stand_in, visits, live, policy()).assign(purchased=False)
    features = [
        one
        for one in judged(quotes, live, live.opens_at + 2 * DAY, features=True)[0]
        if one.check.startswith("feature")
    ]
    by_name = {one.check: one for one in features}
    assert {"feature kind", "feature category", "feature dwell_seconds"} <= set(by_name)
    assert not any(by_name[f"feature {name}"].is_breached for name in ("kind", "category", "dwell_seconds"))
    assert by_name["feature kind"].rows > 100


def test_a_course_is_drawn_and_told(live: LiveMarket, stand_in: StandIn):
    short = replace(COURSE, days=8, shift_day=4)
    courses = [traced(stand_in, live, name, short, retrain=False) for name in ("none", "sensitivity × 1.4")]
    assert all(0.8 < share <= 1 + 1e-9 for course in courses for share in course["share"])
    assert np.mean(courses[1]["share"][4:]) < np.mean(courses[1]["share"][:4])
    told = {
        "course": {"daily": 400, "shift_day": 4, "looks": 1},
        "summary": summary([Watch("none", 0, [[]] * 8, [[]] * 8)], short),
    }
    text = markdown(told, courses)
    assert "| none |  |  |  | 0 of 8 |" in text
    assert "| sensitivity × 1.4, no new model |" in text
    assert len(drawn(courses, 4).axes) == 2


def test_smoothing_averages_what_is_there():
    np.testing.assert_allclose(smoothed(np.array([1.0, 2.0, 6.0, 7.0])), [1.0, 1.5, 3.0, 5.0])
