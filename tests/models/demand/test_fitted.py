import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from models.demand.fitted import FittedDemand, fit_demand
from models.demand.network import DemandConfig
from models.demand.recalibration import Recalibration
from models.demand.training import TrainingConfig
from models.evidence.gates import LARGEST_CONFOUNDING
from models.features.decisions import Decisions, split_by_time

CPU = torch.device("cpu")
CONFIG = DemandConfig(dimension=16, history_length=8)
TRAINING = TrainingConfig(epochs=4, histories=128, learning_rate=5e-3)


def fit(decisions):
    split = split_by_time(decisions)
    fitted, report = fit_demand(split.train, split.validation, CONFIG, TRAINING, CPU)
    return fitted, report, split.test


@pytest.fixture(scope="module")
def unconfounded(make_log):
    log = make_log(12_000, users=400)
    return log, *fit(log.decisions)


def truth_of(log, test):
    rows = test.frame["decision_id"].astype(int).to_numpy()
    return log.level[rows], log.sensitivity[rows]


def test_recovers_sensitivity_and_valuation(unconfounded):
    log, fitted, report, test = unconfounded
    level, sensitivity = truth_of(log, test)
    curve = fitted.curve(test)
    assert report.first_stage.identified
    assert curve.sensitivity.mean() == pytest.approx(sensitivity.mean(), rel=0.15)
    assert np.corrcoef(curve.sensitivity, sensitivity)[0, 1] > 0.7
    assert np.abs(curve.valuation - (1 + level / sensitivity)).mean() < 0.12
    elasticity = -sensitivity / (1 + np.exp(level))  # at list price
    assert curve.elasticity(1.0).mean() == pytest.approx(elasticity.mean(), rel=0.15)


def test_the_masked_curve_is_the_populations(unconfounded):
    log, fitted, _, test = unconfounded
    masked, own = fitted.curve(test, personal=False), fitted.curve(test)
    rate, own_rate = (curve.purchase_probability(test.price_ratio).mean() for curve in (masked, own))
    assert rate == pytest.approx(own_rate, abs=0.03)
    sensitivity = truth_of(log, test)[1]
    assert abs(np.corrcoef(masked.sensitivity, sensitivity)[0, 1]) < 0.1  # it cannot tell the users apart


def test_users_without_consent_get_the_populations_correction(unconfounded):
    _, fitted, _, test = unconfounded
    shifted = replace(fitted, population=Recalibration(alpha=1.0))
    consent = np.arange(len(test)) % 2 == 0
    mixed = shifted.curve(Decisions(test.frame.assign(consent=consent), test.events))
    np.testing.assert_allclose(mixed.valuation[consent], fitted.curve(test).valuation[consent], rtol=1e-4)
    masked = shifted.curve(test, personal=False)
    np.testing.assert_allclose(mixed.valuation[~consent], masked.valuation[~consent], rtol=1e-4)


def test_the_control_function_removes_most_of_the_bias(make_log):
    log = make_log(12_000, users=400, products=60, confounding=0.8)
    with_instrument, report, test = fit(log.decisions)
    blind = Decisions(log.decisions.frame.drop(columns="instrument_cost"), log.decisions.events)
    without, _, _ = fit(blind)
    truth = truth_of(log, test)[1].mean()
    bias, naive = (abs(model.curve(test).sensitivity.mean() - truth) for model in (with_instrument, without))
    assert report.first_stage.identified
    assert naive > truth * 0.6  # demand seems not to fall in price at all
    assert bias < naive / 3


def test_random_prices_correct_a_model_that_had_no_instrument(make_log):
    log = make_log(12_000, users=400, confounding=0.8, randomised=0.3)
    blind = Decisions(log.decisions.frame.drop(columns="instrument_cost"), log.decisions.events)
    fitted, report, test = fit(blind)
    truth = truth_of(log, test)[1].mean()
    assert report.first_stage.reason
    assert fitted.recalibration.method == "randomised"
    assert fitted.recalibration.measured_scale > LARGEST_CONFOUNDING
    raw = replace(fitted, recalibration=Recalibration())
    bias, uncorrected = (abs(model.curve(test).sensitivity.mean() - truth) for model in (fitted, raw))
    assert bias < 0.6 * uncorrected


def bought(decisions, log_odds):
    """The same decisions with purchases drawn anew from these log-odds (rows,)."""
    purchased = np.random.default_rng(1).random(len(decisions)) < expit(log_odds)
    return Decisions(decisions.frame.assign(purchased=purchased.astype("float64")), decisions.events)


def test_newer_offers_move_the_level_and_hardly_the_spread(unconfounded):
    _, fitted, _, test = unconfounded
    rarer = bought(test, fitted.curve(test).logit(test.price_ratio) - 0.8)
    moved = fitted.fitting_newest(rarer, np.zeros(len(rarer)), 0.0)
    before, after = (model.probability(rarer, rarer.price_ratio).mean() for model in (fitted, moved))
    assert before > 1.3 * rarer.purchased.mean()
    assert after == pytest.approx(rarer.purchased.mean(), rel=1e-3)
    spread = moved.curve(rarer).sensitivity / fitted.curve(rarer).sensitivity
    assert spread.min() == pytest.approx(spread.max())
    assert spread[0] == pytest.approx(1.0, abs=0.1)


