import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sources.shelf import LEADING_ITEMS, LEAST_SALES, LIST_DAYS, SALES_DAYS, SEEN_DAYS, Shelf

LINE = ["item", "day", "units", "total_price", "total_cost"]


def shelf(*lines, subclass=(0,), days=60):
    return Shelf(pd.DataFrame(lines, columns=LINE), np.array(subclass), days)


def daily(item, days, price=10, cost=5):
    return [(item, day, 1, price, cost) for day in days]


def test_the_price_is_what_most_single_unit_lines_paid():
    seen = shelf((0, 3, 1, 20, 9), (0, 3, 1, 20, 9), (0, 3, 1, 18, 9), (0, 3, 4, 40, 36)).price_seen
    assert seen[0, 3] == 20.0
    assert np.isnan(np.delete(seen[0], 3)).all()


def test_of_two_prices_paid_equally_often_the_higher_is_the_shelf_price():
    assert shelf((0, 3, 1, 18, 9), (0, 3, 1, 20, 9)).price_seen[0, 3] == 20.0


def test_lines_of_several_units_show_no_shelf_price():
    assert np.isnan(shelf((0, 3, 2, 30, 18)).price_seen).all()


def test_a_price_is_in_force_for_two_weeks_after_it_was_last_paid():
    in_force = shelf(*daily(0, [3])).price_in_force[0]
    assert np.isnan(in_force[:3]).all()
    assert (in_force[3 : 3 + SEEN_DAYS + 1] == 10.0).all()
    assert np.isnan(in_force[3 + SEEN_DAYS + 1 :]).all()


def test_a_promotion_leaves_the_list_price_and_one_odd_line_does_not_raise_it():
    promotion = shelf(*daily(0, range(10)), *daily(0, range(10, 30), price=7))
    assert promotion.regular_price[0, 29] == 10.0
    odd = shelf(*daily(0, range(20)), (0, 20, 1, 99, 5), *daily(0, range(21, 30)))
    assert odd.regular_price[0, 29] == 10.0


def test_the_list_price_forgets_after_four_weeks():
    regular = shelf(*daily(0, [0]), *daily(0, range(1, 40), price=7)).regular_price[0]
    assert regular[4] == 10.0
    assert regular[LIST_DAYS] == 7.0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_the_list_price_was_a_shelf_price_within_the_month(prices):
    lines = [(0, day, 1, price, 1) for day, price in enumerate(prices)]
    last = len(prices) - 1
    recent = prices[-LIST_DAYS:]
    regular = shelf(*lines, days=len(prices)).regular_price[0, last]
    assert regular in recent
    assert np.mean(np.array(recent) <= regular) >= 0.9 - 0.4 / len(recent)


def test_the_unit_cost_is_the_last_one_known_and_zero_is_not_known():
    cost = shelf((0, 3, 4, 40, 24), (0, 5, 1, 10, 0)).unit_cost[0]
    assert np.isnan(cost[:3]).all()
    assert (cost[3:] == 6.0).all()


def test_an_item_without_any_cost_has_none():
    assert np.isnan(shelf((0, 3, 1, 40, 0)).unit_cost).all()


def test_the_relative_cost_is_that_to_the_items_own_past():
    relative = shelf(*daily(0, range(20), cost=8), *daily(0, range(20, 24), cost=6)).relative_cost[0]
    assert (relative[:20] == 1.0).all()
    assert (relative[20:24] == 0.75).all()


def test_the_substitutes_index_leaves_the_item_itself_out():
    cheap = [*daily(1, range(20)), (1, 20, 1, 5, 5)]
    index = shelf(*daily(0, range(21)), *cheap, *daily(2, range(21)), subclass=(0, 0, 1)).substitutes
    assert index[0, 20] == 0.5
    assert index[1, 20] == 1.0
    assert np.isnan(index[2]).all()


def test_the_substitutes_index_weighs_by_past_sales():
    often = [(1, day, 1, 5 if day == 20 else 10, 5) for day in range(21) for _ in range(3)]
    index = shelf(*daily(0, range(21)), *often, *daily(2, range(21)), subclass=(0, 0, 0)).substitutes
    assert index[0, 20] == pytest.approx((3 * 0.5 + 1.0) / 4)


def test_the_items_that_sold_most_lead_their_subclass():
    lines = [line for item in range(5) for line in daily(item, range(40)) * (1 + item % 5)]
    leading = shelf(*lines, subclass=(0, 0, 0, 0, 1)).leading
    on_day = leading[leading["eve"] == 30]
    assert sorted(zip(on_day["subclass"], on_day["item"], strict=True)) == [(0, 1), (0, 2), (0, 3), (1, 4)]
    assert LEADING_ITEMS == 3


def test_an_item_leads_after_four_weeks_with_enough_sales_and_a_recent_price():
    def eves(lines):
        return shelf(*lines).leading["eve"].tolist()

    assert eves(daily(0, range(60)))[0] == SALES_DAYS - 1
    assert not eves(daily(0, range(LEAST_SALES - 1)))
    assert not eves([(0, day, 2, 20, 10) for day in range(60)])
    assert not eves(daily(0, range(60), cost=0))
    stopped = eves(daily(0, range(25)))
    assert stopped[-1] == 24 + SEEN_DAYS - 1, "its price was last seen on day 24"


@given(st.integers(0, 2**32 - 1), st.integers(0, 49))
@settings(max_examples=30, deadline=None)
def test_a_day_ignores_all_later_lines(seed, day):
    random = np.random.default_rng(seed)
    lines = pd.DataFrame(random.integers([0, 0, 1, 1, 0], [4, 50, 4, 9, 9], (600, 5)), columns=LINE)
    whole, past = (Shelf(some, np.array([0, 0, 1, 1]), 50) for some in (lines, lines[lines["day"] <= day]))
    for grid in ("price_in_force", "regular_price", "unit_cost", "relative_cost", "substitutes"):
        np.testing.assert_array_equal(getattr(whole, grid)[:, : day + 1], getattr(past, grid)[:, : day + 1])
    known, then = (some.leading[some.leading["eve"] <= day].reset_index(drop=True) for some in (whole, past))
    pd.testing.assert_frame_equal(known, then)
