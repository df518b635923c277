"""Finished fits as files, so that a run which failed afterwards does not train again."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from models.demand.first_stage import FirstStageReport
from models.demand.fitted import FitReport, FittedDemand
from models.demand.training import TrainingReport
from tasks.registry.model_store import load_demand, save_demand


def keep_fit(fitted: FittedDemand, report: FitReport, folder: Path) -> None:
    """Write a fit into a folder; its report comes last, so that a folder with a report is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    save_demand(fitted, folder)
    unfinished = folder / "report.unfinished"
    unfinished.write_text(json.dumps(asdict(report)), encoding="utf-8")
    unfinished.replace(folder / "report.json")


def kept_fit(folder: Path) -> tuple[FittedDemand, FitReport] | None:
    """The fit that `keep_fit` wrote, on the CPU; None where there is none."""
    if not (folder / "report.json").exists():
        return None
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    stages = FirstStageReport(**report["first_stage"]), TrainingReport(**report["training"])
    return load_demand(folder), FitReport(*stages)


def drop_fit(folder: Path) -> None:
    """Remove a fit, and the checkpoints beside it: it is registered by now."""
    shutil.rmtree(folder, ignore_errors=True)