def test_a_shock_that_moved_the_newest_prices_is_not_taken_for_the_level(unconfounded):
    _, fitted, _, test = unconfounded
    network = copy.deepcopy(fitted.network)
    network.pooled[2] = 5.0  # of the residual
    curve = replace(fitted, network=network).averaged(0.5)
    residual = np.random.default_rng(0).choice([0.02, 0.12], len(test))
    seen = bought(test, fitted.curve(test).logit(test.price_ratio) + _confounding(curve, test) * residual)
    known, unknown = (curve.fitting_newest(seen, part, 0.5) for part in (residual, np.zeros(len(test))))
    before, after = curve.recalibration, known.recalibration
    assert abs(after.alpha - before.alpha) < 0.1
    assert after.sensitivity_scale == pytest.approx(before.sensitivity_scale, rel=0.1)
    assert unknown.recalibration.alpha > before.alpha + 0.2


def _confounding(fitted, decisions):
    return fitted._members_responses(decisions, True)[:, 2].mean(axis=0)


def test_curves_are_averaged_over_what_nobody_recorded(unconfounded):
    """At the mean of the hidden demand lies a sharper curve than that of all demand; both buy alike at one half."""
    _, fitted, _, test = unconfounded
    plain = replace(fitted, recalibration=Recalibration(), population=Recalibration())
    sharp, mean = plain.curve(test), plain.averaged(0.8).curve(test)
    shocks = np.random.default_rng(0).normal(0, 0.8, (4_000, 1))
    for ratio in (0.7, 1.0, 1.3):
        expected = expit(sharp.logit(ratio) + shocks).mean(axis=0)
        assert np.abs(mean.purchase_probability(ratio) - expected).max() < 0.02
        assert np.abs(sharp.purchase_probability(ratio) - expected).max() > 0.02


def test_state_gives_back_the_same_prices_bit_for_bit(unconfounded):
    _, fitted, _, test = unconfounded
    weights, description = fitted.state()
    again = FittedDemand.from_state(weights, json.loads(json.dumps(description)))
    for personal in (True, False):
        first, second = fitted.curve(test, personal), again.curve(test, personal)
        assert np.array_equal(first.sensitivity, second.sensitivity)
        assert np.array_equal(first.valuation, second.valuation)
    assert again.state()[1] == description


@pytest.fixture(scope="module")
def worded(make_log, describe):
    """Sixty products, twelve of them never offered in training, whose level is one direction of their text."""
    log = make_log(9_000, users=400, products=60, events_each=2)
    rng = np.random.default_rng(3)
    level = dict(zip(log.decisions.frame["product_id"], log.level, strict=True))
    axes = rng.normal(size=(2, 40)) / 6
    texts = {name: (axes.T @ [value, rng.normal()] + rng.normal(0, 0.02, 40)) for name, value in level.items()}
    decisions = describe(log.decisions, texts, {})
    new = decisions.frame["product_id"].isin([f"p{number}" for number in range(12)]).to_numpy()
    split = split_by_time(decisions.select(~new))
    config = replace(CONFIG, members=2, content_directions=8)
    fitted, _ = fit_demand(split.train, split.validation, config, TRAINING, CPU)
    return log, fitted, decisions, new


def test_products_never_offered_are_known_by_their_text(worded):
    log, fitted, decisions, new = worded
    asked = decisions.select(new)

    def agreement(asked):
        curve = fitted.curve(asked)
        return np.corrcoef(curve.logit(1.0), log.level[new])[0, 1]

    assert agreement(asked) > 0.6
    assert agreement(asked) > agreement(replace(asked, content=None)) + 0.2


def test_the_members_mean_is_the_curve_and_their_distance_the_spread(worded):
    _, fitted, decisions, _ = worded
    some = decisions.select(np.arange(200))
    plain = replace(fitted, recalibration=Recalibration(), population=Recalibration())
    one, two = (replace(plain, network=member, others=()) for member in fitted.members)
    first, second = one.curve(some), two.curve(some)
    mean = plain.curve(some)
    np.testing.assert_allclose(mean.sensitivity, (first.sensitivity + second.sensitivity) / 2)
    np.testing.assert_allclose(mean.logit(0.8), (first.logit(0.8) + second.logit(0.8)) / 2)
    np.testing.assert_allclose(plain.spread(some, 0.8), abs(first.logit(0.8) - second.logit(0.8)) / 2, atol=1e-9)
    assert plain.spread(some).min() >= 0
    assert plain.spread(some).max() > 0
    assert not one.spread(some).any()


def test_members_and_content_survive_as_tensors_and_json(worded):
    _, fitted, decisions, _ = worded
    weights, description = fitted.state()
    assert all(tensor.is_contiguous() for tensor in weights.values())  # safetensors stores no others
    again = FittedDemand.from_state(weights, json.loads(json.dumps(description)))
    assert again.encoders.text == "words"
    some = decisions.select(np.arange(300))
    assert np.array_equal(again.curve(some).valuation, fitted.curve(some).valuation)
    assert np.array_equal(again.spread(some, personal=False), fitted.spread(some, personal=False))
