"""The benchmark's report as one MLflow run."""

import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from tests.benchmarks.experiments import Size
from tests.benchmarks.methods import OURS

EXPERIMENT = "benchmark"


def log_report(summary: pd.DataFrame, size: Size, results: Path, report: Path) -> str:
    """Log size, our main figures and the report's files; return where the run can be read.

    The run goes to MLFLOW_TRACKING_URI, or else to a SQLite store inside the results folder.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    own_store = "MLFLOW_TRACKING_URI" not in os.environ
    if own_store:
        mlflow.set_tracking_uri(f"sqlite:///{(results / 'mlflow.db').resolve()}")
    if mlflow.get_experiment_by_name(EXPERIMENT) is None:
        artifacts = (results / "mlartifacts").resolve().as_uri() if own_store else None
        mlflow.create_experiment(EXPERIMENT, artifact_location=artifacts)
    mlflow.set_experiment(EXPERIMENT)
    ours = summary[(summary["experiment"] == "main") & (summary["method"] == OURS)]
    with mlflow.start_run() as run:
        mlflow.log_params(asdict(size))
        mlflow.log_metrics({f"{row['domain']}_{row['measure']}": row["mean"] for row in ours.to_dict("records")})
        mlflow.log_artifacts(str(report))
    return f"{mlflow.get_tracking_uri()}, experiment {EXPERIMENT}, run {run.info.run_id}"
