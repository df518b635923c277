import numpy as np
import pytest

from tests.benchmarks.measures import counterfactual_wmape, ratio_of_sums, regret, sign_accuracy, total_wmape

USER = np.array([0, 0, 1, 2])


def test_regret_is_the_share_of_profit_forgone():
    best = np.array([4.0, 2.0, 3.0, 1.0])
    assert regret(best, best, USER).value == 0
    assert regret(best / 2, best, USER).value == pytest.approx(0.5)
    assert regret(np.array([4.0, 2.0, 3.0, -1.0]), best, USER).value == pytest.approx(0.2)


def test_wmape_weighs_by_exposure_and_true_demand():
    true = np.array([[0.5, 0.2, 0.1, 0.2], [0.4, 0.1, 0.1, 0.1]])
    exposure = np.array([1.0, 1.0, 10.0, 1.0])
    assert counterfactual_wmape(true, true, exposure, USER).value == 0
    off = true + np.array([0, 0, 0.1, 0])
    assert counterfactual_wmape(off, true, exposure, USER).value == pytest.approx(2.0 / (1.0 + 0.7 + 1.0 + 0.8 - 0.0))


def test_errors_of_one_product_cancel_in_its_total_alone():
    true, exposure = np.full((1, 4), 0.5), np.ones(4)
    predicted = np.array([[0.6, 0.4, 0.6, 0.4]])
    assert total_wmape(predicted, true, exposure, np.array([0, 0, 1, 1])).value == pytest.approx(0)
    assert total_wmape(predicted, true, exposure, np.array([0, 1, 0, 1])).value == pytest.approx(0.2)


def test_a_flat_response_does_not_fall():
    cheaper, dearer = np.array([0.5, 0.5, 0.5, 0.5]), np.array([0.4, 0.5, 0.6, 0.1])
    assert sign_accuracy(cheaper, dearer, USER).value == 0.5


def test_the_interval_narrows_with_more_users_not_with_more_rows_of_the_same_user():
    rng = np.random.default_rng(0)
    by_user = rng.exponential(size=50)

    def width(users: int, rows_each: int) -> float:
        user = np.repeat(np.arange(users), rows_each)
        estimate = ratio_of_sums(np.resize(by_user, users)[user], np.ones(len(user)), user)
        return estimate.high - estimate.low

    assert width(50, 20) == pytest.approx(width(50, 1))
    assert width(5_000, 1) < 0.2 * width(50, 1)
