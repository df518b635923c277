"""Extract: the logged offers of a snapshot with point-in-time features, as Parquet files."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pandas as pd
from prefect import task

import sql
from models.errors import PricingError
from models.features.decisions import Decisions
from tasks.data.snapshots import Snapshot
from tasks.database import database_url, transaction
from tasks.settings import Settings
from tasks.training.features import read_decisions

log = logging.getLogger("pricing.extract")


class NoOffersError(PricingError):
    """A dataset without logged offers teaches no price response."""


@dataclass(frozen=True)
class FeatureSet:
    """Where the features of a snapshot's offers lie."""

    snapshot: Snapshot
    folder: Path

    def read(self) -> Decisions:
        """The offers with their features, and the events of their users."""
        return Decisions(
            pd.read_parquet(self.folder / "decisions.parquet"), pd.read_parquet(self.folder / "events.parquet")
        )


@task
def extract(snapshot: Snapshot) -> FeatureSet:
    """Extract the features of every logged offer.

    Raises:
        NoOffersError: the snapshot has no offers.
    """
    return features_of(snapshot)


def features_of(snapshot: Snapshot) -> FeatureSet:
    """The features of every logged offer; a snapshot that was extracted before is not read again."""
    settings = Settings()
    features = FeatureSet(snapshot, settings.home / "features" / snapshot.snapshot_id)
    if features.folder.exists():
        log.info("features of snapshot %s are already there", snapshot.snapshot_id)
        return features
    started = perf_counter()
    with transaction(database_url(settings)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql.query("decisions_from_offers"), {"dataset": snapshot.dataset})
        decisions = read_decisions(connection, snapshot.dataset)
    if not len(decisions):
        raise NoOffersError(f"dataset {snapshot.dataset} has no offers; the demand model learns from table `offers`")
    _write(decisions, features.folder)
    log.info(
        "%s offers with features, %s events of history, in %.1f s",
        f"{len(decisions):,}", f"{len(decisions.events):,}", perf_counter() - started,
    )  # fmt: skip
    return features


def _write(decisions: Decisions, folder: Path) -> None:
    """Write under another name first, so that a folder of the final name is always whole."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    decisions.frame.to_parquet(unfinished / "decisions.parquet")
    decisions.events.to_parquet(unfinished / "events.parquet")
    unfinished.rename(folder)
