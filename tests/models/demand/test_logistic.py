import numpy as np
import pytest

from models.demand.logistic import maximum_likelihood


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    columns = np.column_stack([np.ones(20_000), rng.normal(size=(20_000, 2))])
    log_odds = columns @ [-1.0, 2.0, 0.5]
    return columns, (rng.random(20_000) < 1 / (1 + np.exp(-log_odds))).astype(float)


def test_recovers_the_coefficients(sample):
    columns, outcome = sample
    fit = maximum_likelihood(columns, outcome, np.ones(len(outcome)), np.zeros(3), [(None, None)] * 3)
    assert fit == pytest.approx([-1.0, 2.0, 0.5], abs=0.1)


def test_bounds_hold_and_fixed_coefficients_stay(sample):
    columns, outcome = sample
    fit = maximum_likelihood(
        columns, outcome, np.ones(len(outcome)), np.ones(3), [(None, None), (None, 1.5), (1.0, 1.0)]
    )
    assert fit[1:].tolist() == [1.5, 1.0]


def test_weights_undo_a_sampling_of_refusals(sample):
    columns, outcome = sample
    kept = (outcome > 0) | (np.random.default_rng(1).random(len(outcome)) < 0.25)
    weight = np.where(outcome > 0, 1.0, 4.0)
    fit = maximum_likelihood(columns[kept], outcome[kept], weight[kept], np.zeros(3), [(None, None)] * 3)
    assert fit == pytest.approx([-1.0, 2.0, 0.5], abs=0.15)


def test_a_prior_pulls_towards_the_start_the_more_the_surer_it_is(sample):
    columns, outcome = sample
    start = np.array([-1.0, 1.0, 0.5])
    slopes = [
        maximum_likelihood(
            columns[:500], outcome[:500], np.ones(500), start, [(None, None)] * 3, None, np.array([0.0, precision, 0.0])
        )[1]
        for precision in (0.0, 50.0, 1e9)
    ]
    assert slopes[0] > slopes[1] > slopes[2]
    assert slopes[2] == pytest.approx(1.0)
