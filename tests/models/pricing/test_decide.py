from datetime import date

import numpy as np
import pandas as pd
import pytest

from models.demand.demand_curve import DemandCurve
from models.pricing.decide import REASONS, explain, price_decisions
from models.pricing.objective import Objective, closed_form
from models.pricing.policy import Exploration, Guardrails, PricingPolicy
from models.pricing.presets import PRESETS

DAY = date(2026, 11, 2)

ROWS = 150_000


def decisions_of(rows: int, **columns) -> pd.DataFrame:
    given = {
        "user_id": [f"u{row}" for row in range(rows)],
        "product_id": "p",
        "list_price": 10.0,
        "unit_cost": 4.0,
        "floor": np.nan,
        "ceiling": np.nan,
        "consent": True,
    }
    return pd.DataFrame(given | columns, index=[f"d{row}" for row in range(rows)])


def curve_of(rows: int, sensitivity=3.0, valuation=1.0) -> DemandCurve:
    return DemandCurve(np.full(rows, sensitivity), np.full(rows, valuation))


def one_price(policy: PricingPolicy, *, curve=(3.0, 1.0), uniform=(3.0, 1.0), row=None, **arguments) -> pd.Series:
    decisions = decisions_of(1, **(row or {}))
    return price_decisions(decisions, curve_of(1, *curve), curve_of(1, *uniform), policy, "EUR", **arguments).iloc[0]


def random_market(seed: int, rows: int = ROWS):
    rng = np.random.default_rng(seed)
    price_cents = rng.integers(1, 50_000, rows)
    cost_cents = (price_cents * rng.uniform(0, 1.1, rows)).astype(int)
    is_bounded = rng.random((2, rows)) < 0.3
    decisions = decisions_of(
        rows,
        list_price=price_cents / 100,
        unit_cost=cost_cents / 100,
        floor=np.where(is_bounded[0], np.round(price_cents * rng.uniform(0.3, 1.0, rows)) / 100, np.nan),
        ceiling=np.where(is_bounded[1], np.round(price_cents * rng.uniform(0.8, 1.5, rows)) / 100, np.nan),
        consent=rng.random(rows) < 0.8,
    )
    personal = DemandCurve(rng.uniform(0.2, 30, rows), rng.uniform(-1, 3, rows))
    uniform = DemandCurve(rng.uniform(0.2, 30, rows), rng.uniform(-1, 3, rows))
    live = np.where(rng.random(rows) < 0.5, np.maximum(price_cents + rng.integers(-9, 9, rows), 1) / 100, np.nan)
    return decisions, personal, uniform, live


STRICT = PricingPolicy(
    satisfaction_weight=0.3,
    guardrails=Guardrails(
        minimum_margin=0.07,
        maximum_markup=0.13,
        maximum_discount=0.35,
        maximum_step=0.12,
        above_uniform=False,
    ),
    exploration=Exploration(share=0.3, dither=0.02),
)


def strict_with(**rails) -> PricingPolicy:
    return STRICT.model_copy(update={"guardrails": STRICT.guardrails.model_copy(update=rails)})


@pytest.mark.parametrize(
    ("policy", "tick"),
    [
        (STRICT, 1),
        (strict_with(price_ending=0.99), 100),
        (strict_with(currency_digits=0, price_ending=9), 1000),
    ],
)
def test_no_price_breaches_a_rule(policy, tick):
    """Checked in whole numbers of hundredths of a cent, where 1.07 × 3.00 is exactly 3.21."""
    decisions, personal, uniform, live = random_market(0)
    priced = price_decisions(
        decisions,
        personal,
        uniform,
        policy,
        "EUR",
        live_price=live,
        live_uniform_price=live,
        exploration_period=DAY,
    )
    has_price = priced["refused"].isna().to_numpy()
    assert has_price.sum() > 20_000
    assert priced.loc[has_price, "randomised"].sum() > 500
    given = decisions[has_price]
    price = np.round(priced.loc[has_price, "price"].to_numpy() * 100).astype(int)

    def cents(amount) -> np.ndarray:
        return np.round(np.nan_to_num(np.asarray(amount, dtype=float), nan=-1) * 100).astype(int)

    def breaches(is_kept) -> int:
        return int((~is_kept).sum())

    ceiling, live_cents = cents(given["ceiling"]), cents(live[has_price])
    assert breaches(price / 100 == priced.loc[has_price, "price"]) == 0  # the very double of that decimal
    assert breaches(price % tick == {1: 0, 100: 99, 1000: 900}[tick]) == 0
    assert breaches(price > 0) == 0
    assert breaches(price >= cents(given["floor"])) == 0
    assert breaches((ceiling < 0) | (price <= ceiling)) == 0
    assert breaches(price * 100 >= cents(given["unit_cost"]) * 107) == 0
    assert breaches(price * 100 <= cents(given["list_price"]) * 113) == 0
    assert breaches(price * 100 >= cents(given["list_price"]) * 65) == 0
    assert breaches((live_cents < 0) | (price * 100 >= live_cents * 88)) == 0
    assert breaches((live_cents < 0) | (price * 100 <= live_cents * 112)) == 0
    assert breaches(price <= cents(priced.loc[has_price, "uniform_price"])) == 0
    shown = priced[has_price]
    assert breaches(shown["price"].between(shown["lower"], shown["upper"])) == 0


