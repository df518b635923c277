import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from models.demand.demand_curve import DemandCurve, DemandCurveError

sensitivities = st.floats(0.05, 60.0)
valuations = st.floats(-3.0, 5.0)
ratios = st.floats(0.01, 4.0)


def single(sensitivity: float, valuation: float) -> DemandCurve:
    return DemandCurve(np.array([sensitivity]), np.array([valuation]))


def test_half_of_the_users_buy_at_their_valuation():
    curve = DemandCurve(np.array([0.5, 3.0, 40.0]), np.array([0.7, 1.0, 1.3]))
    np.testing.assert_allclose(curve.purchase_probability(curve.valuation), 0.5)


@given(sensitivities, valuations, ratios, st.floats(0.01, 1.0))
def test_own_price_demand_falls(sensitivity, valuation, ratio, rise):
    curve = single(sensitivity, valuation)
    assert curve.purchase_probability(ratio + rise) <= curve.purchase_probability(ratio)


@given(st.floats(0.05, 10.0), valuations, ratios)
def test_elasticity_is_the_derivative_of_log_demand(sensitivity, valuation, ratio):
    curve = single(sensitivity, valuation)
    step = 1e-5
    above, below = curve.purchase_probability(ratio + step), curve.purchase_probability(ratio - step)
    numeric = ratio * (np.log(above) - np.log(below)) / (2 * step)
    np.testing.assert_allclose(curve.elasticity(ratio), numeric, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("sensitivity", "valuation", "ratio"), [(3.0, 1.0, 0.8), (12.0, 0.9, 1.1), (0.7, 0.2, 1.0)])
def test_surplus_is_the_area_under_demand_above_the_price(sensitivity, valuation, ratio):
    curve = single(sensitivity, valuation)
    area, _ = quad(lambda x: float(curve.purchase_probability(x)[0]), ratio, ratio + 80.0)
    np.testing.assert_allclose(curve.consumer_surplus(ratio, 25.0), 25.0 * area, rtol=1e-6)


def test_extreme_curves_stay_in_range():
    curve = DemandCurve(np.array([1e6, 1e6]), np.array([-5.0, 5.0]))
    np.testing.assert_array_equal(curve.purchase_probability(1.0), [0.0, 1.0])
    assert np.isfinite(curve.elasticity(1.0)).all()
    assert np.isfinite(curve.consumer_surplus(1.0, 10.0)).all()


def test_bad_rows_are_kept():
    curve = DemandCurve(np.array([np.nan, 2.0]), np.array([1.0, 1.0]))
    assert np.isnan(curve.purchase_probability(1.0)).tolist() == [True, False]


@pytest.mark.parametrize("size", [0, 1, 5])
def test_length_and_take(size):
    curve = DemandCurve(np.arange(1.0, size + 1), np.linspace(0, 1, size))
    assert len(curve) == size
    last_first = np.arange(size)[::-1]
    np.testing.assert_array_equal(curve.take(last_first).sensitivity, curve.sensitivity[::-1])
    assert len(curve.take(np.zeros(size, dtype=bool))) == 0


@pytest.mark.parametrize("sensitivity", [np.ones(3), np.ones((2, 1)), np.float64(1.0)])
def test_arrays_that_do_not_belong_together_are_refused(sensitivity):
    with pytest.raises(DemandCurveError, match="two arrays of shape"):
        DemandCurve(sensitivity, np.ones(2))
