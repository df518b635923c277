import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.demand.demand_curve import DemandCurve
from models.pricing.guardrails import NO_RULE, RULES, Interval, bounds, intersect, waterfall
from models.pricing.objective import Objective, closed_form
from models.pricing.policy import Guardrails
from models.pricing.price_grid import price_grid

NONE = np.array([np.nan])


def one_interval(rails: Guardrails, digits=2, **amounts: float) -> Interval:
    row = {"list_price": 10.0, "unit_cost": 4.0, "floor": np.nan, "ceiling": np.nan} | amounts
    rules = bounds(rails, **{name: np.array([amount]) for name, amount in row.items()})
    return intersect(rules, 1, price_grid(digits, rails.price_ending))


def ends(interval: Interval) -> tuple[float, float, str | None, str | None]:
    names = [None if rule == NO_RULE else RULES[rule] for rule in (interval.lower_rule[0], interval.upper_rule[0])]
    return float(interval.lower[0]), float(interval.upper[0]), names[0], names[1]


@pytest.mark.parametrize(
    ("rails", "amounts", "expected"),
    [
        ({}, {}, (0.01, np.inf, None, None)),
        ({}, {"floor": 5.0, "ceiling": 9.0}, (5.0, 9.0, "floor", "ceiling")),
        ({"minimum_margin": 0.25}, {}, (5.0, np.inf, "minimum_margin", None)),
        ({"minimum_margin": 0.25}, {"floor": 6.0}, (6.0, np.inf, "floor", None)),
        ({"maximum_markup": 0.0}, {"ceiling": 12.0}, (0.01, 10.0, None, "maximum_markup")),
        ({"maximum_discount": 0.3}, {}, (7.0, np.inf, "maximum_discount", None)),
        ({"maximum_step": 0.1}, {"live_price": 8.0}, (7.2, 8.8, "maximum_step", "maximum_step")),
        ({"maximum_step": 0.1}, {"live_price": np.nan}, (0.01, np.inf, None, None)),
        ({"above_uniform": False}, {"uniform_price": 9.5}, (0.01, 9.5, None, "above_uniform")),
        ({"above_uniform": True}, {"uniform_price": 9.5}, (0.01, np.inf, None, None)),
        ({"price_ending": 0.99}, {"floor": 5.0, "ceiling": 9.0}, (5.99, 8.99, "floor", "ceiling")),
    ],
)
def test_each_rule_sets_its_end(rails, amounts, expected):
    assert ends(one_interval(Guardrails(**rails), **amounts)) == expected


def test_equal_bounds_are_named_after_the_earlier_rule():
    interval = one_interval(Guardrails(maximum_markup=0.0), ceiling=10.0)
    assert ends(interval)[3] == "ceiling"


@pytest.mark.parametrize(
    ("rails", "amounts", "name"),
    [
        ({}, {"floor": 9.0, "ceiling": 8.0}, "ceiling_conflicts_with_floor"),
        ({"minimum_margin": 0.5}, {"ceiling": 5.0}, "minimum_margin_conflicts_with_ceiling"),
        (
            {"minimum_margin": 0.5, "maximum_markup": 0.0},
            {"unit_cost": 9.0},
            "maximum_markup_conflicts_with_minimum_margin",
        ),
        ({"maximum_step": 0.1}, {"floor": 9.0, "live_price": 5.0}, "maximum_step_conflicts_with_floor"),
        (
            {"maximum_step": 0.1, "above_uniform": False},
            {"live_price": 9.0, "uniform_price": 6.0},
            "above_uniform_conflicts_with_maximum_step",
        ),
        # the first rule that leaves no price is named, whatever follows
        (
            {"minimum_margin": 1.0, "maximum_markup": 0.0, "maximum_discount": 0.1},
            {"unit_cost": 9.0, "ceiling": 8.0},
            "minimum_margin_conflicts_with_ceiling",
        ),
        (
            {"price_ending": 0.99},
            {"floor": 7.1, "ceiling": 7.9},
            "price_ending_conflicts_with_floor_and_ceiling",
        ),
        ({"price_ending": 9}, {"ceiling": 8.0}, "price_ending_conflicts_with_ceiling"),
        (
            {"price_ending": 0.99, "maximum_step": 0.001},
            {"live_price": 8.5},
            "price_ending_conflicts_with_maximum_step",
        ),
    ],
)
def test_rules_that_leave_no_price_are_named(rails, amounts, name):
    assert one_interval(Guardrails(**rails), **amounts).conflict_names().tolist() == [name]


