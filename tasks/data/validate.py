"""Validate: the gate between what was collected and what the platform believes."""

import logging
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2.extras
from prefect import task
from psycopg2.extensions import connection as Connection

import sql
from models.errors import PricingError
from tasks.data.batch import Batch
from tasks.data.collect import Load
from tasks.data.snapshots import Snapshot, take_snapshot
from tasks.data.suites import Suites
from tasks.database import database_url, transaction
from tasks.markdown import markdown_table, show_page
from tasks.settings import Settings

__all__ = ["BatchRefusedError", "LoadError", "Snapshot", "validate", "validate_load"]

FUTURE = timedelta(days=1)  # how far ahead of ours a source's clock may be

log = logging.getLogger("pricing.validate")


class LoadError(PricingError):
    """A load cannot be validated, because it already was."""


class BatchRefusedError(PricingError):
    """So many rows of a table break a rule that nothing of the load is merged."""


@task
def validate(load: Load) -> Snapshot:
    """Merge the rows of a load that keep every rule, quarantine the others, and name the dataset's content.

    Rows released from quarantine are validated with it. A collected row is merged or quarantined, never lost.

    Raises:
        BatchRefusedError: the failing share of a table is above its suite's limit; nothing is merged.
        LoadError: the load was validated before.
    """
    settings = Settings()
    try:
        snapshot = validate_load(load, database_url(settings), settings.data_docs)
    except BatchRefusedError as refused:
        _show(f"# {load.dataset} was refused\n\nNothing of load {load.load_id} was merged: {refused}", load)
        raise
    _show(report_page(snapshot), load)
    return snapshot


def _show(page: str, load: Load) -> None:
    show_page(page, "validation", f"Validation of {load.dataset}")


def validate_load(load: Load, url: str, docs_folder: Path) -> Snapshot:
    """What the task does, with the database and the folder of the Data Docs given."""
    refusal = None
    with transaction(url) as connection:
        earlier = _claim(connection, load)
        if load.unchanged and not _any_released(connection, load.dataset):
            snapshot = take_snapshot(connection, load.dataset, load.currency, earlier, datetime.now(UTC))
            # The source has not changed, but the tables may have: somebody was forgotten since.
            _close(connection, load, "merged", {**earlier, "snapshot_id": snapshot.snapshot_id})
            return snapshot
        suites = Suites(latest=datetime.now(UTC) + FUTURE)
        batch = Batch(connection, load)
        reports = batch.examine(suites)
        refusal = batch.refusal(reports)
        docs = suites.write_docs(docs_folder, f"load {load.load_id}")
        found: dict[str, Any] = {
            "tables": {name: asdict(report) for name, report in reports.items()},
            "data_docs": str(docs),
        }
        if refusal is not None:
            _close(connection, load, "refused", found | {"refusal": refusal})
        else:
            batch.merge()
            snapshot = take_snapshot(connection, load.dataset, load.currency, found, datetime.now(UTC))
            _close(connection, load, "merged", {**earlier, **found, "snapshot_id": snapshot.snapshot_id})
    if refusal is not None:
        raise BatchRefusedError(refusal)
    log.info(
        "snapshot %s of %s: %s rows, %s in quarantine", snapshot.snapshot_id[:12], load.dataset,
        f"{sum(snapshot.row_counts.values()):,}", f"{sum(snapshot.quarantined.values()):,}",
    )  # fmt: skip
    return snapshot


def _claim(connection: Connection, load: Load) -> dict[str, Any]:
    """Wait for other validations of the dataset; returns what an earlier validation of the load found."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [load.dataset])
        cursor.execute("SELECT state, validation FROM data.loads WHERE load_id = %s FOR UPDATE", [load.load_id])
        state, validation = cursor.fetchone() or ("unknown", None)
        cursor.execute(sql.query("loads_last_merged"), {"dataset": load.dataset})
        newest_merged = (cursor.fetchone() or (0,))[0]
    if state == "collected" and newest_merged > load.load_id:
        state = f"superseded by load {newest_merged}"
    if state != ("merged" if load.unchanged else "collected"):
        raise LoadError(f"load {load.load_id} of {load.dataset} is {state}, not waiting for validation; collect again")
    return validation or {}


def _any_released(connection: Connection, dataset: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pricing.quarantine WHERE dataset = %s AND released)", [dataset])
        (released,) = cursor.fetchone() or (False,)
    return bool(released)


def _close(connection: Connection, load: Load, state: str, validation: dict[str, Any]) -> None:
    statement = "UPDATE data.loads SET state = %s, validation = %s WHERE load_id = %s"
    with connection.cursor() as cursor:
        cursor.execute(statement, [state, psycopg2.extras.Json(validation), load.load_id])


def report_page(snapshot: Snapshot) -> str:
    """The validation as a page for people: what was checked, what failed, and where to read more."""
    tables = snapshot.validation.get("tables", {})
    columns = ["table", "limit", "rows checked", "failing", "rows now", "in quarantine"]
    lines = [
        f"# {snapshot.dataset}",
        f"Snapshot `{snapshot.snapshot_id}`, money in {snapshot.currency}.",
        f"The newest fact is of {snapshot.as_of:%Y-%m-%d %H:%M} UTC. Rule by rule: {_data_docs(snapshot)}.",
        "",
        markdown_table(columns, [_checked(snapshot, name) for name in tables], right=columns[1:]),
        "",
        "## Rules",
        "",
        markdown_table(
            ["table", "rule", "rows that break it"],
            [[name, rule, f"{n:,}"] for name, table in tables.items() for rule, n in table["rules"].items()],
            right=["rows that break it"],
        ),
    ]
    return "\n".join(lines)


def _data_docs(snapshot: Snapshot) -> str:
    """A Markdown link to them on a server, since browsers follow none from a server's page to a file."""
    if "data_docs" not in snapshot.validation:
        return "none"
    settings = Settings()
    address = settings.data_docs_url or f"http://127.0.0.1:{settings.data_docs_port}"
    return f"[Data Docs]({address}/index.html)"


def _checked(snapshot: Snapshot, name: str) -> list[str]:
    table = snapshot.validation["tables"][name]
    counts = (table["rows"], table["failing"], snapshot.row_counts[name], snapshot.quarantined.get(name, 0))
    return [name, f"{table['limit']:.0%}", *(f"{count:,}" for count in counts)]
