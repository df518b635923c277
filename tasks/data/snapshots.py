"""Data snapshots: the content of a dataset at one moment, named by a hash of its rows."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import psycopg2.extras
from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection

import sql
from models.errors import PricingError
from tasks.data.contract import TABLES, Table
from tasks.database import transaction


class SnapshotNotFoundError(PricingError):
    """A dataset has no snapshot: nothing of it has been collected and validated."""


class DataChangedError(PricingError):
    """A dataset is not any more what a run began with."""


@dataclass(frozen=True)
class Snapshot:
    """A dataset's content.

    ``as_of`` is the newest time in it, ``quarantined`` counts the rows kept out, by table.

    ``validation`` has under ``tables`` for each table its collected rows, those that failed, the limit, and
    each rule's count; under ``data_docs`` the page of Great Expectations.
    """

    snapshot_id: str
    dataset: str
    currency: str
    row_counts: dict[str, int]
    as_of: datetime
    quarantined: dict[str, int] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row that has the columns of data.snapshots among others, but for what was kept out and examined."""
        return cls(**{name: row[name] for name in ("snapshot_id", "dataset", "currency", "row_counts", "as_of")})


def take_snapshot(
    connection: Connection, dataset: str, currency: str, validation: dict[str, Any], otherwise_as_of: datetime
) -> Snapshot:
    """Hash a dataset's rows and store what they are; equal rows give the same id however they came there.

    ``otherwise_as_of`` stands for the newest time where no row has any.
    """
    digest = hashlib.sha256(f"{dataset}\n{currency}\n".encode())
    row_counts = {}
    for table in TABLES.values():
        row_counts[table.name], content = _content(connection, dataset, table)
        digest.update(f"{table.name} {row_counts[table.name]} {content}\n".encode())
    with connection.cursor() as cursor:
        cursor.execute(sql.query("snapshot_newest"), {"dataset": dataset})
        (newest,) = cursor.fetchone() or (None,)
    snapshot = Snapshot(
        snapshot_id=digest.hexdigest(),
        dataset=dataset,
        currency=currency,
        row_counts=row_counts,
        as_of=(newest or otherwise_as_of).astimezone(UTC),
        quarantined=quarantined_counts(connection, dataset),
        validation=validation,
    )
    _store(connection, snapshot)
    return snapshot


def latest_snapshot(url: str, dataset: str) -> Snapshot:
    """The snapshot that a dataset's newest merged load led to.

    Raises:
        SnapshotNotFoundError: there is none.
    """
    with transaction(url) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql.query("snapshot_latest"), {"dataset": dataset})
            found = cursor.fetchone()
        if found is None:
            raise SnapshotNotFoundError(f"dataset {dataset} has no snapshot; collect it with `pricing run`")
        snapshot_id, currency, row_counts, as_of, validation = found
        quarantined = quarantined_counts(connection, dataset)
    return Snapshot(snapshot_id, dataset, currency, row_counts, as_of.astimezone(UTC), quarantined, validation)


def require_unchanged(connection: Connection, snapshot: Snapshot) -> None:
    """Raise DataChangedError where a newer load has been merged into a snapshot's dataset, as a transaction sees it."""
    with connection.cursor() as cursor:
        cursor.execute(sql.query("snapshot_latest"), {"dataset": snapshot.dataset})
        latest = cursor.fetchone()
    if latest is not None and latest[0] != snapshot.snapshot_id:
        raise DataChangedError(
            f"{snapshot.dataset} is now snapshot {latest[0][:12]}, and this run began with "
            f"{snapshot.snapshot_id[:12]}: newer data were merged meanwhile; start it again"
        )


def quarantined_counts(connection: Connection, dataset: str) -> dict[str, int]:
    """How many rows of a dataset are in quarantine, by table."""
    statement = "SELECT table_name, count(*) FROM pricing.quarantine WHERE dataset = %(dataset)s GROUP BY table_name"
    with connection.cursor() as cursor:
        cursor.execute(statement, {"dataset": dataset})
        return dict(cursor.fetchall())


def _content(connection: Connection, dataset: str, table: Table) -> tuple[int, str]:
    images = {column.name for column in table.columns if column.kind == "image"}
    values = [
        names.SQL("md5({})" if name in images else "{}").format(names.Identifier(name)) for name in table.stored_columns
    ]
    statement = names.SQL(sql.query("snapshot_content")).format(
        values=names.SQL(", ").join(values), table=names.Identifier("data", table.name)
    )
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL extra_float_digits = 1")
        cursor.execute(statement, {"dataset": dataset})
        count, content = cursor.fetchone() or (0, "")
    return count, content


def _store(connection: Connection, snapshot: Snapshot) -> None:
    parameters = {
        "snapshot_id": snapshot.snapshot_id,
        "dataset": snapshot.dataset,
        "currency": snapshot.currency,
        "row_counts": psycopg2.extras.Json(snapshot.row_counts),
        "as_of": snapshot.as_of,
        "validation": psycopg2.extras.Json(snapshot.validation),
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.query("snapshot_store"), parameters)
