import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from models.demand.metrics import Outcomes, calibration_table, evaluate, log_loss_difference


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    probability = np.round(rng.beta(2, 5, 5000), 2).clip(0.01, 0.99)  # rounded: ties
    weight = rng.choice([1.0, 4.0], 5000)
    user = pd.Series(rng.integers(0, 500, 5000)).astype(str)
    return Outcomes.of((rng.random(5000) < probability).astype(float), weight, user), probability


def test_values_are_those_of_scikit_learn(sample):
    outcomes, probability = sample
    y, weight = outcomes.purchased, outcomes.weight
    result = evaluate(outcomes, probability, base_rate=0.3)
    assert result["log_loss"].value == pytest.approx(log_loss(y, probability, sample_weight=weight))
    assert result["brier"].value == pytest.approx(brier_score_loss(y, probability, sample_weight=weight))
    assert result["auc"].value == pytest.approx(roc_auc_score(y, probability, sample_weight=weight))
    constant = log_loss(y, np.full(len(y), 0.3), sample_weight=weight)
    assert result["normalised_improvement"].value == pytest.approx(1 - result["log_loss"].value / constant)


def test_each_interval_holds_its_value_and_the_seed_repeats_it(sample):
    outcomes, probability = sample
    result = evaluate(outcomes, probability, 0.3, seed=1)
    for name in ("log_loss", "brier", "auc", "normalised_improvement", "calibration_ratio"):
        assert result[name].low < result[name].value < result[name].high
    assert evaluate(outcomes, probability, 0.3, seed=1) == result
    assert evaluate(outcomes, probability, 0.3, seed=2) != result


def test_true_probabilities_are_calibrated_and_shifted_ones_are_not(sample):
    outcomes, probability = sample
    assert evaluate(outcomes, probability, 0.3)["ece"].value < 0.03
    off = evaluate(outcomes, probability + 0.1, 0.3)
    assert off["ece"].value == pytest.approx(0.1, abs=0.03)
    assert off["calibration_ratio"].low > 1.2


def test_users_with_many_rows_widen_the_interval():
    rng = np.random.default_rng(0)
    bought = np.repeat(rng.random(100) < 0.3, 50).astype(float)  # a user always answers the same
    probability, weight = np.full(5000, 0.3), np.ones(5000)
    by_user = evaluate(Outcomes.of(bought, weight, pd.Series(np.repeat(np.arange(100), 50))), probability, 0.3)
    by_row = evaluate(Outcomes.of(bought, weight, pd.Series(np.arange(5000))), probability, 0.3)
    width = by_user["log_loss"].high - by_user["log_loss"].low
    assert width > 4 * (by_row["log_loss"].high - by_row["log_loss"].low)


def test_the_better_model_has_a_difference_below_0(sample):
    outcomes, probability = sample
    worse = probability.clip(0.2, 0.4)
    assert log_loss_difference(outcomes, probability, worse).high < 0
    assert log_loss_difference(outcomes, probability, probability) == (0, 0, 0)


def test_calibration_table_has_a_row_each_decile(sample):
    outcomes, probability = sample
    table = calibration_table(outcomes, probability)
    assert table["decile"].tolist() == list(range(1, 11))
    assert table["rows"].sum() == 5000
    assert table["weight"].to_numpy() == pytest.approx(outcomes.weight.sum() / 10, rel=0.25)
    assert table["predicted"].is_monotonic_increasing


@given(st.integers(1, 40), st.integers(0, 1), st.floats(0.01, 0.99))
def test_degenerate_samples_have_values_and_no_warning(rows, bought, probability):
    outcomes = Outcomes.of(np.full(rows, float(bought)), np.ones(rows), pd.Series(["a"] * rows))
    result = evaluate(outcomes, np.full(rows, probability), 0.5, replicates=5)
    assert np.isfinite(result["log_loss"].value)
    assert np.isnan(result["auc"].value)
    assert calibration_table(outcomes, np.full(rows, probability))["rows"].sum() == rows


@pytest.mark.parametrize("rows", [300, 3000])
def test_right_probabilities_are_not_surely_miscalibrated_however_few(rows):
    rng = np.random.default_rng(0)
    low = []
    for seed in range(20):
        probability = rng.uniform(0.05, 0.5, rows)
        bought = (rng.random(rows) < probability).astype(float)
        outcomes = Outcomes(bought, np.ones(rows), np.arange(rows) // 2)
        low.append(evaluate(outcomes, probability, 0.3, seed)["ece"].low)
    assert np.max(low) < 0.05
    wrong = Outcomes((rng.random(3000) < 0.4).astype(float), np.ones(3000), np.arange(3000) // 2)
    assert evaluate(wrong, rng.uniform(0.05, 0.2, 3000), 0.3)["ece"].low > 0.2