def test_a_row_has_a_price_or_a_reason_for_none():
    decisions, personal, uniform, live = random_market(1, 20_000)
    rng = np.random.default_rng(2)
    for name in ("list_price", "unit_cost", "floor", "ceiling"):
        spoilt = rng.random(len(decisions)) < 0.1
        decisions[name] = decisions[name].where(~spoilt, rng.choice([np.nan, np.inf, -np.inf, -3.0], len(decisions)))
    personal.sensitivity[rng.random(len(decisions)) < 0.1] = np.nan
    priced = price_decisions(decisions, personal, uniform, STRICT, "EUR", live_price=live, exploration_period=DAY)
    is_refused = priced["refused"].notna()
    assert 0 < is_refused.sum() < len(priced)
    outcomes = ["price", "purchase_probability", "expected_profit", "elasticity", "lower"]
    assert priced.loc[is_refused, [*outcomes, "upper", "propensity"]].isna().all(axis=None)
    assert not priced.loc[is_refused, "randomised"].any()
    assert (priced.loc[is_refused, "reasons"].map(len) == 0).all()
    assert np.isfinite(priced.loc[~is_refused, outcomes].to_numpy()).all()
    assert priced.loc[~is_refused, "uniform_price"].notna().all()
    assert {reason for reasons in priced["reasons"] for reason in reasons} <= set(REASONS)


def test_the_price_is_the_best_cent():
    rng = np.random.default_rng(3)
    curve = DemandCurve(rng.uniform(0.5, 20, 500), rng.uniform(0, 2, 500))
    decisions = decisions_of(500)
    priced = price_decisions(decisions, curve, curve, PricingPolicy(), "EUR")
    objective = Objective(curve, np.full(500, 10.0), np.full(500, 4.0))
    np.testing.assert_allclose(priced["price"], closed_form(objective), atol=0.01)
    np.testing.assert_allclose(priced["expected_profit"], objective.value(priced["price"].to_numpy()))
    for neighbour in (-0.01, 0.01):
        assert (priced["expected_profit"] >= objective.value(priced["price"].to_numpy() + neighbour)).all()
    assert priced.index.equals(decisions.index)


def test_without_consent_the_price_is_the_uniform_price():
    decisions, personal, uniform, live = random_market(4, 20_000)
    arguments = {"live_price": live, "live_uniform_price": live[::-1], "exploration_period": DAY}
    priced = price_decisions(decisions, personal, uniform, STRICT, "EUR", **arguments)
    strangers = priced[~decisions["consent"] & priced["refused"].isna()]
    assert len(strangers) > 500
    assert (strangers["price"] == strangers["uniform_price"]).all()
    assert strangers["propensity"].isna().all()
    assert strangers["reasons"].map(lambda reasons: "no_consent" in reasons and "above_uniform" not in reasons).all()
    # and no personal number reaches it
    other = DemandCurve(personal.sensitivity[::-1].copy(), personal.valuation[::-1].copy())
    again = price_decisions(decisions, other, uniform, STRICT, "EUR", **arguments | {"live_price": live + 1})
    pd.testing.assert_frame_equal(again[~decisions["consent"]], priced[~decisions["consent"]])


