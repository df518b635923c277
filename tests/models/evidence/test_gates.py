from math import nan

import pytest

from models.evidence.gates import (
    conduct_gates,
    data_gate,
    evidence_gates,
    is_cold_start,
    promotion_gates,
    quality_gates,
    range_to_widen,
)

CHAMPION = 3
GOOD = {
    "log_loss_gain_over_constant_rate_low": 0.01,
    "sign_accuracy": 1.0,
    "ece_low": 0.01,
    "price_slope_on_randomised": 1.1,
    "log_loss_gain_over_champion_high": 0.002,
    "priced_sample": 5000.0,
    "refused_by_fault": 0.0,
    "guardrail_violations": 0.0,
    "protected_group_changes": 0.0,
    "parity_gap": 0.01,
    "parity_bound": 0.02,
    "latency_ratio": 1.05,
    "latency_ratio_low": 0.98,
    "off_policy_offers": 4000.0,
    "off_policy_against": 3.0,
    "off_policy_uplift_low": 0.1,
    "off_policy_uplift_high": 0.5,
    "off_policy_effective_sample": 600.0,
    "off_policy_mean_weight_gap": 0.0,
    "off_policy_coverage": 0.99,
}


def failed(metrics, champion=CHAMPION):
    return [gate.name for gate in promotion_gates(metrics, champion) if not gate.passed]


def test_good_figures_pass_every_gate():
    assert failed(GOOD) == []
    assert len(promotion_gates(GOOD, CHAMPION)) == 16


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("log_loss_gain_over_constant_rate_low", 0.0),
        ("sign_accuracy", 0.999),
        ("ece_low", 0.06),
        ("price_slope_on_randomised", 1.5),
        ("price_slope_on_randomised", 0.4),
        ("log_loss_gain_over_champion_high", -1e-6),
        ("priced_sample", 0.0),
        ("refused_by_fault", 1.0),
        ("guardrail_violations", 1.0),
        ("protected_group_changes", 1.0),
        ("parity_gap", 0.021),
        ("latency_ratio_low", 1.21),
        ("off_policy_against", 2.0),
        ("off_policy_against", 0.0),
        ("off_policy_uplift_low", 0.0),
        ("off_policy_uplift_low", -0.1),
        ("off_policy_effective_sample", 99.0),
        ("off_policy_mean_weight_gap", 0.11),
        ("off_policy_coverage", 0.94),
    ],
)
def test_one_bad_figure_blocks(figure, value):
    assert len(failed(GOOD | {figure: value})) == 1 or figure == "off_policy_against"
    assert failed(GOOD | {figure: value})


@pytest.mark.parametrize("figure", sorted(set(GOOD) - {"latency_ratio"}))
def test_a_figure_that_is_not_a_number_blocks(figure):
    """But for upper bounds and counts that no gate reads."""
    read = figure not in {"off_policy_uplift_high", "off_policy_offers"}
    assert bool(failed(GOOD | {figure: nan})) == read


def test_nothing_measured_blocks():
    assert failed({}, champion=0)
    assert not is_cold_start({})
    assert all(not gate.passed for gate in evidence_gates({}, 0))


@pytest.mark.parametrize(
    "figure",
    [
        "off_policy_uplift_low", "off_policy_effective_sample", "guardrail_violations", "latency_ratio_low",
        "off_policy_against",
    ],
)  # fmt: skip
def test_a_missing_figure_blocks(figure):
    assert failed({name: value for name, value in GOOD.items() if name != figure})


BY_WEIGHTS = {"off_policy_profit_uplift_by_weights_low": -0.7}


@pytest.mark.parametrize("standing", [{}, {"off_policy_against_cold": 1.0, "off_policy_uplift_low": -0.1}])
def test_the_second_estimator_s_bound_is_shown_beside_the_first_and_holds_nothing_up(standing):
    gates = {gate.name: gate for gate in promotion_gates(GOOD | BY_WEIGHTS | standing, CHAMPION)}
    shown = gates["profit uplift by self-normalised weights, 95 % lower bound"]
    assert (shown.measured, shown.demanded, shown.passed) == (-0.7, "no limit", True)
    assert is_cold_start(GOOD | BY_WEIGHTS | standing) == bool(standing)


def test_parity_is_shown_where_the_policy_does_not_bound_it():
    unbounded = {name: value for name, value in GOOD.items() if name != "parity_bound"} | {"parity_gap": 0.9}
    (shown,) = (gate for gate in promotion_gates(unbounded, CHAMPION) if gate.name == "parity gap of the sample")
    assert (shown.measured, shown.demanded, shown.passed) == (0.9, "no limit", True)


def test_what_could_not_be_measured_is_not_asked():
    without = {"price_slope_on_randomised", "log_loss_gain_over_champion_high"}
    assert len(quality_gates({name: value for name, value in GOOD.items() if name not in without})) == 3
    unbounded = {name: GOOD[name] for name in GOOD if not name.startswith(("latency", "parity"))}
    assert len(conduct_gates(unbounded, champion=0)) == 4


def test_whoever_has_a_champion_is_compared_with_it_also_without_explored_offers():
    untimed = {name: value for name, value in GOOD.items() if not name.startswith(("off_policy", "latency"))}
    metrics = untimed | {"off_policy_offers": 0.0, "off_policy_against": 0.0}
    assert failed(metrics, champion=0) == []
    assert failed(metrics) == [
        "time to price over the champion's, lower bound of the median", "version that it was compared with"
    ]  # fmt: skip


