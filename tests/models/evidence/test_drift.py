"""Drift by simulation: silent where the model is right, loud where the truth has moved."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import entropy

from models.evidence.drift import (
    CALIBRATION_TOLERANCE,
    RESPONSE_TOLERANCE,
    Finding,
    LabelShift,
    calibration_finding,
    is_alarm,
    labelled,
    promise_findings,
    response_finding,
    rule_findings,
)

FALSE_ALARM = 0.01


def answered(seed: int, level: float = 0.0, steeper: float = 0.0, count: int = 6_000) -> pd.DataFrame:
    """Quotes to users who buy as promised, or after a shift of the log-odds, or with all sensitivities larger."""
    random = np.random.default_rng(seed)
    list_price, randomised = np.full(count, 10.0), random.random(count) < 0.3
    ratio = np.where(randomised, random.uniform(0.6, 1.0, count), 0.85)
    sensitivity, valuation = random.uniform(4, 8, count), random.normal(0.7, 0.1, count)
    truth = expit(sensitivity * (valuation - ratio) + level - steeper * sensitivity * (ratio - ratio.mean()))
    return pd.DataFrame(
        {
            "user_id": random.integers(0, 800, count).astype(str),
            "price": ratio * list_price,
            "list_price": list_price,
            "unit_cost": 4.0,
            "quantity": 1.0,
            "sensitivity": sensitivity,
            "valuation": valuation,
            "randomised": randomised,
            "purchased": random.random(count) < truth,
        }
    )


def breached(quotes: pd.DataFrame) -> set[str]:
    return {finding.check for finding in findings(quotes) if finding.is_breached}


def findings(quotes: pd.DataFrame) -> list[Finding]:
    pooled = (response_finding, calibration_finding)
    return [*promise_findings(quotes, FALSE_ALARM), *(finding(quotes, FALSE_ALARM) for finding in pooled)]


def test_a_model_that_is_right_raises_nothing() -> None:
    assert [seed for seed in range(40) if breached(answered(seed))] == []


def test_at_the_edge_of_the_tolerance_it_is_as_rare_as_asked() -> None:
    found = [answered(seed, steeper=RESPONSE_TOLERANCE) for seed in range(300)]
    alarms = sum("price_response" in breached(quotes) for quotes in found)
    assert alarms <= 300 * 0.04  # 1 % asked, first order only, and the 300 draws vary


def test_a_fall_in_demand_shows_in_purchases_and_profit() -> None:
    assert {"purchases", "profit"} <= breached(answered(1, level=-0.5)) <= {"purchases", "profit", "calibration"}


def miscalibrated(seed: int, share: float) -> pd.DataFrame:
    """Quotes whose promises are right on the whole; of low ones more is bought, of high ones a share less."""
    quotes = answered(seed)
    ratio = quotes["price"] / quotes["list_price"]
    promised = expit(quotes["sensitivity"] * (quotes["valuation"] - ratio))
    high = promised > promised.median()
    low_more = share * promised[high].sum() / promised[~high].sum()
    truth = promised * np.where(high, 1 - share, 1 + low_more)
    return quotes.assign(purchased=np.random.default_rng(seed + 1_000).random(len(quotes)) < truth)


def test_a_miss_of_high_and_low_promises_shows_in_calibration_alone() -> None:
    assert breached(miscalibrated(1, 0.3).assign(unit_cost=8.49)) >= {"calibration"}
    assert "purchases" not in breached(miscalibrated(1, 0.3))
    found = calibration_finding(miscalibrated(1, 0.3), FALSE_ALARM)
    assert found.excess.startswith("tenth ")
    assert found.rows == 6_000


def test_tenths_at_the_edge_of_the_tolerance_raise_as_rarely_as_asked() -> None:
    edge = [answered(seed).pipe(lambda quotes, seed=seed: bought_less(quotes, seed)) for seed in range(300)]
    assert sum(calibration_finding(quotes, FALSE_ALARM).is_breached for quotes in edge) <= 300 * 0.03


def bought_less(quotes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every promise is missed by exactly what calibration tolerates."""
    ratio = quotes["price"] / quotes["list_price"]
    truth = expit(quotes["sensitivity"] * (quotes["valuation"] - ratio)) * (1 - CALIBRATION_TOLERANCE)
    return quotes.assign(purchased=np.random.default_rng(seed + 2_000).random(len(quotes)) < truth)


def test_a_tenth_without_a_purchase_is_judged_by_chance_and_not_by_its_own_spread() -> None:
    quotes = answered(1, count=400).assign(valuation=0.1, sensitivity=6.0, purchased=False)
    assert not calibration_finding(quotes, FALSE_ALARM).is_breached


def test_a_collapse_asks_for_the_way_back() -> None:
    assert "loss" in breached(answered(1, level=-2.0))
    assert "loss" not in breached(answered(1, level=2.0))


