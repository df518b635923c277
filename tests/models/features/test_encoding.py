import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from models.features.columns import UNKNOWN
from models.features.content import ContentError, Encoders
from models.features.decisions import Decisions, split_by_time
from models.features.encoding import Encoding


def tensors(value):
    """Every tensor, and every number as one, inside nested tuples."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, int):
        return [torch.tensor(value)]
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


def random_vectors(products, width, seed=0):
    rng = np.random.default_rng(seed)
    return {product: rng.normal(size=width).astype("float32") for product in products}


@pytest.fixture
def described_log(make_log, describe):
    """Every product has a text but p0; p1 and p2 have an image."""
    log = make_log(600).decisions
    products = [f"p{number}" for number in range(1, 12)]
    return describe(log, random_vectors(products, 20), random_vectors(products[:2], 9, seed=1))


def test_content_survives_selecting_and_joining(described_log):
    first, second = described_log.select(np.arange(10)), described_log.select(np.arange(20, 30))
    assert first.join(second).content is described_log.content


def test_products_bring_their_places_and_those_without_content_are_typical(described_log):
    encoding = Encoding.fit(described_log)
    encoded = encoding.encode(described_log)
    assert encoded.has_content
    assert encoding.encoders == Encoders("words", "pixels")
    content, product = described_log.content, described_log.frame["product_id"]
    row = content.rows(product)
    text = encoding.text.encode(content.text, "words")[row]
    text[row < 0] = 0
    np.testing.assert_allclose(encoded.products.text[encoded.product].numpy(), text, rtol=1e-5)
    pictured = product.isin(["p1", "p2"]).to_numpy()
    image = encoded.products.image[encoded.product].abs().sum(1).numpy()
    assert ((image > 0) == pictured).all()


def test_without_content_nothing_is_read(make_log, described_log):
    log = make_log(300).decisions
    encoding = Encoding.fit(log)
    for decisions in (log, described_log):
        encoded = encoding.encode(decisions)
        assert not encoded.has_content
        assert encoded.products.text.shape == (len(encoded.products.product), 0)
    assert "text" not in encoding.to_dict()


def test_products_not_known_by_id_are_told_apart_by_their_content(described_log):
    known = described_log.select((described_log.frame["product_id"] != "p5").to_numpy())
    encoding = Encoding.fit(Decisions(known.frame, known.events.assign(product_id=None), known.content))
    new = Decisions(known.frame.assign(product_id="p5", list_price=9.0, category=None), known.events, known.content)
    newer = Decisions(known.frame.assign(product_id="p6", list_price=9.0, category=None), known.events, known.content)
    both = encoding.encode(Decisions(pd.concat([new.frame, newer.frame]), known.events, known.content))
    unknown = both.products.product == UNKNOWN
    assert unknown.tolist() == [True, False]
    assert not torch.equal(both.products.text[0], both.products.text[1])
    hidden = both.mask_products(torch.tensor([False, True]))
    assert (hidden.products.product == UNKNOWN).all()
    assert torch.equal(hidden.products.text, both.products.text)


def test_content_statistics_come_from_the_training_products_alone(described_log):
    training = described_log.select((described_log.frame["product_id"] != "p5").to_numpy())
    content = described_log.content
    text = np.where((np.array(content.product_ids) == "p5")[:, None], 1e3, content.text).astype("float32")
    moved = replace(training, content=replace(content, text=text))
    for first, second in zip(
        Encoding.fit(training).tensors().values(), Encoding.fit(moved).tensors().values(), strict=True
    ):
        assert torch.equal(first, second)


def test_content_spaces_survive_as_json_and_tensors(described_log):
    encoding = Encoding.fit(described_log, content_directions=3)
    assert encoding.text.width == 3
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())), encoding.tensors())
    for first, second in zip(
        tensors(encoding.encode(described_log)), tensors(again.encode(described_log)), strict=True
    ):
        assert torch.equal(first, second)


def test_vectors_of_another_encoder_than_the_trained_one_are_refused(described_log):
    encoding = Encoding.fit(described_log)
    other = replace(described_log, content=replace(described_log.content, encoders=Encoders("others", "pixels")))
    with pytest.raises(ContentError, match="others"):
        encoding.encode(other)
