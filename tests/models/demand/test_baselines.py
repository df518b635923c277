import numpy as np
import pytest

from models.demand.baselines import BoostedTrees, ConstantRate, LinearRegression
from models.features.encoding import Encoding


@pytest.fixture(scope="module")
def log(make_log):
    return make_log(4000, users=300)


@pytest.fixture(scope="module", params=[LinearRegression, BoostedTrees])
def baseline(request, log):
    options = {"iterations": 30} if request.param is BoostedTrees else {}
    return request.param.fit(log.decisions, Encoding.fit(log.decisions), seed=0, **options)


def test_probabilities_follow_the_truth(log, baseline):
    ratio = log.decisions.price_ratio
    predicted = baseline.probability(log.decisions, ratio)
    truth = 1 / (1 + np.exp(-(log.level + log.sensitivity * (1 - ratio))))
    assert ((predicted > 0) & (predicted < 1)).all()
    assert np.corrcoef(predicted, truth)[0, 1] > 0.8
    assert predicted.mean() == pytest.approx(log.decisions.purchased.mean(), abs=0.03)


def test_demand_never_rises_with_price(log, baseline):
    ratios = np.linspace(0.5, 1.5, 11)
    curves = np.stack([baseline.probability(log.decisions, np.full(len(log.decisions), each)) for each in ratios])
    assert (np.diff(curves, axis=0) <= 1e-12).all()
    assert curves[0].mean() > curves[-1].mean()


def test_same_seed_same_prediction(log, baseline):
    options = {"iterations": 30} if isinstance(baseline, BoostedTrees) else {}
    again = type(baseline).fit(log.decisions, Encoding.fit(log.decisions), seed=0, **options)
    ratio = log.decisions.price_ratio
    assert np.array_equal(again.probability(log.decisions, ratio), baseline.probability(log.decisions, ratio))


def test_the_constant_rate_is_the_weighted_one(log):
    model = ConstantRate.fit(log.decisions)
    assert model.probability(log.decisions, log.decisions.price_ratio) == pytest.approx(log.decisions.purchased.mean())
