import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.demand.fitted import FittedDemand
from models.demand.network import DemandConfig, DemandModel
from models.demand.recalibration import Recalibration
from models.features.decisions import Decisions
from models.features.encoding import Encoding

SMALL = DemandConfig(dimension=8, heads=2, history_length=4)


@pytest.fixture(scope="module")
def log(make_log):
    return make_log(400, users=40).decisions


@pytest.fixture(scope="module")
def model(log):
    """Weights far from their start, so that nothing holds only because a head is still 0."""
    torch.manual_seed(0)
    encoding = Encoding.fit(log, minimum_count=2)
    network = DemandModel(SMALL, encoding).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return FittedDemand(encoding, SMALL, network, Recalibration(), Recalibration())


def same(first, second):
    return np.array_equal(first.sensitivity, second.sensitivity) and np.array_equal(first.valuation, second.valuation)


@given(low=st.floats(0, 3), step=st.floats(0.001, 1), scale=st.floats(0, 5), seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_demand_falls_in_price_for_every_row_whatever_the_weights(log, low, step, scale, seed):
    torch.manual_seed(seed)
    encoding = Encoding.fit(log.select(np.arange(60)), minimum_count=2)
    network = DemandModel(SMALL, encoding).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    curve = FittedDemand(encoding, SMALL, network, Recalibration(), Recalibration()).curve(log.select(np.arange(60)))
    assert (curve.sensitivity > 0).all()
    assert (curve.logit(low + step) < curve.logit(low)).all()


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_masked_curve_holds_nothing_personal(log, model, seed):
    rng = np.random.default_rng(seed)
    personal = log.features(("user_attr_", "activity_", "pair_"))
    frame = log.frame.copy()
    for name in personal:
        frame[name] = frame[name].sample(frac=1, random_state=seed).to_numpy()
    frame["activity_thrift"] += rng.normal(size=len(frame)) * 5
    frame["events_start"] = 0
    frame["events_end"] = rng.integers(0, 9, len(frame))
    frame["user_id"] = rng.permutation(frame["user_id"].to_numpy())
    changed = Decisions(frame, log.events.sample(frac=1, random_state=seed))
    before, after = model.curve(log, personal=False), model.curve(changed, personal=False)
    np.testing.assert_allclose(after.sensitivity, before.sensitivity, rtol=1e-5)
    np.testing.assert_allclose(after.valuation, before.valuation, rtol=1e-4, atol=1e-5)
    assert not np.allclose(model.curve(changed).valuation, model.curve(log).valuation, rtol=1e-3)


def test_without_consent_the_curve_is_the_masked_one(log, model):
    refused = Decisions(log.frame.assign(consent=False), log.events)
    masked = model.curve(log, personal=False)
    np.testing.assert_allclose(model.curve(refused).sensitivity, masked.sensitivity, rtol=1e-5)
    np.testing.assert_allclose(model.curve(refused).valuation, masked.valuation, rtol=1e-4, atol=1e-5)


def test_events_at_or_after_the_decision_change_nothing(log, model):
    visible = np.zeros(len(log.events), dtype=bool)
    for start, end in zip(*log.events_window, strict=True):
        visible[start:end] = True
    events = log.events.copy()
    events.loc[~visible, "kind"] = "purchase"
    events.loc[~visible, "product_id"] = "p1"
    events.loc[~visible, "dwell_seconds"] = 1e6
    assert (~visible).any()
    assert same(model.curve(Decisions(log.frame, events)), model.curve(log))
    events.loc[visible, "product_id"] = "p1"
    assert not same(model.curve(Decisions(log.frame, events)), model.curve(log))


def test_only_the_last_events_are_read_one_by_one(log, model):
    encoded = model.encoding.encode(log)
    histories = encoded.histories
    last_four = histories._replace(start=torch.maximum(histories.start, histories.end - 4))
    last_three = histories._replace(start=torch.maximum(histories.start, histories.end - 3))
    whole, four, three = (
        model.network.eval()(encoded._replace(histories=read)).level for read in (histories, last_four, last_three)
    )
    assert torch.equal(whole, four)
    assert not torch.equal(whole, three)


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("personal", [True, False])
def test_no_row_and_one_row(log, model, rows, personal):
    whole, part = model.curve(log, personal), model.curve(log.select(np.arange(rows)), personal)
    assert len(part) == rows
    np.testing.assert_allclose(part.valuation, whole.valuation[:rows], rtol=1e-4)


def test_users_without_events_and_an_empty_events_table(log, model):
    newcomer = Decisions(log.frame.assign(events_start=0, events_end=0), log.events.iloc[:0])
    assert np.isfinite(model.curve(newcomer).valuation).all()


def test_values_never_seen_are_read_as_unknown(log, model):
    strange = log.frame.assign(
        product_id="new", category="new", user_attr_region=None, calendar_weekday="feb", market_index=1e12
    )
    curve = model.curve(Decisions(strange, log.events))
    assert np.isfinite(curve.valuation).all()
    other = model.curve(Decisions(strange.assign(product_id="newer"), log.events))
    assert same(curve, other)


def test_blocks_do_not_change_the_curve(log, model):
    whole, parts = model.curve(log), model.curve(log, block=64)
    np.testing.assert_allclose(parts.sensitivity, whole.sensitivity, rtol=1e-5)
    np.testing.assert_allclose(parts.valuation, whole.valuation, rtol=1e-4, atol=1e-5)


def test_a_log_without_optional_columns(make_log):
    log = make_log(60).decisions
    keys = [name for name in log.frame if not name.startswith(("user_attr", "activity", "pair", "market", "cal"))]
    bare = Decisions(log.frame[keys].drop(columns=["category", "instrument_cost"]), log.events)
    encoding = Encoding.fit(bare)
    curve = FittedDemand(encoding, SMALL, DemandModel(SMALL, encoding).eval(), Recalibration(), Recalibration()).curve(
        bare
    )
    assert len(curve) == 60


def test_a_fresh_network_answers_with_the_pooled_response(log):
    encoding = Encoding.fit(log)
    network = DemandModel(dataclasses.replace(SMALL, sensitivity_floor=0.0), encoding).eval()
    network.start_from(level=-1.0, sensitivity=3.0, confounding=2.0, shift=0.0)
    response = network(encoding.encode(log))
    torch.testing.assert_close(response.level, torch.full((len(log),), -1.0))
    torch.testing.assert_close(response.sensitivity, torch.full((len(log),), 3.0))
    assert pd.Series(response.confounding.tolist()).eq(2.0).all()
