"""Fit: the demand model of a snapshot, on the machine's best device."""

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Self

import torch
from prefect import task
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.demand.fine_tuning import FineTuning
from models.demand.fitted import FitReport, FittedDemand, fit_demand
from models.demand.network import DemandConfig
from models.demand.training import SMALL_LOG_TRAINING, TrainingConfig
from models.features.content import Encoders
from models.features.decisions import Split, split_by_time
from models.form import as_form
from tasks.data.snapshots import Snapshot
from tasks.database import database_url, transaction
from tasks.progress import progress_bar
from tasks.settings import Settings
from tasks.training.checkpoints import member_checkpoints
from tasks.training.content import read_content, read_texts
from tasks.training.encoders import chosen_encoders
from tasks.training.extract import FeatureSet
from tasks.training.fine_tune import tuned_encoder
from tasks.training.fit_processes import fit_in_processes
from tasks.training.fits import keep_fit, kept_fit
from tasks.training.gpu import best_device, gpu_slot

log = logging.getLogger("pricing.fit")

MODEL_CODE = ("models.demand", "models.features")


class Recipe(BaseModel):
    """How a demand model is made from a snapshot's features."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=as_form)

    holdout_days: float = Field(
        28, gt=0, le=3660, title="Held-out days", description="The last days, kept for evaluation."
    )
    validation_days: float = Field(
        14,
        gt=0,
        le=3660,
        title="Validation days",
        description="The days before the held-out ones; they stop the training.",
    )
    text_encoder: str | None = Field(
        None,
        title="Text encoder",
        description="Reads titles and descriptions: a name of the Hugging Face hub, or a folder. Empty: the MiniLM that"
        " works offline and knows English. 'none': texts are not read.",
    )
    text_tuning: Literal["frozen", "lora", "whole"] = Field(
        "frozen",
        title="Text encoder's training",
        description="frozen: the text encoder stays as it is. lora, whole: it is first fine-tuned on the offers, by a"
        " low-rank addition to its weights or all of them, which takes long without a CUDA device.",
    )
    image_encoder: str | None = Field(
        None,
        title="Image encoder",
        description="Reads images: a vision network of the Hugging Face hub, or a folder. Empty: EfficientNet-Lite0,"
        " which works offline. 'none': images are not read.",
    )
    demand: DemandConfig = Field(
        DemandConfig(members=3),
        title="Demand model",
        description="Its members share the work of prediction: three forecast better than one and take three times"
        " as long.",
    )
    training: TrainingConfig = Field(
        replace(SMALL_LOG_TRAINING, epochs=4),
        title="Training",
        description="As suits some hundred thousand offers; for many millions, larger batches take less time.",
    )
    processes: int = Field(
        1,
        ge=1,
        le=1024,
        title="Training processes",
        description="How many processes share the training, on all machines; with CUDA each has a device of its own.",
    )

    @model_validator(mode="after")
    def _heads_share_the_dimension(self) -> Self:
        if self.demand.dimension % self.demand.heads:
            raise ValueError(
                f"heads must divide dimension: {self.demand.heads} does not divide {self.demand.dimension}"
            )
        return self

    def inputs_hash(self, snapshot: Snapshot) -> str:
        """Equal where training would give an equal model: same data, same recipe, same model code."""
        digest = hashlib.sha256(f"{snapshot.snapshot_id}{self.model_dump_json()}".encode())
        for package in MODEL_CODE:
            for source in sorted(files(package).iterdir(), key=lambda path: path.name):
                if source.name.endswith(".py"):
                    digest.update(source.read_bytes())
        return digest.hexdigest()[:32]

    def folder(self, snapshot: Snapshot) -> Path:
        """Where the fit of a snapshot lies until it is registered: first its checkpoints, then the whole."""
        return Settings().home / "fits" / self.inputs_hash(snapshot)


@dataclass(frozen=True)
class TrainedDemand:
    """A fitted model, the offers it was fit and is to be judged on, and how the fit went."""

    fitted: FittedDemand
    split: Split
    report: FitReport
    seconds: float

    def parameters(self, recipe: Recipe) -> dict[str, str | int | float]:
        """What the registry lists as the run's parameters."""
        parts = {f"{part}_offers": len(offers) for part, offers in self.split._asdict().items()}
        stage = self.report.first_stage
        identification = {
            "first_stage": stage.reason or f"partial R² {stage.partial_r2:.4f}, F {stage.f:.1f}",
            "recalibration": self.fitted.recalibration.method,
        }
        return parts | identification | _flat(json.loads(recipe.model_dump_json()))


