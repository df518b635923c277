import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decisions import Decisions
from models.demand_curve import DemandCurve
from models.recalibration import Recalibration, fit_recalibration

NOBODY = np.zeros(6000, dtype=bool)


def true_curve(log, sensitivity_scale=1.0, shift=0.0):
    sensitivity = log.sensitivity * sensitivity_scale
    return DemandCurve(sensitivity, 1 + (log.level + shift) / sensitivity)


def test_randomised_rows_undo_a_sensitivity_that_is_half_of_the_truth(make_log):
    log = make_log(6000, randomised=0.7)
    fit = fit_recalibration(true_curve(log, 0.5, shift=0.3), log.decisions, validation=NOBODY)
    assert fit.method == "randomised"
    assert fit.sensitivity_scale == pytest.approx(2.0, abs=0.25)
    assert fit.alpha == pytest.approx(-0.3, abs=0.1)
    assert fit.alarm


def test_a_right_curve_raises_no_alarm_and_stays(make_log):
    log = make_log(6000, randomised=0.7)
    fit = fit_recalibration(true_curve(log), log.decisions, validation=NOBODY)
    assert [fit.alpha, fit.level_scale, fit.sensitivity_scale] == pytest.approx([0, 1, 1], abs=0.15)
    assert not fit.alarm


def test_without_randomised_rows_the_level_alone_moves(make_log):
    log = make_log(6000)
    fit = fit_recalibration(true_curve(log, shift=0.5), log.decisions, validation=~NOBODY)
    assert (fit.method, fit.level_scale, fit.sensitivity_scale) == ("level", 1.0, 1.0)
    assert fit.alpha == pytest.approx(-0.5, abs=0.1)


def test_with_too_few_rows_nothing_moves(make_log):
    log = make_log(120)
    offers = log.decisions
    fit = fit_recalibration(true_curve(log), offers, validation=np.ones(len(offers), dtype=bool))
    assert fit == Recalibration()


def test_one_random_price_cannot_tell_a_slope(make_log):
    log = make_log(6000)
    frame = log.decisions.frame.assign(randomised=True, price=log.decisions.list_price)
    fit = fit_recalibration(true_curve(log), Decisions(frame, log.decisions.events), validation=~NOBODY)
    assert fit.method == "level"


@given(
    b=st.floats(0.1, 20), v=st.floats(-3, 3), ratio=st.floats(0.1, 3), alpha=st.floats(-2, 2), s1=st.floats(0.1, 3),
    s2=st.floats(0.1, 3),
)  # fmt: skip
def test_the_corrected_curve_is_the_formula(b, v, ratio, alpha, s1, s2):
    corrected = Recalibration(alpha, s1, s2).apply(DemandCurve(np.array([b]), np.array([v])))
    assert corrected.logit(ratio)[0] == pytest.approx(alpha + s1 * b * (v - 1) + s2 * b * (1 - ratio), abs=1e-8)


def test_round_trip():
    fit = Recalibration(0.1, 0.9, 1.2, "randomised", 700)
    assert Recalibration.from_dict(fit.to_dict()) == fit
