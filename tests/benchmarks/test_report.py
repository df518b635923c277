from pathlib import Path

import pandas as pd

from tests.benchmarks.experiments import Size
from tests.benchmarks.methods import OURS
from tests.benchmarks.plots import write_plots
from tests.benchmarks.report import write_report

SIZE = Size(10, 4, 100)


def record(method: str, experiment: str = "main", setting: str = "") -> dict[str, object]:
    measures = {
        "regret": [0.05, 0.04, 0.06],
        "wmape": [0.1, 0.09, 0.11],
        "product_wmape": [0.02, float("nan"), float("nan")],
        "sign_accuracy": [1.0, 1.0, 1.0],
        "ece": [0.01, 0.01, 0.02],
        "log_loss": [0.5, 0.49, 0.51],
    }
    line = [[0.5, 1.0], [0.5, 1.0]]
    return {
        "experiment": experiment,
        "setting": setting,
        "domain": "hotel",
        "seed": 0,
        "method": method,
        "status": "ok",
        "measures": measures,
        "fit_seconds": 1.0,
        "price_seconds": 0.1,
        "examples": {"price_ratio": line, "true": line, "predicted": line},
        "calibration": {"predicted": [0.1, 0.5], "observed": [0.2, 0.4]},
    }


def records() -> list[dict[str, object]]:
    failed = {"status": "failed", "error": "ValueError: a | b", "measures": {}}
    return [
        record(OURS),
        record("logit"),
        record("ortho_iv") | failed,
        record(OURS, "unconfounded"),
        record(OURS, "ablation", "no text"),
        record(OURS, "randomised_share", "0.02"),
        record(OURS, "training_size", "0.5"),
        record(OURS, "new_products"),
        record(OURS, "new_products", "no text"),
        record("best_uniform", "large_catalogue"),
    ]


def test_the_report_holds_every_part_and_names_what_failed(tmp_path: Path):
    write_report(records(), SIZE, tmp_path)
    text = (tmp_path / "benchmark.md").read_text()
    assert "| **demand model (ours)** | 5.0 [4.0, 6.0] |" in text
    assert "| OrthoIV (EconML) | failed |" in text
    assert "a \\| b" in text
    assert "| **demand model (ours)**, no text | 5.0 [4.0, 6.0] |" in text
    for heading in (
        "Aims",
        "hotel (1 seed)",
        "unconfounded twin",
        "Ablation",
        "by randomised share",
        "of the offers",
        "never offered",
    ):
        assert heading in text
    table = pd.read_csv(tmp_path / "benchmark.csv")
    assert set(table["experiment"]) == {record["experiment"] for record in records()}


def test_a_report_of_nothing_is_written_too(tmp_path: Path):
    assert write_report([], SIZE, tmp_path).empty
    write_plots([], SIZE, tmp_path)
    assert not list(tmp_path.glob("*.png"))


def test_there_is_a_figure_for_every_experiment(tmp_path: Path):
    write_plots(records(), SIZE, tmp_path)
    names = {"regret", "price_response", "calibration", "randomised_share", "training_size"}
    assert {file.stem for file in tmp_path.glob("*.png")} == names