@task
def fit(features: FeatureSet, recipe: Recipe) -> TrainedDemand:
    """Fit the demand model on the training part of a snapshot, stopping early on its validation part.

    A training that was killed goes on from its last finished epoch, and one that was finished is not repeated before it
    is registered. On a GPU trainings wait for each other.

    Raises:
        EmptySplitError: the offers are too few or too bunched in time to be split.
        TrainingError: the offers hold one outcome only, or the loss is not finite.
        ContentError: an encoder that the recipe names cannot be had.
    """
    started = perf_counter()
    device = best_device()
    folder = recipe.folder(features.snapshot)
    with gpu_slot(device):  # encoders that read or are tuned use it as well
        split = _split_with_content(features, recipe)
        log.info(
            "training on %s offers, stopping early on %s, holding out %s; on %s",
            *(f"{len(part):,}" for part in split), device.type,
        )  # fmt: skip
        if (kept := kept_fit(folder)) is not None:
            log.info("the fit is already there: a run before this one did not get to register it")
            fitted, report = kept
            return TrainedDemand(fitted, split, report, perf_counter() - started)
        fitted, report = _fitted(split, recipe, device, folder)
    keep_fit(fitted, report, folder)
    seconds = perf_counter() - started
    log.info("fitted in %.0f s; kept epoch %d", seconds, report.training.best_epoch)
    if report.first_stage.reason:
        log.info("no control function: %s", report.first_stage.reason)
    return TrainedDemand(fitted, split, report, seconds)


def _fitted(split: Split, recipe: Recipe, device: torch.device, folder: Path) -> tuple[FittedDemand, FitReport]:
    parts = split.train, split.validation, recipe.demand, recipe.training
    epochs = recipe.demand.members * recipe.training.epochs
    with progress_bar("training", "Epochs of the demand model", epochs) as step:

        def tell(*epoch_and_losses: Any) -> None:
            log.info("epoch %d: log loss %.5f in training, %.5f in validation", *epoch_and_losses)
            step()

        if recipe.processes > 1:
            return fit_in_processes(*parts, recipe.processes, folder, tell)
        return fit_demand(*parts, device, tell, member_checkpoints(folder))


def _split_with_content(features: FeatureSet, recipe: Recipe) -> Split:
    """The offers in three parts, with what their products' texts and images say to the recipe's encoders."""
    encoders = chosen_encoders(recipe.text_encoder, recipe.image_encoder)
    split = split_by_time(features.read(), recipe.holdout_days, recipe.validation_days)
    frozen = _reading(split, encoders, features)
    if recipe.text_tuning == "frozen" or frozen.train.content is None or not frozen.train.content.encoders.text:
        return frozen
    tuning = FineTuning(recipe.text_tuning, demand=recipe.demand, training=recipe.training, seed=recipe.training.seed)
    folder = Settings().home / "encoders" / recipe.inputs_hash(features.snapshot)
    with transaction(database_url(Settings())) as connection:
        texts = read_texts(connection, features.snapshot.dataset, frozen.train.content.product_ids)
    tuned = tuned_encoder(encoders.text, texts, frozen, tuning, folder)
    return _reading(split, replace(encoders, text=tuned), features)


def _reading(split: Split, encoders: Encoders, features: FeatureSet) -> Split:
    """The same parts with what all their products' texts and images say to these encoders."""
    products = {product for part in split for product in part.frame["product_id"].unique()}
    with transaction(database_url(Settings())) as connection:
        content = read_content(connection, features.snapshot.dataset, products, encoders)
    return Split(*(replace(part, content=content) for part in split))


def _flat(settings: dict[str, object], prefix: str = "") -> dict[str, str | int | float]:
    flat: dict[str, str | int | float] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, int | float) else str(value)
    return flat