def test_the_uniform_price_holds_nothing_personal():
    decisions, personal, uniform, live = random_market(5, 5_000)
    first = price_decisions(decisions, personal, uniform, STRICT, "EUR", live_price=live, exploration_period=DAY)
    swapped = DemandCurve(personal.sensitivity[::-1].copy(), personal.valuation[::-1].copy())
    other = price_decisions(decisions.assign(user_id="z"), swapped, uniform, STRICT, "EUR")
    pd.testing.assert_series_equal(first["uniform_price"], other["uniform_price"])


def test_the_protected_group_changes_no_price():
    decisions, personal, uniform, _ = random_market(6, 5_000)
    groups = np.where(np.arange(5_000) % 2, "a", "b")
    priced = [
        price_decisions(decisions.assign(protected_group=group), personal, uniform, STRICT, "EUR")
        for group in (groups, groups[::-1])
    ]
    pd.testing.assert_frame_equal(*priced)


def test_a_decision_keeps_its_price_whatever_is_priced_beside_it():
    decisions, personal, uniform, live = random_market(7, 2_000)
    arguments = {"policy": STRICT, "currency": "EUR", "exploration_period": DAY}
    whole = price_decisions(decisions, personal, uniform, live_price=live, **arguments)
    some = np.random.default_rng(0).permutation(2_000)[:100]
    part = price_decisions(
        decisions.iloc[some], personal.take(some), uniform.take(some), live_price=live[some], **arguments
    )
    pd.testing.assert_frame_equal(part, whole.iloc[some])


def test_only_a_named_period_explores():
    decisions = decisions_of(2_000)
    policy = PricingPolicy(guardrails=Guardrails(maximum_markup=0.2), exploration=Exploration(share=0.5))
    curves = curve_of(2_000), curve_of(2_000)
    plain = price_decisions(decisions, *curves, policy, "EUR")
    assert plain["price"].nunique() == 1
    assert plain["propensity"].isna().all()
    first = price_decisions(decisions, *curves, policy, "EUR", exploration_period=date(2026, 11, 1))
    assert first["randomised"].mean() == pytest.approx(0.5, abs=0.05)
    pd.testing.assert_frame_equal(
        first, price_decisions(decisions, *curves, policy, "EUR", exploration_period=date(2026, 11, 1))
    )
    later = price_decisions(decisions, *curves, policy, "EUR", exploration_period=date(2026, 12, 1))
    assert (first["price"] != later["price"]).any()


def test_publishing_again_within_a_period_keeps_every_draw_and_no_price_leaps():
    decisions, personal, uniform, live = random_market(8, 20_000)
    first = price_decisions(decisions, personal, uniform, STRICT, "EUR", live_price=live, exploration_period=DAY)
    later = DemandCurve(personal.sensitivity[::-1].copy(), personal.valuation[::-1].copy())  # other behaviour
    arguments = {"live_price": first["price"], "live_uniform_price": first["uniform_price"]}
    drawn = first["propensity"].where(first["randomised"])
    again = price_decisions(
        decisions,
        later,
        uniform,
        STRICT,
        "EUR",
        **arguments,
        live_propensity=drawn,
        exploration_period=DAY,
    )
    both = first["refused"].isna() & again["refused"].isna()
    move = (again["price"] / first["price"] - 1)[both].abs()
    assert (move > 0).mean() > 0.2
    assert move.max() <= STRICT.guardrails.maximum_step * (1 + 1e-9)
    kept = both & first["randomised"]
    assert kept.sum() > 1_000
    bounded = again["price"] == again["uniform_price"].clip(upper=first["price"])  # the uniform price may have moved
    assert ((again["price"] == first["price"]) | bounded)[kept].all()
    assert (again["price"] == first["price"])[kept].mean() > 0.95
    without = price_decisions(decisions, later, uniform, STRICT, "EUR", **arguments, exploration_period=DAY)
    assert (without["price"] == first["price"])[kept].mean() < 0.3  # the step's new interval would draw anew


def test_an_open_interval_is_not_explored():
    policy = PricingPolicy(exploration=Exploration(share=1.0))
    row = one_price(policy, exploration_period=DAY)
    assert not row["randomised"]
    assert np.isnan(row["propensity"])
    assert row["upper"] == np.inf


