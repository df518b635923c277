import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.decisions import Decisions, split_by_time
from models.demand import DemandConfig
from models.fitted import FittedDemand, fit_demand
from models.recalibration import Recalibration
from models.training import TrainingConfig

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
    assert np.corrcoef(curve.sensitivity, sensitivity)[0, 1] > 0.5
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
    assert fitted.recalibration.alarm
    assert fitted.curve(test).sensitivity.mean() == pytest.approx(truth, rel=0.3)


def test_state_gives_back_the_same_prices_bit_for_bit(unconfounded):
    _, fitted, _, test = unconfounded
    weights, description = fitted.state()
    again = FittedDemand.from_state(weights, json.loads(json.dumps(description)))
    for personal in (True, False):
        first, second = fitted.curve(test, personal), again.curve(test, personal)
        assert np.array_equal(first.sensitivity, second.sensitivity)
        assert np.array_equal(first.valuation, second.valuation)
    assert again.state()[1] == description