@pytest.mark.parametrize(
    ("cost", "margin", "price"),
    [(10.0, 0.1, 11.0), (100.0, 0.1, 110.0), (1.1, 0.1, 1.21), (2.99, 0.15, 3.44)],
)
def test_a_margin_means_its_decimals_not_their_doubles(cost, margin, price):
    interval = one_interval(Guardrails(minimum_margin=margin), unit_cost=cost, list_price=price)
    assert interval.lower.tolist() == [price]


cents = st.integers(1, 10**7)
percents = st.integers(0, 99)
optional = st.none() | percents


@given(cents, cents, optional, optional, optional, optional, cents, st.sampled_from([None, 0.99, 0.5, 9, 0]))
def test_both_ends_keep_every_rule_exactly(price, cost, margin, markup, discount, step, live, ending):
    shares = {
        "minimum_margin": margin,
        "maximum_markup": markup,
        "maximum_discount": discount,
        "maximum_step": step,
    }
    rails = Guardrails(price_ending=ending, **{k: None if v is None else v / 100 for k, v in shares.items()})
    amounts = {"list_price": price / 100, "unit_cost": cost / 100, "live_price": live / 100}
    interval = one_interval(rails, **amounts)
    if interval.conflict[0]:
        return
    limits = []  # in hundredths of a cent, whole numbers: lowest, highest
    if margin is not None:
        limits.append((cost * (100 + margin), None))
    if markup is not None:
        limits.append((None, price * (100 + markup)))
    if discount is not None:
        limits.append((price * (100 - discount), None))
    if step is not None:
        limits.append((live * (100 - step), live * (100 + step)))
    for end in (interval.lower[0], interval.upper[0]):
        if np.isfinite(end):
            exact = round(float(end) * 100) * 100
            assert all(low is None or exact >= low for low, _ in limits)
            assert all(high is None or exact <= high for _, high in limits)


@given(
    st.floats(0.2, 40),
    st.floats(-1, 3),
    st.floats(0, 30),
    st.floats(0.5, 20),
    st.floats(0.1, 20),
    st.sampled_from([None, 0.99, 0.05, 0]),
    st.floats(0, 0.95),
)
def test_the_best_admissible_price_is_kept(sensitivity, valuation, cost, floor, width, ending, weight):
    curve = DemandCurve(np.array([sensitivity]), np.array([valuation]))
    objective = Objective(curve, np.array([10.0]), np.array([cost]), weight)
    interval = one_interval(Guardrails(price_ending=ending), floor=floor, ceiling=floor + width)
    if interval.conflict[0]:
        return
    rung = interval.best_rung(objective, closed_form(objective))
    every = np.arange(interval.lowest[0], interval.highest[0] + 1)
    assert interval.lowest <= rung <= interval.highest
    best = max(objective.value(interval.grid.price(np.array([other])))[0] for other in every)
    assert objective.value(interval.grid.price(rung))[0] == pytest.approx(best, rel=1e-12, abs=1e-300)


def test_the_waterfall_ends_inside_every_rule():
    rails = Guardrails(minimum_margin=0.1, maximum_markup=0.0, maximum_discount=0.3)
    columns = [np.array([amount]) for amount in (10.0, 4.0, np.nan, 9.5)]
    steps = dict(waterfall(np.array([14.0]), bounds(rails, *columns)))
    assert {name: float(price[0]) for name, price in steps.items()} == {
        "floor": 14.0,
        "ceiling": 9.5,
        "minimum_margin": 9.5,
        "maximum_markup": 9.5,
        "maximum_discount": 9.5,
    }
