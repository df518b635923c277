import json

import numpy as np
import pandas as pd
import torch

from models.decisions import Decisions, split_by_time
from models.encoding import Encoding


def tensors(value):
    """Every tensor inside nested tuples."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in tensors(part)]


def test_round_trip_through_json_encodes_alike(make_log):
    decisions = make_log(500).decisions
    encoding = Encoding.fit(decisions, minimum_count=2)
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    for first, second in zip(tensors(encoding.encode(decisions)), tensors(again.encode(decisions)), strict=True):
        assert torch.equal(first, second)


def test_decisions_of_one_visit_share_one_history_and_one_product_each(make_log):
    decisions = make_log(800).decisions
    encoded = Encoding.fit(decisions).encode(decisions)
    visits = decisions.frame[["user_id", "decided_at"]].drop_duplicates()
    assert len(encoded.histories.start) == len(visits)
    assert len(encoded.products.product) == decisions.frame["product_id"].nunique()
    start, end = decisions.events_window
    assert (encoded.histories.start[encoded.history].numpy() == start).all()
    assert (encoded.histories.end[encoded.history].numpy() == end).all()
    assert (encoded.histories.decided_at[encoded.history].numpy() == decisions.decided_at).all()


def test_statistics_come_from_the_training_part_alone(make_log):
    split = split_by_time(make_log(2000).decisions)
    train = split.train
    seen = train.frame["events_end"].max()
    later = np.ones(len(train.events), dtype=bool)
    for start, end in zip(*train.events_window, strict=True):
        later[start:end] = False
    assert later.any()
    events = train.events.copy()
    events.loc[later, ["kind", "product_id", "category"]] = "from the future"
    assert seen > 0
    assert Encoding.fit(Decisions(train.frame, events), 1) == Encoding.fit(train, 1)


def test_without_personal_data_only_products_and_context_are_left(make_log):
    decisions = make_log(300).decisions
    encoded = Encoding.fit(decisions).encode(decisions, personal=False)
    assert encoded.histories.masked.tolist() == [True]
    assert encoded.pair.numeric.abs().sum() == 0
    assert encoded.histories.features.numeric.abs().sum() == 0


def test_a_user_without_consent_adds_nothing_to_the_statistics(make_log):
    decisions = make_log(400).decisions
    refuses = (decisions.frame["user_id"] < "u3").to_numpy()
    frame = decisions.frame.assign(consent=~refuses)
    other = frame.assign(
        activity_thrift=frame["activity_thrift"].where(~refuses, 99.0),
        user_attr_region=frame["user_attr_region"].where(~refuses, "secret"),
    )
    assert Encoding.fit(Decisions(frame, decisions.events), 1) == Encoding.fit(Decisions(other, decisions.events), 1)
    flat = [Encoding.fit(decisions, 1).flat(Decisions(each, decisions.events)) for each in (frame, other)]
    pd.testing.assert_frame_equal(*flat)


def test_no_rows_and_no_events_encode(make_log):
    log = make_log(200).decisions
    encoding = Encoding.fit(log)
    none = log.select(np.zeros(len(log), dtype=bool))
    assert len(encoding.encode(none).history) == 0
    assert encoding.flat(none).empty
    quiet = Decisions(log.frame.assign(events_start=0, events_end=0), log.events.iloc[:0])
    assert len(Encoding.fit(quiet).encode(quiet).history) == len(quiet)
