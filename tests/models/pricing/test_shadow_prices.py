import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.demand.demand_curve import DemandCurve
from models.pricing.objective import Objective
from models.pricing.shadow_prices import BookTerms, ChargedObjective, ShadowPrices

charges = st.floats(0, 3)


@given(
    st.floats(0.3, 30), st.floats(-1, 3), st.floats(0, 12), st.floats(0, 0.9),
    st.floats(-5, 10), charges, charges, st.lists(st.floats(0.1, 40), min_size=5, max_size=5),
)  # fmt: skip
def test_no_other_price_is_worth_more_after_its_charges(b, v, cost, weight, unit, revenue, discount, others):
    objective = Objective(DemandCurve(np.array([b]), np.array([v])), np.array([10.0]), np.array([cost]), weight)
    charged = ChargedObjective(objective, ShadowPrices(unit, revenue, discount))
    best = charged.optimum()
    for other in [*others, 10.0, float(best[0]) * 1.001, float(best[0]) * 0.999]:
        assert charged.value(best)[0] >= charged.value(np.array([other]))[0] - 1e-9


def test_each_charge_moves_the_price_its_way():
    objective = Objective(DemandCurve(np.array([3.0]), np.array([1.0])), np.array([10.0]), np.array([3.0]))

    def price(**shadow) -> float:
        return float(ChargedObjective(objective, ShadowPrices(**shadow)).optimum()[0])

    plain = price()
    assert price(unit=1.0) > plain  # scarce stock
    assert price(unit=-1.0) < plain  # a bonus for volume
    assert plain < 10
    assert plain < price(discount=0.5) <= 10  # discounts cost extra
    assert price(revenue=1.0) < plain  # revenue counts more than cost
    assert price(discount=1e9) == pytest.approx(10.0)


def test_terms_charge_each_row_for_its_pool():
    terms = BookTerms({"k1": 2.0, "k2": 0.5}, volume_bonus=0.25, revenue_bonus=0.1)
    shadow = terms.shadow_prices(pd.DataFrame({"pool_id": ["k2", None, "k1", "other"]}))
    np.testing.assert_array_equal(shadow.unit, [0.25, -0.25, 1.75, -0.25])
    assert shadow.revenue == 0.1
    assert not ShadowPrices(np.zeros(2)).is_charged.any()
