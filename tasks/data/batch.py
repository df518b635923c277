"""One load on its way into its dataset: each row merged or quarantined, or the load refused whole."""

import logging
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection

import sql
from models.errors import PricingError
from tasks.data.collect import Load
from tasks.data.contract import TABLES, shown_rows
from tasks.data.quarantine import keep_failing, known_ids, reference_rule, try_again
from tasks.data.suites import Suites
from tasks.data.waiting import Waiting, comma_separated
from tasks.sources.recorded import ORIGINS

log = logging.getLogger("pricing.validate")

RECORDED = {"recorded": list(ORIGINS.values())}


class LostRowsError(PricingError):
    """Merged and quarantined rows do not add up to the collected ones: a defect; nothing was kept."""


@dataclass(frozen=True)
class TableReport:
    """How one table of a load fared: ``failing`` counts rows of the source, ``rules`` all that break each rule."""

    rows: int
    failing: int
    limit: float
    rules: dict[str, int]


class Batch:
    """The rows of one load, with those released from quarantine, on their way into the dataset."""

    def __init__(self, connection: Connection, load: Load) -> None:
        self.connection, self.load = connection, load
        self.waiting = {name: Waiting(table, load.load_id) for name, table in TABLES.items()}
        self.tried: dict[str, list[int]] = {}

    def examine(self, suites: Suites) -> dict[str, TableReport]:
        """Mark every row that breaks a rule, table by table, each after those it refers to."""
        if self.load.unchanged:
            for waiting in self.waiting.values():
                waiting.create(self.connection)
        return {name: self._examine_table(waiting, suites) for name, waiting in self.waiting.items()}

    def _examine_table(self, waiting: Waiting, suites: Suites) -> TableReport:
        started, table = perf_counter(), waiting.table
        self.tried[table.name] = try_again(self.connection, waiting, self.load.dataset)
        blocks = (
            block.to_pandas().set_index("waiting_id")
            for block in waiting.blocks(self.connection, suites.columns(table.name))
        )
        verdict = suites.run(table.name, blocks)
        by_row = verdict.broken.groupby("row", sort=False)["rule"].agg("; ".join).reset_index()
        waiting.mark(self.connection, by_row.rename(columns={"row": "waiting_id"}))
        rules = dict(verdict.rules) | self._mark_strangers(waiting)
        if self.tried[table.name]:
            self._drop_superseded(waiting)
        if any(parent == table.name for other in TABLES.values() for _, parent in other.references):
            self._remember_ids(waiting)
        failing = sum(count for _, count, _, _ in self._failing(waiting))
        if verdict.rows:
            log.info(
                "%s: %s rows, %s break a rule, %.1f s",
                table.name,
                f"{verdict.rows:,}",
                f"{failing:,}",
                perf_counter() - started,
            )
        return TableReport(verdict.rows, failing, verdict.limit, rules)

    def _mark_strangers(self, waiting: Waiting) -> dict[str, int]:
        counts = {}
        with self.connection.cursor() as cursor:
            cursor.execute(names.SQL("ANALYZE {}").format(names.Identifier(*waiting.path)))
            for column, parent in waiting.table.references:
                rule = reference_rule(column, parent)
                statement = names.SQL(sql.query("waiting_strangers")).format(
                    waiting=names.Identifier(*waiting.path),
                    column=names.Identifier(column),
                    known=known_ids(parent),
                )
                cursor.execute(statement, {"rule": rule})
                counts[rule] = cursor.rowcount
        return counts

    def _drop_superseded(self, waiting: Waiting) -> None:
        keys = {f"{alias}_key": _qualified(alias, list(waiting.table.key)) for alias in ("released", "collected")}
        with self.connection.cursor() as cursor:
            statement = names.SQL(sql.query("waiting_superseded")).format(**keys, **waiting.identifiers)
            cursor.execute(statement)

    def _remember_ids(self, waiting: Waiting) -> None:
        statement = names.SQL(sql.query("waiting_known")).format(
            known=known_ids(waiting.table.name), **waiting.identifiers
        )
        with self.connection.cursor() as cursor:
            cursor.execute(statement, {"dataset": self.load.dataset})

    def _failing(self, waiting: Waiting) -> list[tuple[str, int, list[int], str]]:
        """Each rule that rows of the source broke, with how many, the first of them and their origin."""
        with self.connection.cursor() as cursor:
            cursor.execute(names.SQL(sql.query("waiting_failing")).format(**waiting.identifiers), RECORDED)
            return cursor.fetchall()

    def refusal(self, reports: dict[str, TableReport]) -> str | None:
        """Why the load is refused whole; None where every table's failing share is within its limit.

        Rows that a storefront recorded do not count: a refusal keeps them uncollected, and would repeat itself.
        """
        if self.load.unchanged:
            return None
        for name, report in reports.items():
            collected = self._count(self.waiting[name], sql.query("waiting_from_source"), RECORDED)
            if report.failing > report.limit * collected:
                rule, count, rows, origin = self._failing(self.waiting[name])[0]
                place, share = ".".join(self.waiting[name].path), report.failing / collected
                return (
                    f"{name}: {report.failing:,} of {collected:,} rows ({share:.1%}) break a rule, above"
                    f" {report.limit:.0%}. '{rule}' is broken by {count:,}: {origin}, {shown_rows(rows)}."
                    " Nothing was merged. Repair the source and run again; the rows stay in"
                    f" {place}, each with what it broke"
                )
        return None

    def merge(self) -> None:
        """Bring passing rows into the dataset and failing ones into quarantine, and drop the waiting tables.

        Raises:
            LostRowsError: the numbers do not add up.
        """
        for waiting in self.waiting.values():
            self._merge_table(waiting)
            waiting.drop(self.connection)
        with self.connection.cursor() as cursor:
            cursor.execute(sql.query("recorded_mark"), {"dataset": self.load.dataset})
            cursor.execute(sql.query("loads_left_behind"), {"dataset": self.load.dataset, "load_id": self.load.load_id})
            left_behind = [load_id for (load_id,) in cursor.fetchall()]
        for load_id in left_behind:
            for table in TABLES.values():
                Waiting(table, load_id).drop(self.connection)

    def _merge_table(self, waiting: Waiting) -> None:
        started, table = perf_counter(), waiting.table
        rows = self._count(waiting, "SELECT count(*) FROM {waiting}")
        if not rows:
            return
        merged = self._merge_rows(waiting)
        quarantined = keep_failing(self.connection, waiting, self.load.dataset, self.tried[table.name])
        if merged + quarantined != rows:
            raise LostRowsError(
                f"{table.name}: {rows:,} rows, {merged:,} merged, {quarantined:,} quarantined; none kept"
            )
        log.info(
            "%s: %s rows merged, %s quarantined, %.1f s",
            table.name, f"{merged:,}", f"{quarantined:,}", perf_counter() - started,
        )  # fmt: skip

    def _merge_rows(self, waiting: Waiting) -> int:
        """Add or renew the passing rows; returns how many of them the dataset now has."""
        table, dataset = waiting.table, {"dataset": self.load.dataset}
        values = [name for name in table.stored_columns if name not in table.key]
        fillings = waiting.identifiers | {
            "values": comma_separated(values),
            "kept_values": _qualified("kept", values),
            "new_values": _qualified("excluded", values),
        }
        with self.connection.cursor() as cursor:
            cursor.execute(
                names.SQL("SELECT EXISTS (SELECT FROM {table} WHERE dataset = %(dataset)s)").format(**fillings),
                dataset,
            )
            (grown,) = cursor.fetchone() or (True,)
            statement = "waiting_merge" if grown else "waiting_first_merge"
            cursor.execute(names.SQL(sql.query(statement)).format(**fillings), dataset)
            merged = cursor.rowcount
            cursor.execute(names.SQL("ANALYZE {table}").format(**fillings))
        return self._count(waiting, sql.query("waiting_arrived"), dataset) if grown else merged

    def _count(self, waiting: Waiting, statement: str, parameters: dict[str, Any] | None = None) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(names.SQL(statement).format(**waiting.identifiers), parameters)
            (count,) = cursor.fetchone() or (0,)
        return int(count)


def _qualified(alias: str, columns: list[str]) -> names.Composable:
    return names.SQL(", ").join(names.Identifier(alias, column) for column in columns)
