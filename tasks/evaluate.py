"""Evaluate: measure a fitted model on the held-out weeks, beside its baselines and the champion."""

import logging
from dataclasses import replace
from time import perf_counter

from prefect import task

from models.decisions import Decisions
from models.evaluation import DEMAND_MODEL, Evaluation, evaluate_demand
from models.fitted import FittedDemand
from tasks.content import read_content
from tasks.database import database_url, transaction
from tasks.fit import TrainedDemand
from tasks.registry import CHAMPION, VersionNotFoundError, version_of
from tasks.settings import Settings

log = logging.getLogger("pricing.evaluate")


@task
def evaluate(trained: TrainedDemand, dataset: str) -> Evaluation:
    """Metrics with intervals on the held-out part, for the model, its baselines and the dataset's champion."""
    started = perf_counter()
    champion = _champion(dataset)
    test = _read_by(champion, trained.split.test, dataset) if champion else None
    evaluation = evaluate_demand(trained.fitted, trained.split, champion, test)
    losses = evaluation.comparison.query("metric == 'log_loss'").set_index("model")["value"]
    others = ", ".join(f"{loss:.5f} {model}" for model, loss in losses.drop(DEMAND_MODEL).items())
    log.info("held-out log loss %.5f; against %s; in %.0f s", losses[DEMAND_MODEL], others, perf_counter() - started)
    return evaluation


def _read_by(champion: FittedDemand, test: Decisions, dataset: str) -> Decisions:
    """The test part with what its products' texts and images say to the champion's encoders."""
    with transaction(database_url(Settings())) as connection:
        content = read_content(connection, dataset, test.frame["product_id"].unique(), champion.encoders)
    return replace(test, content=content)


def _champion(dataset: str) -> FittedDemand | None:
    """The champion, where there is one and it was trained on the same dataset."""
    try:
        champion = version_of(CHAMPION)
    except VersionNotFoundError:
        return None
    return champion.demand() if champion.dataset == dataset else None
