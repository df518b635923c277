from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.panel import PanelError, own_price_elasticity

ELASTICITY = -2.5


def panel(seed, items=30, periods=12, confounding=0.0, noise=0.3, share=1.0):
    """Item, period, log price, log quantity and log cost; demand that nobody recorded may move the price."""
    random = np.random.default_rng(seed)
    item, period = np.array(list(product(range(items), range(periods)))).T
    cost = random.normal(size=len(item)) * 0.2
    demand = random.normal(size=len(item)) * noise
    price = random.normal(size=items)[item] + random.normal(size=periods)[period] + cost + confounding * demand
    quantity = random.normal(size=items)[item] + random.normal(size=periods)[period] + ELASTICITY * price + demand
    seen = random.random(len(item)) < share
    return tuple(column[seen] for column in (item, period, price, quantity, cost))


def by_dummies(item, period, price, quantity, mover):
    """Slope and clustered error of the regression with a column for each item and each period but one."""
    effects = np.hstack([item[:, None] == np.unique(item), period[:, None] == np.unique(period)[1:]]).astype(float)
    x, z = np.column_stack([price, effects]), np.column_stack([mover, effects])
    bread = np.linalg.inv(z.T @ x)
    coefficients = bread @ z.T @ quantity
    scores = z * (quantity - x @ coefficients)[:, None]
    clustered = np.array([scores[item == one].sum(axis=0) for one in np.unique(item)])
    covariance = bread @ clustered.T @ clustered @ bread.T
    items, rows, periods = len(np.unique(item)), len(item), len(np.unique(period))
    correction = items / (items - 1) * (rows - 1) / (rows - periods)
    return coefficients[0], np.sqrt(correction * covariance[0, 0])


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_slope_and_error_are_those_of_the_regression_with_dummies(seed):
    item, period, price, quantity, cost = panel(seed, items=8, periods=6, share=0.8)
    for instrument in (None, cost):
        estimate = own_price_elasticity(item, period, price, quantity, instrument)
        slope, error = by_dummies(item, period, price, quantity, price if instrument is None else cost)
        assert estimate.elasticity == pytest.approx(slope, rel=1e-6)
        assert estimate.standard_error == pytest.approx(error, rel=1e-6)


def test_the_instrument_recovers_what_least_squares_misses():
    item, period, price, quantity, cost = panel(0, items=200, confounding=0.8)
    naive = own_price_elasticity(item, period, price, quantity)
    instrumented = own_price_elasticity(item, period, price, quantity, cost)
    assert naive.interval[0] > ELASTICITY, "raising price with demand hides how demand falls with price"
    assert instrumented.interval[0] < ELASTICITY < instrumented.interval[1]
    assert naive.first_stage_f is None
    assert instrumented.first_stage_f > 100


def test_nineteen_intervals_in_twenty_hold_the_elasticity():
    intervals = [own_price_elasticity(*panel(seed)[:4]).interval for seed in range(200)]
    assert 180 <= sum(low < ELASTICITY < high for low, high in intervals) <= 199


def test_item_and_period_levels_do_not_matter():
    item, period, price, quantity, _ = panel(1, share=0.7)
    here = own_price_elasticity(item, period, price, quantity)
    there = own_price_elasticity(item, period, price + 3.0 * item, quantity - period**2)
    assert there.elasticity == pytest.approx(here.elasticity, rel=1e-6)


def test_items_and_periods_may_be_named():
    item, period, price, quantity, _ = panel(2)
    by_code = own_price_elasticity(item, period, price, quantity)
    by_name = own_price_elasticity([f"item {one}" for one in item], period, price, quantity)
    assert by_name == by_code
    assert by_name.items == 30
    assert by_name.observations == 360


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_price": np.zeros(360)}, "log_price does not vary"),
        ({"instrument": np.repeat(np.arange(30.0), 12)}, "instrument does not vary"),
        ({"log_quantity": np.append(np.zeros(359), np.nan)}, "log_quantity is nan at row 359"),
        ({"log_price": np.zeros(10)}, r"log_price has shape \(10,\)"),
        ({"period": np.zeros(3)}, "item has 360 rows, period 3"),
        ({"item": np.zeros(360)}, "the panel has 1 items"),
    ],
)
def test_a_panel_that_tells_nothing_is_refused(change, message):
    item, period, price, quantity, cost = panel(3)
    columns = {
        "item": item,
        "period": period,
        "log_price": price,
        "log_quantity": quantity,
        "instrument": cost,
    }
    with pytest.raises(PanelError, match=message):
        own_price_elasticity(**{**columns, **change})


def test_an_empty_panel_is_refused():
    with pytest.raises(PanelError, match="the panel has 0 items"):
        own_price_elasticity([], [], [], [])
