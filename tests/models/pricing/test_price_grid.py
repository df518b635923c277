from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.pricing.price_grid import PriceGrid, PriceGridError, price_grid, usual_digits

endings = st.sampled_from([None, 0, 0.99, 0.9, 0.5, 0.05, 0.09, 0.95, 4.99, 9, 90, 99])
amounts = st.floats(0, 1e6) | st.decimals(0, 10**6, places=2, allow_nan=False).map(float)


def first_prices(grid: PriceGrid, count: int = 3) -> list[float]:
    return [float(grid.price(np.float64(rung))) for rung in range(count)]


@pytest.mark.parametrize(
    ("digits", "ending", "prices"),
    [
        (2, None, [0.0, 0.01, 0.02]),
        (0, None, [0.0, 1.0, 2.0]),
        (2, 0.99, [0.99, 1.99, 2.99]),
        (2, 0.9, [0.9, 1.9, 2.9]),
        (2, 4.99, [4.99, 14.99, 24.99]),
        (0, 9, [9.0, 19.0, 29.0]),
        (0, 90, [90.0, 190.0, 290.0]),
        (2, 0.05, [0.05, 0.15, 0.25]),
        (2, 0, [0.0, 1.0, 2.0]),
    ],
)
def test_endings_repeat_at_the_next_power_of_ten(digits, ending, prices):
    assert first_prices(price_grid(digits, ending)) == prices


@given(endings, st.integers(0, 10**7))
def test_a_price_is_the_double_nearest_to_its_decimal(ending, rung):
    grid = price_grid(2, ending)
    exact = (grid.offset + Decimal(grid.step) * rung) / grid.ticks_per_unit
    assert float(grid.price(np.float64(rung))) == float(exact)


@given(endings, amounts)
def test_neighbouring_prices_enclose_an_amount(ending, amount):
    grid, amount = price_grid(2, ending), np.float64(amount)
    below, above = grid.rung_at_or_below(amount), grid.rung_at_or_above(amount)
    assert grid.price(above) >= amount
    assert grid.price(above) > 0
    if below >= 0:
        assert grid.price(below) <= amount < grid.price(below + 1)
        assert above - below <= 1 or amount == 0


@given(endings, st.integers(1, 10**6))
def test_an_admissible_price_is_its_own_neighbour(ending, rung):
    grid, rung = price_grid(2, ending), np.float64(rung)
    price = grid.price(rung)
    assert grid.rung_at_or_below(price) == rung == grid.rung_at_or_above(price)


def test_an_open_bound_stays_open():
    assert price_grid(2, 0.99).rung_at_or_below(np.float64(np.inf)) == np.inf


@pytest.mark.parametrize(("digits", "ending"), [(0, 0.99), (1, 0.95), (2, 0.999)])
def test_an_ending_finer_than_the_currency_is_refused(digits, ending):
    with pytest.raises(PriceGridError, match=f"price_ending is {ending}"):
        price_grid(digits, ending)


def test_usual_digits():
    assert [usual_digits(code) for code in ("TWD", "jpy", "EUR", "KWD", "XYZ")] == [0, 0, 2, 3, 2]