@pytest.mark.parametrize(
    ("rails", "row", "arguments", "reasons"),
    [
        ({}, {}, {}, []),
        ({}, {"ceiling": 5.0}, {}, ["ceiling"]),
        ({}, {"floor": 50.0}, {}, ["floor"]),
        ({"minimum_margin": 4.0}, {}, {}, ["minimum_margin"]),
        ({"maximum_markup": 0.0}, {"unit_cost": 9.0}, {}, ["maximum_markup"]),
        ({"maximum_discount": 0.01}, {}, {"curve": (3.0, 0.2)}, ["maximum_discount"]),
        ({"maximum_step": 0.1}, {}, {"live_price": [20.0]}, ["maximum_step"]),
        ({"above_uniform": False}, {}, {"curve": (3.0, 2.0)}, ["above_uniform"]),
        ({"price_ending": 0.99}, {}, {}, ["price_ending"]),
        ({}, {"bid_price": 1.0}, {}, ["shadow_price"]),
        ({}, {"consent": False}, {}, ["no_consent"]),
    ],
)
def test_reasons(rails, row, arguments, reasons):
    priced = one_price(PricingPolicy(guardrails=Guardrails(**rails)), row=row, **arguments)
    assert priced["refused"] is None
    assert priced["reasons"] == reasons


@pytest.mark.parametrize(
    ("rails", "row", "arguments", "refused"),
    [
        ({}, {"unit_cost": np.nan}, {}, "invalid_unit_cost"),
        ({}, {}, {"curve": (-1.0, 1.0)}, "invalid_demand_curve"),
        ({}, {"floor": 9.0, "ceiling": 8.0}, {}, "ceiling_conflicts_with_floor"),
        ({}, {"list_price": 1e12}, {"curve": (1e-9, 1.0)}, "price_out_of_range"),
        ({"maximum_step": 0.1}, {"floor": 5.0}, {"live_uniform_price": [1.0]}, "no_uniform_price"),
    ],
)
def test_refusals(rails, row, arguments, refused):
    priced = one_price(PricingPolicy(guardrails=Guardrails(**rails)), row=row, **arguments)
    assert priced["refused"] == refused
    assert np.isnan(priced["price"])


def test_the_waterfall_of_a_price():
    policy = PRESETS["ecommerce"]
    decisions, curves = decisions_of(1), (curve_of(1, 3.0, 1.6), curve_of(1))
    priced = price_decisions(decisions, *curves, policy, "EUR", live_price=[9.0], exploration_period=DAY)
    steps = explain(decisions, *curves, policy, "EUR", live_price=[9.0], exploration_period=DAY).iloc[0]
    assert steps.index[:2].tolist() == ["list_price", "optimum"]
    assert steps["maximum_markup"] == 10.0
    assert steps["above_uniform"] == priced["uniform_price"].iloc[0]
    assert steps["shown"] == priced["price"].iloc[0]
    rules = ["minimum_margin", "maximum_markup", "maximum_discount", "maximum_step", "above_uniform"]
    assert list(steps.index[2:]) == ["floor", "ceiling", *rules, "rounded", "shown"]


def test_the_waterfall_of_a_refused_row_ends_without_a_price():
    steps = explain(decisions_of(1, floor=9.0, ceiling=8.0), curve_of(1), curve_of(1), PricingPolicy(), "EUR").iloc[0]
    assert steps[["rounded", "shown"]].isna().all()


def test_scarcity_and_high_season_raise_the_price():
    plain = one_price(PRESETS["hotel"])["price"]
    assert one_price(PRESETS["hotel"], row={"bid_price": 2.0})["price"] > plain  # few rooms left
    assert one_price(PRESETS["hotel"], curve=(3.0, 1.4), uniform=(3.0, 1.4))["price"] > plain  # peak season


def test_the_long_absent_are_won_back_and_the_loyal_never_overcharged():
    shop = PRESETS["ecommerce"]
    absent = one_price(shop, curve=(4.0, 0.8))  # buys less at any price
    assert absent["price"] < absent["uniform_price"]
    loyal = one_price(shop, curve=(1.5, 1.8))  # hardly minds the price
    assert loyal["price"] <= loyal["uniform_price"]
    assert one_price(PRESETS["open"], curve=(1.5, 1.8))["price"] > loyal["uniform_price"]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows):
    priced = price_decisions(decisions_of(rows), curve_of(rows), curve_of(rows), STRICT, "TWD", exploration_period=DAY)
    assert priced.shape == (rows, 11)
