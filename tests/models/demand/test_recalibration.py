import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from models.demand.demand_curve import DemandCurve
from models.demand.recalibration import PRIOR_SD, Recalibration, fit_newest, recalibrate

corrections = st.builds(Recalibration, st.floats(-2, 2), st.floats(0.1, 3), st.floats(0.1, 3))


def true_curve(log, sensitivity_scale=1.0, shift=0.0):
    sensitivity = log.sensitivity * sensitivity_scale
    return DemandCurve(sensitivity, 1 + (log.level + shift) / sensitivity)


def fitted(curve, offers):
    return recalibrate(curve, offers.price_ratio, offers.purchased, offers.weight)


def newest_of(offers, log_odds, explained=None):
    everywhere = np.ones(len(offers), dtype=bool)
    return fit_newest(log_odds, offers.purchased, offers.weight, everywhere if explained is None else explained)


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


def test_level_and_spread_are_those_of_offers_that_the_curve_has_not_seen(make_log):
    log = make_log(6000)
    offers = log.decisions
    true = true_curve(log).logit(offers.price_ratio)
    wide = 0.4 + 1.25 * true
    fit = newest_of(offers, wide)
    assert (fit.method, fit.rows) == ("newest", 6000)
    assert fit.level_scale == fit.sensitivity_scale == pytest.approx(1 / 1.25, abs=0.07)
    np.testing.assert_allclose(fit.alpha + fit.level_scale * wide, true, atol=0.25)
    mean = expit(fit.alpha + fit.level_scale * wide).mean()
    assert mean == pytest.approx(offers.purchased.mean(), rel=1e-3)


def test_prices_that_unknown_demand_moved_tell_the_level_alone(make_log):
    log = make_log(6000, confounding=1.0, randomised=0.3)
    offers, log_odds = log.decisions, true_curve(log).logit(log.decisions.price_ratio)
    told, deceived = newest_of(offers, log_odds, offers.randomised), newest_of(offers, log_odds)
    assert abs(told.level_scale - 1) < 0.6 * abs(deceived.level_scale - 1)
    none = newest_of(offers, log_odds, np.zeros(len(offers), dtype=bool))
    assert none.level_scale == none.sensitivity_scale == 1
    for fit in (told, none):
        assert expit(fit.alpha + fit.level_scale * log_odds).mean() == pytest.approx(offers.purchased.mean(), rel=1e-3)


def test_few_offers_hardly_change_the_spread(make_log):
    """By the likelihood alone some hundred offers leave it open by a tenth and more."""
    spreads = []
    for seed in range(12):
        log = make_log(700, seed=seed)
        log_odds = true_curve(log).logit(log.decisions.price_ratio)
        spreads.append(newest_of(log.decisions, log_odds).level_scale)
    assert np.std(spreads) < 0.07
    assert 0.9 < np.mean(spreads) < 1.1


def test_with_too_few_rows_nothing_moves(make_log):
    log = make_log(120)
    offers = log.decisions
    assert fitted(true_curve(log), offers) == Recalibration()
    assert newest_of(offers, np.zeros(120)) == Recalibration()


@given(first=corrections, second=corrections, b=st.floats(0.1, 20), v=st.floats(-3, 3), ratio=st.floats(0.1, 3))
def test_two_corrections_are_one(first, second, b, v, ratio):
    curve = DemandCurve(np.array([b]), np.array([v]))
    both = first.then(second).apply(curve).logit(ratio)[0]
    assert both == pytest.approx(second.apply(first.apply(curve)).logit(ratio)[0], abs=1e-6)


def test_what_a_correction_rests_on_survives_the_next():
    drawn, newest = Recalibration(0.1, 0.9, 1.2, "randomised", 700, 1.3), Recalibration(0.1, 0.9, 0.9, "newest", 50)
    both = Recalibration().then(drawn).then(newest)
    assert (both.method, both.rows, both.measured_scale) == ("randomised", 700, 1.3)
    assert Recalibration().then(newest).method == "newest"
    assert newest.then(Recalibration()) == newest
    assert newest.then(drawn).method == "randomised"


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


def test_a_few_drawn_prices_do_not_make_users_far_less_sensitive(make_log):
    """By the likelihood alone some hundred prices close together leave their sensitivity open by half and more."""
    fits = []
    for seed in range(12):
        log = make_log(3000, randomised=1.0, seed=seed)
        narrow = np.abs(log.decisions.price_ratio - 1) < 0.08
        curve, offers = true_curve(log).take(narrow), log.decisions.select(narrow)
        fits.append(recalibrate(curve, offers.price_ratio, offers.purchased, offers.weight, PRIOR_SD))
    measured, held = (
        np.array([getattr(fit, name) for fit in fits]) for name in ("measured_scale", "sensitivity_scale")
    )
    assert 0 < (measured < 1).sum() < len(fits)
    assert measured.min() < 1 - PRIOR_SD
    np.testing.assert_array_equal(held[measured >= 1], measured[measured >= 1])
    assert (np.abs(held - 1) < 0.6 * np.abs(measured - 1))[measured < 1].all()


def test_many_drawn_prices_move_it_nearly_all_the_way(make_log):
    log = make_log(6000, randomised=0.7)
    rows, offers = drawn(log)
    fit = recalibrate(true_curve(log, 1.6).take(rows), offers.price_ratio, offers.purchased, offers.weight, PRIOR_SD)
    assert fit.measured_scale < 0.7
    assert fit.sensitivity_scale - fit.measured_scale < 0.25 * (1 - fit.measured_scale)
