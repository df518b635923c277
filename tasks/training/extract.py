"""Extract: the logged offers of a snapshot with point-in-time features, as Parquet files, by blocks of users."""

import logging
import os
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import pandas as pd
import pyarrow.parquet
from prefect import task

import sql
from models.errors import PricingError
from models.features.decisions import Decisions
from tasks.data.snapshots import Snapshot, require_unchanged
from tasks.database import database_url, read_rows, transaction
from tasks.retention import drop_unused
from tasks.retries import RETRIED
from tasks.settings import Settings
from tasks.training.features import Extract, read_extract
from tasks.whole_files import write_parquet

log = logging.getLogger("pricing.extract")

USERS_PER_BLOCK = 4_000


class NoOffersError(PricingError):
    """A dataset without logged offers teaches no price response."""


@dataclass(frozen=True)
class FeatureSet:
    """Where the features of a snapshot's offers lie."""

    snapshot: Snapshot
    folder: Path

    def read(self) -> Decisions:
        """The offers with their features, and the events of their users; marks them as used."""
        os.utime(self.folder)
        return Decisions(
            pd.read_parquet(self.folder / "decisions.parquet"), pd.read_parquet(self.folder / "events.parquet")
        )


@dataclass(frozen=True)
class OfferBlock:
    """The offers to the users from `first_user` to before `next_user`, or to the last one."""

    number: int
    first_user: str
    next_user: str | None

    def files(self, snapshot: Snapshot) -> list[Path]:
        """Where its features and its users' histories lie until all blocks are joined."""
        return [_unfinished(snapshot) / f"{self.number:06d}.{name}.parquet" for name in Extract._fields]


@task(**RETRIED)
def cut_offers(snapshot: Snapshot) -> list[OfferBlock]:
    """Cut a snapshot's offers into blocks of users; none where its features are already there.

    Raises:
        NoOffersError: the snapshot has no offers.
    """
    if _finished(snapshot).exists():
        return []
    parameters = {"dataset": snapshot.dataset, "users": USERS_PER_BLOCK}
    with transaction(database_url(Settings())) as connection:
        require_unchanged(connection, snapshot)
        firsts = [row["user_id"] for row in read_rows(connection, sql.query("blocks_of_offers"), parameters)]
    if not firsts:
        raise NoOffersError(f"dataset {snapshot.dataset} has no offers; the demand model learns from table `offers`")
    return [OfferBlock(number, *users) for number, users in enumerate(pairwise([*firsts, None]))]


@task(**RETRIED)
def extract_block(block: OfferBlock, snapshot: Snapshot) -> OfferBlock:
    """Extract the features of one block; a block that a run which failed has extracted is not read again.

    Raises:
        DataChangedError: the dataset is not this snapshot any more.
    """
    files = block.files(snapshot)
    if all(file.exists() for file in files):
        return block
    users = {"dataset": snapshot.dataset, "first_user": block.first_user, "next_user": block.next_user}
    with transaction(database_url(Settings())) as connection:
        connection.set_session(isolation_level="REPEATABLE READ")
        require_unchanged(connection, snapshot)
        with connection.cursor() as cursor:
            cursor.execute(sql.query("decisions_from_offers"), users)
        for table, file in zip(read_extract(connection, snapshot.dataset), files, strict=True):
            write_parquet(table, file)
    log.info("features of block %d are extracted", block.number)
    return block


@task
def extract(snapshot: Snapshot, blocks: list[OfferBlock]) -> FeatureSet:
    """Join the blocks' features; a snapshot that was extracted before is not read again.

    What other snapshots and runs that were given up have left goes, where nobody has used it for some days.
    """
    features = FeatureSet(snapshot, _finished(snapshot))
    if features.folder.exists():
        log.info("features of snapshot %s are already there", snapshot.snapshot_id)
        return features
    started = perf_counter()
    parts = (Extract(*map(pyarrow.parquet.read_table, block.files(snapshot))) for block in blocks)
    decisions = Extract.joined(parts).decisions()
    _write(decisions, features.folder)
    shutil.rmtree(_unfinished(snapshot))
    drop_unused(Settings().home)
    log.info(
        "%s offers with features, %s events of history, joined in %.1f s",
        f"{len(decisions):,}", f"{len(decisions.events):,}", perf_counter() - started,
    )  # fmt: skip
    return features


def features_of(snapshot: Snapshot) -> FeatureSet:
    """The features of a snapshot's offers, extracted here and now where no flow has done so."""
    return extract.fn(snapshot, [extract_block.fn(block, snapshot) for block in cut_offers.fn(snapshot)])


def _finished(snapshot: Snapshot) -> Path:
    return Settings().home / "features" / snapshot.snapshot_id


def _unfinished(snapshot: Snapshot) -> Path:
    return Settings().home / "features" / f"{snapshot.snapshot_id}.blocks"


def _write(decisions: Decisions, folder: Path) -> None:
    """Write under another name first, so that a folder of the final name is always whole."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    decisions.frame.to_parquet(unfinished / "decisions.parquet")
    decisions.events.to_parquet(unfinished / "events.parquet")
    unfinished.rename(folder)
