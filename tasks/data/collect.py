"""Collect: a source's tables into waiting tables of the database, in blocks, all of a load or nothing."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter

import pandas as pd
import psycopg2.extras
from prefect import task
from psycopg2.extensions import connection as Connection

import sql
from tasks.data.conformity import conform
from tasks.data.contract import TABLES, ContractError, Table
from tasks.data.pseudonyms import begin_pseudonyms, stored_user_ids
from tasks.data.waiting import Waiting
from tasks.database import database_url, read_rows, transaction
from tasks.retries import RETRIED
from tasks.settings import Settings
from tasks.sources import Source, SourceParameters, open_source
from tasks.sources.recorded import Recorded

OVERLAP = timedelta(days=1)  # how late a row may arrive and still be read: sources that can, start that much earlier

log = logging.getLogger("pricing.collect")


@dataclass(frozen=True)
class Period:
    """The times from ``since`` to before ``until``; ``number`` counts the periods of a backfill from 0."""

    since: datetime
    until: datetime
    number: int = 0

    def covers(self, times: pd.Series) -> "pd.Series[bool]":
        """Which times lie in it (rows,)."""
        return (times >= self.since) & (times < self.until)


@dataclass(frozen=True)
class Load:
    """One collection of a dataset; ``unchanged`` where the source still is what the last merged load read."""

    load_id: int
    dataset: str
    currency: str
    row_counts: dict[str, int]
    unchanged: bool = False


@task(**RETRIED)
def collect(parameters: SourceParameters) -> Load:
    """Copy a source's rows into the waiting tables of a new load; an unchanged source is not read.

    With them comes what the storefront recorded of the same dataset since it was last collected.
    Sources that can tell new rows by their time are read from a day before the newest row that they gave of
    each table; the other tables are read whole.

    Raises:
        SourceError: the source cannot be opened.
        PseudonymError: pseudonyms are asked for, and the database holds user ids as they came.
        ContractError: the source breaks the data contract. Nothing of the load stays.
    """
    return collect_from(*_opened(parameters))


@task(**RETRIED)
def collect_period(parameters: SourceParameters, period: Period) -> Load:
    """Copy a source's rows of one period into the waiting tables of a new load.

    Tables with a time (behaviour, market, offers) are restricted to the period, whatever the dataset has by now; the
    others are read whole with the first period of a backfill, and not again. What the storefront recorded waits for the
    next whole collection.

    Raises:
        SourceError: the source cannot be opened.
        ContractError: the source breaks the data contract. Nothing of the load stays.
    """
    source, url = _opened(parameters)
    with transaction(url) as connection:
        present = _present_tables(source)
        asked = {
            table.name: [source]
            for table in TABLES.values()
            if table.name in present and (table.time is not None or period.number == 0)
        }
        return _fill_load(connection, source, None, asked, period)


def _opened(parameters: SourceParameters) -> tuple[Source, str]:
    settings = Settings()
    url = database_url(settings)
    if settings.pseudonyms:
        begin_pseudonyms(url)
    return open_source(parameters, settings), url


def collect_from(source: Source, url: str) -> Load:
    """What the task does, for any source."""
    fingerprint = source.fingerprint()
    with transaction(url) as connection:
        recorded = Recorded(connection, source.name, source.currency)
        if (since := recorded.fingerprint()) is not None and fingerprint is not None:
            fingerprint = f"{fingerprint} {since}"
        known = _unchanged(connection, source, fingerprint)
        if known is not None:
            log.info("%s is unchanged since load %d", source.name, known.load_id)
            return known
        places = (source, _present_tables(source)), (recorded, recorded.tables())
        asked = {name: [place for place, tables in places if name in tables] for name in TABLES}
        return _fill_load(connection, source, fingerprint, asked)


def _fill_load(
    connection: Connection,
    source: Source,
    fingerprint: str | None,
    asked: dict[str, list[Source]],
    period: Period | None = None,
) -> Load:
    """Open a load and copy into it what is asked for each table by name, and of whom; other tables stay empty."""
    load_id = _open_load(connection, source, fingerprint)
    row_counts = {
        name: _collect_table(connection, asked.get(name, []), Waiting(table, load_id), period)
        for name, table in TABLES.items()
    }
    with connection.cursor() as cursor:
        statement = "UPDATE data.loads SET row_counts = %s WHERE load_id = %s"
        cursor.execute(statement, [psycopg2.extras.Json(row_counts), load_id])
    return Load(load_id, source.name, source.currency, row_counts)


def _unchanged(connection: Connection, source: Source, fingerprint: str | None) -> Load | None:
    with connection.cursor() as cursor:
        cursor.execute(sql.query("loads_last_merged"), {"dataset": source.name})
        last = cursor.fetchone()
    if last is None or fingerprint is None:
        return None
    load_id, last_fingerprint, currency, row_counts = last
    if (last_fingerprint, currency) != (fingerprint, source.currency):
        return None
    return Load(load_id, source.name, currency, row_counts, unchanged=True)


def _present_tables(source: Source) -> frozenset[str]:
    present = source.tables()
    for table in TABLES.values():
        if table.name not in present and not table.optional:
            found = ", ".join(sorted(present)) or "none"
            raise ContractError(
                source.origin(table.name), f"the required table {table.name} is missing; found: {found}"
            )
    return present


def _open_load(connection: Connection, source: Source, fingerprint: str | None) -> int:
    statement = (
        "INSERT INTO data.loads (dataset, currency, fingerprint, state, row_counts)"
        " VALUES (%s, %s, %s, 'collected', '{}') RETURNING load_id"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [source.name, source.currency, fingerprint])
        (load_id,) = cursor.fetchone() or (0,)
    return int(load_id)


def _collect_table(connection: Connection, sources: list[Source], waiting: Waiting, period: Period | None) -> int:
    waiting.create(connection)
    started, table, rows = perf_counter(), waiting.table, 0
    for source in sources:
        rows += _collect_rows(connection, source, waiting, period)
    for recorded in (source for source in sources if isinstance(source, Recorded)):
        waiting.prefer(connection, recorded.origin(table.name))  # a shop's own tables may tell it once more
    if sources:
        waiting.refuse_duplicates(connection)
        log.info("%s: %s rows in %.1f s", table.name, f"{rows:,}", perf_counter() - started)
    return rows


def _collect_rows(connection: Connection, source: Source, waiting: Waiting, period: Period | None) -> int:
    table, origin = waiting.table, source.origin(waiting.table.name)
    if period is None:
        frames = source.batches(table.name, _watermark(connection, source.name, table))
    else:
        frames = source.batches(table.name, period.since, period.until)
    row, kept = 1, 0
    for frame in frames:
        rows = _conforming(source, frame, table, row)
        rows = rows.assign(origin=origin, row_number=range(row, row + len(rows)))
        if "user_id" in rows and not isinstance(source, Recorded):  # what was recorded has its stored ids already
            rows["user_id"] = stored_user_ids(connection, rows["user_id"])
        if period is not None and table.time is not None:
            rows = rows[period.covers(rows[table.time])]
        waiting.append(connection, rows)
        row, kept = row + len(frame), kept + len(rows)
    return kept


def _conforming(source: Source, frame: pd.DataFrame, table: Table, first_row: int) -> pd.DataFrame:
    """The rows in the platform's types; recorded ones that do not fit stay behind: nobody can repair them."""
    try:
        return conform(frame, table, source.origin(table.name), first_row)
    except ContractError as error:
        if not (isinstance(source, Recorded) and error.rows):
            raise
        log.warning("%s; what was recorded so is left out and stays in %s", error, error.origin)
        fitting = frame.drop(frame.index[[row - first_row for row in error.rows]])
        return _conforming(source, fitting, table, first_row)


def _watermark(connection: Connection, dataset: str, table: Table) -> datetime | None:
    if table.time is None:
        return None
    (found,) = read_rows(connection, sql.query(f"newest_{table.name}"), {"dataset": dataset})
    return None if found["newest"] is None else found["newest"] - OVERLAP