def test_a_steeper_answer_to_price_shows_where_prices_are_random() -> None:
    assert "price_response" in breached(answered(1, steeper=1.0))
    quotes = answered(1, steeper=1.0).assign(randomised=False)
    response = response_finding(quotes, FALSE_ALARM)
    assert np.isnan(response.value)
    assert response.rows == 0


@pytest.mark.parametrize("count", [0, 1, 20])
def test_few_rows_say_nothing(count: int) -> None:
    few = answered(1, count=6_000).head(count)
    assert all(np.isnan(finding.value) and not finding.is_breached for finding in findings(few))


def quotes(share: float, count: int = 2_000) -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in range(count)],
            "product_id": "p",
            "price": 8.0,
            "lower": 7.0,
            "upper": 9.0,
            "randomised": random.random(count) < share,
        }
    )


def test_prices_inside_their_intervals_and_the_share_explored() -> None:
    guardrails, exploration = rule_findings(quotes(0.1), 0.1, FALSE_ALARM)
    assert not guardrails.is_breached
    assert not exploration.is_breached
    guardrails, exploration = rule_findings(quotes(0.0).assign(price=9.01), 0.1, FALSE_ALARM)
    assert guardrails.value == 2_000
    assert exploration.is_breached


def test_a_pair_quoted_often_counts_once() -> None:
    often = pd.concat([quotes(0.1), *[quotes(0.1).query("randomised")] * 20])
    assert not rule_findings(often, 0.1, FALSE_ALARM)[1].is_breached


def test_the_divergence_of_unchanged_shares_is_within_its_limit() -> None:
    random = np.random.default_rng(0)
    then = pd.Series(random.integers(0, 10, 5_000).astype(str), name="x")
    shifts = [
        LabelShift.between(then, pd.Series(random.integers(0, 10, rows).astype(str), name="x"), 0.01)
        for rows in (40, 400, 4_000)
        for _ in range(200)
    ]
    measured = np.array([entropy(shift.now, shift.then) for shift in shifts])
    chance = np.array([shift.limit for shift in shifts]) - 0.125
    assert (measured > chance).mean() < 0.02  # without what a shift must have beyond chance
    assert (measured > chance + 0.125).sum() == 0


def test_a_shift_is_told_by_its_label_and_its_stability_index() -> None:
    then = pd.Series(["view"] * 700 + ["cart"] * 200 + ["purchase"] * 100, name="kind")
    now = pd.Series(["view"] * 30 + ["cart"] * 30 + ["purchase"] * 40, name="kind")
    shift = LabelShift.between(then, now, FALSE_ALARM)
    expected = (0.3 - 0.7) * np.log(0.3 / 0.7) + 0.1 * np.log(1.5) + 0.3 * np.log(4)
    assert shift.stability_index == pytest.approx(expected, rel=0.05)
    found = shift.finding(0.5)
    assert found.is_breached
    assert (found.check, found.rows) == ("feature kind", 100)
    assert found.excess.startswith("view: 69.9% to 30.0%; stability index 0.7")


def test_few_rows_or_one_label_tell_nothing() -> None:
    then = pd.Series(["view", "cart"] * 50, name="kind")
    assert not LabelShift.between(then, then[:10], FALSE_ALARM).is_known
    assert not LabelShift.between(pd.Series(["view"] * 50), pd.Series(["view"] * 50), FALSE_ALARM).is_known
    assert not LabelShift.between(then, then[:10], FALSE_ALARM).finding(9.0).is_breached


@given(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=1), st.lists(st.floats(-1e9, 1e9) | st.none(), min_size=1))
def test_every_number_has_a_label(reference: list[float | None], values: list[float | None]) -> None:
    labels = labelled(pd.Series(reference, dtype="float64"), pd.Series(values, dtype="float64"))
    assert labels.isin(["missing"]).tolist() == [value is None for value in values]
    assert labels.notna().all()


def test_texts_beyond_the_commonest_are_one_label() -> None:
    reference = pd.Series(["a", "a", "b", "b", "c"])
    assert labelled(reference, pd.Series(["a", "c", "new", None]), most=2).tolist() == [
        "a",
        "other",
        "other",
        "missing",
    ]


@pytest.mark.parametrize(
    ("seen", "at_least", "expected"),
    [
        ([False, True, True], 2, True),
        ([True, True, False], 2, False),
        ([False, False, True], 2, False),
        ([True], 1, True),
        ([], 1, False),
    ],
)
def test_an_alarm_needs_enough_windows_and_the_newest(seen: list[bool], at_least: int, expected: bool) -> None:
    assert is_alarm(seen, at_least) is expected


def test_what_is_not_known_is_no_breach() -> None:
    assert not Finding("x", "warn", float("nan"), 0.0, 0).is_breached
