import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.demand.demand_curve import DemandCurve
from models.demand.recalibration import PRIOR_SD, Recalibration, recalibrate


def true_curve(log, sensitivity_scale=1.0, shift=0.0):
    sensitivity = log.sensitivity * sensitivity_scale
    return DemandCurve(sensitivity, 1 + (log.level + shift) / sensitivity)


def fitted(curve, offers):
    return recalibrate(curve, offers.price_ratio, offers.purchased, offers.weight)


def drawn(log):
    rows = np.flatnonzero(log.decisions.randomised)
    return rows, log.decisions.select(rows)


def test_randomised_rows_undo_a_sensitivity_that_is_half_of_the_truth(make_log):
    log = make_log(6000, randomised=0.7)
    rows, offers = drawn(log)
    fit = fitted(true_curve(log, 0.5, shift=0.3).take(rows), offers)
    assert fit.method == "randomised"
    assert fit.sensitivity_scale == pytest.approx(2.0, abs=0.25)
    assert fit.alpha == pytest.approx(-0.3, abs=0.1)


def test_a_right_curve_raises_no_alarm_and_stays(make_log):
    log = make_log(6000, randomised=0.7)
    rows, offers = drawn(log)
    fit = fitted(true_curve(log).take(rows), offers)
    assert [fit.alpha, fit.level_scale, fit.sensitivity_scale] == pytest.approx([0, 1, 1], abs=0.15)


def test_the_level_alone_moves_to_that_of_the_newest_offers(make_log):
    log = make_log(6000)
    curve, offers = true_curve(log, shift=0.5), log.decisions
    known = Recalibration(0.1, 1.0, 1.2, "randomised", 700)
    fit = known.at_level(known.apply(curve).logit(offers.price_ratio), offers.purchased, offers.weight)
    assert (fit.method, fit.level_scale, fit.sensitivity_scale, fit.rows) == ("randomised", 1.0, 1.2, 700)
    sums = [
        known.apply(curve).purchase_probability(offers.price_ratio).sum(),
        fit.apply(curve).purchase_probability(offers.price_ratio).sum(),
    ]
    assert sums[0] > 1.05 * offers.purchased.sum()
    assert sums[1] == pytest.approx(offers.purchased.sum(), rel=1e-4)


def test_without_a_random_price_the_level_is_all_that_is_fit(make_log):
    offers = make_log(6000).decisions
    fit = Recalibration().at_level(np.zeros(6000), offers.purchased, offers.weight)
    assert (fit.method, fit.level_scale, fit.sensitivity_scale, fit.rows) == ("level", 1.0, 1.0, 6000)


def test_with_too_few_rows_nothing_moves(make_log):
    log = make_log(120)
    offers = log.decisions
    assert fitted(true_curve(log), offers) == Recalibration()
    assert Recalibration().at_level(np.zeros(120), offers.purchased, offers.weight) == Recalibration()


def test_one_random_price_cannot_tell_a_slope(make_log):
    log = make_log(6000)
    offers = log.decisions
    alike = recalibrate(true_curve(log), np.ones(6000), offers.purchased, offers.weight)
    assert alike == Recalibration()


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


def test_a_few_drawn_prices_do_not_move_the_sensitivity_far(make_log):
    """By the likelihood alone some hundred prices close together leave it open by half and more."""
    alone, held = [], []
    for seed in range(12):
        log = make_log(3000, randomised=1.0, seed=seed)
        narrow = np.abs(log.decisions.price_ratio - 1) < 0.08
        curve, offers = true_curve(log).take(narrow), log.decisions.select(narrow)
        given = curve, offers.price_ratio, offers.purchased, offers.weight
        fits = recalibrate(*given), recalibrate(*given, PRIOR_SD)
        if fits[0].method == "randomised":
            alone.append(fits[0].sensitivity_scale)
            held.append(fits[1].sensitivity_scale)
    assert len(alone) > 3
    assert np.std(held) < 0.5 * np.std(alone)
    assert np.abs(np.array(held) - 1).max() < 1.5 * PRIOR_SD


def test_many_drawn_prices_move_it_all_the_way(make_log):
    log = make_log(6000, randomised=0.7)
    rows, offers = drawn(log)
    given = true_curve(log, 0.5).take(rows), offers.price_ratio, offers.purchased, offers.weight
    assert recalibrate(*given, PRIOR_SD).sensitivity_scale > 0.9 * recalibrate(*given).sensitivity_scale > 1.6
