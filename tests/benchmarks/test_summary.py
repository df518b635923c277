import pytest

from tests.benchmarks.methods import OURS
from tests.benchmarks.summary import aims, summarise, twin_ratios


def record(method: str, value: float, seed: int = 0, **changes: object) -> dict[str, object]:
    measures = {name: [value, value - 0.01, value + 0.02] for name in ("regret", "wmape", "ece")}
    measures["sign_accuracy"] = [1.0, 1.0, 1.0]
    cell = {"experiment": "main", "setting": "", "domain": "finance", "seed": seed, "method": method}
    return cell | {"status": "ok", "measures": measures, "fit_seconds": 1.0, "price_seconds": 1.0} | changes


def of(summary, **wanted: object):
    for name, value in wanted.items():
        summary = summary[summary[name] == value]
    (row,) = summary.to_dict("records")
    return row


def test_several_seeds_have_a_t_interval():
    summary = summarise([record(OURS, value, seed) for seed, value in enumerate((0.04, 0.05, 0.06))])
    row = of(summary, measure="regret")
    assert (row["mean"], row["seeds"]) == (pytest.approx(0.05), 3)
    assert row["high"] - row["mean"] == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)


def test_a_single_seed_keeps_its_bootstrap_interval():
    row = of(summarise([record(OURS, 0.05)]), measure="regret")
    assert (row["low"], row["high"]) == (pytest.approx(0.04), pytest.approx(0.07))


def test_failed_cells_are_not_averaged():
    failed = record(OURS, 0.9, seed=1, status="failed", measures={}, error="no")
    assert of(summarise([record(OURS, 0.05), failed]), measure="regret")["mean"] == pytest.approx(0.05)


def test_the_twin_ratio_compares_both_logs():
    records = [record(OURS, 0.06), record(OURS, 0.05, experiment="unconfounded")]
    assert twin_ratios(summarise(records))["ratio"].tolist() == [pytest.approx(1.2)]


def test_aims_say_what_is_missed():
    found = aims(summarise([record(OURS, 0.055), record("logit", 0.2)])).set_index("aim")["met"]
    assert found.to_dict() == {
        "regret below the best of 1 others": True,
        "regret": False,
        "counterfactual WMAPE": True,
        "ECE": False,
        "wrong signs": True,
    }


def test_an_aim_that_nobody_can_reach_says_so():
    measures = {name: [0.2, 0.1, 0.3] for name in ("regret", "wmape", "ece", "sign_accuracy")}
    found = aims(summarise([record(OURS, 0.2, measures=measures | {"least_wmape": [0.112, 0.11, 0.114]})]))
    assert "counterfactual WMAPE, where nobody can go below 0.112" in set(found["aim"])


def test_no_records_give_an_empty_summary():
    summary = summarise([])
    assert summary.empty
    assert twin_ratios(summary).empty
    assert aims(summary).empty
