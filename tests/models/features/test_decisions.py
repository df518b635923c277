import numpy as np
import pandas as pd
import pytest

from models.features.decisions import Decisions, DecisionsError, EmptySplitError, split_by_time


def test_split_holds_out_the_last_days_in_time_order(make_log):
    decisions = make_log(2000).decisions
    split = split_by_time(decisions, holdout_days=14, validation_days=7)
    assert len(split.train) + len(split.validation) + len(split.test) == len(decisions)
    assert split.train.decided_at.max() < split.validation.decided_at.min()
    assert split.validation.decided_at.max() < split.test.decided_at.min()
    day = 86_400_000_000
    assert split.test.decided_at.min() > decisions.decided_at.max() - 14 * day
    assert split.validation.decided_at.max() <= decisions.decided_at.max() - 14 * day


def test_a_short_log_gives_up_a_fifth_and_a_tenth_of_its_span(make_log):
    decisions = make_log(2000).decisions
    last, span = decisions.decided_at.max(), np.ptp(decisions.decided_at)
    split = split_by_time(decisions, holdout_days=28, validation_days=14)
    assert split.test.decided_at.min() > last - span / 5
    assert split.train.decided_at.max() <= last - span * 0.3


def test_a_split_without_rows_is_named(make_log):
    decisions = make_log(200).decisions
    at_once = decisions.select(decisions.decided_at == decisions.decided_at[0])
    with pytest.raises(EmptySplitError, match=r"part of .* decisions"):
        split_by_time(at_once)
    with pytest.raises(EmptySplitError, match="no decisions"):
        split_by_time(decisions.select(np.zeros(len(decisions), dtype=bool)))


def test_select_takes_masks_and_row_numbers(make_log):
    decisions = make_log(100).decisions
    mask = decisions.purchased > 0
    by_mask, by_number = decisions.select(mask), decisions.select(np.flatnonzero(mask))
    pd.testing.assert_frame_equal(by_mask.frame, by_number.frame)
    assert by_mask.events is decisions.events


def test_parts_of_one_log_join_and_others_do_not(make_log):
    decisions = make_log(100).decisions
    late = decisions.decided_at > np.median(decisions.decided_at)
    joined = decisions.select(~late).join(decisions.select(late))
    assert sorted(joined.frame["decision_id"]) == sorted(decisions.frame["decision_id"])
    with pytest.raises(DecisionsError, match="events of their own"):
        decisions.join(make_log(100, seed=1).decisions)


def test_optional_columns_have_their_defaults(make_log):
    decisions = make_log(50).decisions
    bare = Decisions(decisions.frame.drop(columns=["weight", "randomised", "consent"]), decisions.events)
    assert (bare.weight == 1).all()
    assert not bare.randomised.any()
    assert bare.consent.all()
    unsaid = Decisions(bare.frame.assign(consent=pd.array([None] * 50, "boolean")), bare.events)
    assert unsaid.consent.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="user_id"), "user_id"),
        (lambda frame: frame.assign(list_price=0.0), "list_price must be above 0"),
        (lambda frame: frame.assign(events_end=10**6), "leaves the"),
    ],
)
def test_a_frame_that_cannot_be_read_is_refused(make_log, change, message):
    decisions = make_log(50).decisions
    with pytest.raises(DecisionsError, match=message):
        Decisions(change(decisions.frame), decisions.events)


def test_requests_have_no_outcome(make_log):
    decisions = make_log(50).decisions
    requests = Decisions(decisions.frame.drop(columns=["price", "purchased"]), decisions.events)
    with pytest.raises(DecisionsError, match="purchased"):
        _ = requests.purchased
