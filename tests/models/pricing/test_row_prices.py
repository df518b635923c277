import numpy as np
import pandas as pd
import pytest

from models.demand.demand_curve import DemandCurve
from models.pricing.inputs import PricingInputs, read_inputs
from models.pricing.policy import Guardrails, PricingPolicy
from models.pricing.row_prices import best_prices, standing_interval
from models.pricing.shadow_prices import ShadowPrices


def inputs(consent: list[bool], personal_valuation: float = 1.6, **columns) -> PricingInputs:
    rows = len(consent)
    decisions = pd.DataFrame(
        {"user_id": "u", "product_id": "p", "list_price": 10.0, "unit_cost": 4.0, "floor": np.nan}
        | {"ceiling": np.nan, "consent": consent}
        | columns,
    )
    personal = DemandCurve(np.full(rows, 3.0), np.full(rows, personal_valuation))
    uniform = DemandCurve(np.full(rows, 3.0), np.full(rows, 1.0))
    return read_inputs(decisions, personal, uniform, None, None)


def test_the_uniform_price_caps_the_personal_one_where_the_policy_says_so():
    given = inputs([True, False])
    free = best_prices(given, PricingPolicy(), "EUR", ShadowPrices())
    capped = best_prices(given, PricingPolicy(guardrails=Guardrails(above_uniform=False)), "EUR", ShadowPrices())
    assert free.personal.price[0] > free.uniform.price[0]
    np.testing.assert_array_equal(capped.personal.price, capped.uniform.price)
    assert free.personal.price[1] == free.uniform.price[1]


@pytest.mark.parametrize("valuation", [0.4, 1.6])
def test_a_parity_band_keeps_the_personal_price_near_the_uniform_one(valuation):
    given = inputs([True], personal_valuation=valuation)
    rows = best_prices(given, PricingPolicy(), "EUR", ShadowPrices(), parity_band=0.05)
    ratio = rows.personal.price[0] / rows.uniform.price[0]
    assert abs(ratio - 1) == pytest.approx(0.05, abs=0.002)
    assert abs(ratio - 1) <= 0.05


def test_a_shadow_price_moves_both_prices():
    given = inputs([True])
    plain, scarce = (best_prices(given, PricingPolicy(), "EUR", ShadowPrices(unit)) for unit in (0.0, 2.0))
    assert scarce.personal.price > plain.personal.price
    assert scarce.uniform.price > plain.uniform.price


def test_refusals_name_the_input_before_the_rules():
    given = inputs([True, True], unit_cost=[np.nan, 4.0], floor=9.0, ceiling=8.0)
    rows = best_prices(given, PricingPolicy(), "EUR", ShadowPrices())
    assert rows.refused.tolist() == ["invalid_unit_cost", "ceiling_conflicts_with_floor"]
    assert not rows.has_price.any()


def test_a_price_may_stand_where_a_new_one_may_be_but_for_the_step():
    products = pd.DataFrame({"list_price": 10.0, "unit_cost": 4.0, "floor": [np.nan, 6.0], "ceiling": np.nan})
    rails = Guardrails(minimum_margin=0.25, maximum_markup=0.0, maximum_step=0.001, above_uniform=False)
    interval = standing_interval(products, [9.0, 8.0], PricingPolicy(guardrails=rails), "EUR")
    np.testing.assert_array_equal([interval.lower, interval.upper], [[5.0, 6.0], [9.0, 8.0]])
    banded = standing_interval(products, [9.0, 5.0], PricingPolicy(guardrails=rails), "EUR", parity_band=0.1)
    np.testing.assert_allclose([banded.lower[0], banded.upper[0]], [8.1, 9.0])
    assert banded.conflict.tolist() == [False, True]
