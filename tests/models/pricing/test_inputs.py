import numpy as np
import pandas as pd
import pytest

from models.demand.demand_curve import DemandCurve
from models.pricing.inputs import PricingInputError, read_inputs

GOOD = {
    "user_id": "u",
    "product_id": "p",
    "list_price": 10.0,
    "unit_cost": 4.0,
    "floor": np.nan,
    "ceiling": np.nan,
    "consent": True,
}
NOT_AMOUNTS = [np.nan, np.inf, -np.inf, -1.0, 1e15]


def curve_of(rows: int, sensitivity=3.0, valuation=1.0) -> DemandCurve:
    return DemandCurve(np.full(rows, sensitivity), np.full(rows, valuation))


def invalid(row: dict, curve=None, uniform=None, **prices) -> list[str | None]:
    decisions = pd.DataFrame([GOOD | row])
    prices = {"live_price": None, "live_uniform_price": None} | prices
    return read_inputs(decisions, curve or curve_of(1), uniform or curve_of(1), **prices).invalid.tolist()


def test_a_usable_row_has_no_complaint():
    assert invalid({"unit_cost": 0.0, "floor": 0.0}) == [None]


@pytest.mark.parametrize("value", [*NOT_AMOUNTS, 0.0, None])
def test_list_price(value):
    assert invalid({"list_price": value}) == ["invalid_list_price"]


@pytest.mark.parametrize("value", [*NOT_AMOUNTS, None])
def test_unit_cost(value):
    assert invalid({"unit_cost": value}) == ["invalid_unit_cost"]


@pytest.mark.parametrize("name", ["floor", "ceiling"])
@pytest.mark.parametrize("value", NOT_AMOUNTS[1:])
def test_floor_and_ceiling(name, value):
    assert invalid({name: value}) == [f"invalid_{name}"]


@pytest.mark.parametrize("name", ["live_price", "live_uniform_price"])
@pytest.mark.parametrize("value", [*NOT_AMOUNTS[1:], 0.0])
def test_live_prices(name, value):
    assert invalid({}, **{name: [value]}) == [f"invalid_{name}"]


@pytest.mark.parametrize("value", [None, np.nan, pd.NA])
def test_consent_nobody_knows(value):
    assert invalid({"consent": value}) == ["invalid_consent"]


@pytest.mark.parametrize("bad", [(np.nan, 1.0), (3.0, np.nan), (0.0, 1.0), (-1.0, 1.0), (np.inf, 1.0), (3.0, -np.inf)])
def test_curves(bad):
    assert invalid({}, curve=curve_of(1, *bad)) == ["invalid_demand_curve"]
    assert invalid({}, uniform=curve_of(1, *bad)) == ["invalid_uniform_demand_curve"]
    assert invalid({"consent": False}, curve=curve_of(1, *bad)) == [None]


def test_without_consent_nothing_personal_is_kept():
    decisions = pd.DataFrame([GOOD, GOOD | {"consent": False}])
    given = read_inputs(decisions, curve_of(2, 9.0, 2.0), curve_of(2), [7.0, 7.0], [8.0, 8.0])
    assert given.curve.sensitivity.tolist() == [9.0, 3.0]
    assert given.curve.valuation.tolist() == [2.0, 1.0]
    assert given.live_price.tolist() == [7.0, 8.0]


def test_a_missing_column_is_named():
    with pytest.raises(PricingInputError, match="lack unit_cost, consent"):
        read_inputs(
            pd.DataFrame([GOOD]).drop(columns=["unit_cost", "consent"]),
            curve_of(1),
            curve_of(1),
            None,
            None,
        )


def test_text_is_not_an_amount():
    with pytest.raises(PricingInputError, match="unit_cost is not a column of numbers"):
        invalid({"unit_cost": "four"})


def test_everything_has_one_row_a_decision():
    with pytest.raises(PricingInputError, match="uniform_curve has 2 rows for 1 decisions"):
        invalid({}, uniform=curve_of(2))
    with pytest.raises(PricingInputError, match="live_price has 2 rows for 1 decisions"):
        invalid({}, live_price=[1.0, 2.0])