def table(rows, failing, limit=0.1):
    return {"rows": rows, "failing": failing, "limit": limit}


@pytest.mark.parametrize(
    ("tables", "measured", "passed"),
    [
        ({"users": table(100, 0), "offers": table(40, 2)}, 0.5, True),
        ({"users": table(100, 11), "offers": table(40, 2)}, 1.1, False),
        ({"market": table(0, 0)}, 0, True),
        ({"users": table(100, 0, limit=0.0)}, 0, True),
        ({}, nan, False),
    ],
)
def test_the_data_s_gate_is_its_validation(tables, measured, passed):
    gate = data_gate(tables)
    assert gate.measured == pytest.approx(measured, nan_ok=True)
    assert gate.passed == passed


UNEXPLORED = {name: value for name, value in GOOD.items() if not name.startswith("off_policy")} | {
    "off_policy_offers": 0.0
}


@pytest.mark.parametrize(
    "standing", [{"off_policy_against": 0.0}, {"off_policy_against": 3.0, "off_policy_against_cold": 1.0}]
)
def test_without_explored_offers_a_start_is_cold_where_nothing_stands_by_evidence(standing):
    assert is_cold_start(UNEXPLORED | standing)
    assert failed(UNEXPLORED | standing, int(standing["off_policy_against"])) == []


@pytest.mark.parametrize("standing", [{}, {"off_policy_against_cold": 0.0}])
def test_to_explore_nothing_is_no_way_round_a_champion(standing):
    metrics = UNEXPLORED | {"off_policy_against": 3.0} | standing
    assert not is_cold_start(metrics)
    assert failed(metrics) == ["held-out offers with a randomised price"]
    (gate,) = (gate for gate in promotion_gates(metrics, CHAMPION) if not gate.passed)
    assert "exploration.share above 0" in str(gate)


FIRST = GOOD | {"off_policy_against": 0.0}


def test_a_first_challenger_is_held_to_the_logged_prices():
    assert not is_cold_start(FIRST)
    assert failed(FIRST, champion=0) == []


@pytest.mark.parametrize(
    "inconclusive",
    [{"off_policy_uplift_low": -0.1}, {"off_policy_effective_sample": 20.0}, {"off_policy_coverage": 0.5}],
)
def test_a_first_challenger_with_inconclusive_evidence_starts_cold(inconclusive):
    assert is_cold_start(FIRST | inconclusive)
    assert failed(FIRST | inconclusive, champion=0) == []


def test_a_first_challenger_that_surely_earns_less_is_blocked():
    worse = FIRST | {"off_policy_uplift_low": -0.3, "off_policy_uplift_high": -0.1}
    assert failed(worse, champion=0) == ["off-policy uplift, 95 % upper bound"]


def test_too_few_offers_cannot_say_that_a_first_challenger_earns_less():
    few = FIRST | {"off_policy_uplift_low": -0.3, "off_policy_uplift_high": -0.1, "off_policy_effective_sample": 12.0}
    assert failed(few, champion=0) == []
    nobody_near = {name: value for name, value in FIRST.items() if not name.startswith("off_policy")}
    nobody_near |= {"off_policy_offers": 5.0, "off_policy_against": 0.0}
    assert is_cold_start(nobody_near)
    assert failed(nobody_near, champion=0) == []
    assert failed(nobody_near | {"off_policy_against": 3.0})


def test_inconclusive_evidence_is_no_way_round_a_champion():
    for inconclusive in ({"off_policy_uplift_low": -0.1}, {"off_policy_effective_sample": 20.0}):
        assert not is_cold_start(GOOD | inconclusive)
        assert failed(GOOD | inconclusive)


def test_a_gate_reads_as_a_sentence():
    gate = next(gate for gate in promotion_gates(GOOD | {"ece_low": 0.0712}, CHAMPION) if not gate.passed)
    assert str(gate) == "calibration error, 95 % lower bound: 0.0712, demanded ≤ 0.05"


UP_AGAINST_COLD = GOOD | {"off_policy_against_cold": 1.0}


@pytest.mark.parametrize("inconclusive", [{"off_policy_uplift_low": -0.1}, {"off_policy_effective_sample": 20.0}])
def test_a_champion_without_evidence_need_not_be_beaten_by_evidence(inconclusive):
    assert is_cold_start(UP_AGAINST_COLD | inconclusive)
    assert failed(UP_AGAINST_COLD | inconclusive) == []
    assert failed(UP_AGAINST_COLD | inconclusive, champion=2) == ["version that it was compared with"]


def test_what_is_surely_worse_than_a_champion_without_evidence_is_blocked():
    worse = UP_AGAINST_COLD | {"off_policy_uplift_low": -0.3, "off_policy_uplift_high": -0.1}
    assert failed(worse) == ["off-policy uplift, 95 % upper bound"]


def test_evidence_ends_the_cold_start_of_its_champion_too():
    assert not is_cold_start(UP_AGAINST_COLD)
    assert failed(UP_AGAINST_COLD) == []


def test_only_what_a_cold_start_has_tried_itself_widens_it():
    tried = {"tried_lowest": 0.9, "tried_highest": 1.1}
    assert range_to_widen(UP_AGAINST_COLD | tried) == (0.9, 1.1)
    assert range_to_widen(UP_AGAINST_COLD) == (1.0, 1.0)
    assert range_to_widen(GOOD | tried) == (1.0, 1.0)
    assert range_to_widen(UP_AGAINST_COLD | tried | {"off_policy_offers": 0.0}) == (1.0, 1.0)
