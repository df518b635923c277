"""Waiting tables: the rows of one load as they were collected, before validation merges or refuses them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection

import sql
from tasks.copying import copy_frame
from tasks.data.contract import ContractError, Table, shown_rows
from tasks.database import read_blocks

MAINTENANCE = "SET LOCAL work_mem = '128MB'"


@dataclass(frozen=True)
class Waiting:
    """The waiting table of one table of one load.

    Besides the table's own columns it has ``waiting_id``; ``origin`` and ``row_number``, where the row came
    from; ``quarantine_id``, where it was released from quarantine; ``rule``, what it broke.
    """

    table: Table
    load_id: int

    @property
    def path(self) -> tuple[str, str]:
        """Schema and name."""
        return "incoming", f"{self.table.name}_{self.load_id}"

    @property
    def identifiers(self) -> dict[str, names.Composable]:
        """What the placeholders of the named queries stand for."""
        columns = self.table.stored_columns
        return {
            "waiting": names.Identifier(*self.path),
            "table": names.Identifier("data", self.table.name),
            "columns": comma_separated(columns),
            "key": comma_separated(self.table.key),
        }

    def create(self, connection: Connection) -> None:
        """Make the empty table, in place of one left behind by an attempt that failed."""
        with connection.cursor() as cursor:
            cursor.execute(names.SQL(sql.query("waiting_create")).format(**self.identifiers))

    def drop(self, connection: Connection) -> None:
        """Remove the table."""
        with connection.cursor() as cursor:
            cursor.execute(names.SQL("DROP TABLE IF EXISTS {waiting}").format(**self.identifiers))

    def append(self, connection: Connection, frame: pd.DataFrame) -> None:
        """Add conforming rows, with their origin and row_number."""
        if "image" in frame.columns:  # as bytea writes it
            frame = frame.assign(image=frame["image"].map(lambda image: "\\x" + image.hex(), na_action="ignore"))
        copy_frame(connection, self.path, frame)

    def refuse_duplicates(self, connection: Connection) -> None:
        """Raise a ContractError where a key stands in more than one row."""
        with connection.cursor() as cursor:
            cursor.execute(MAINTENANCE)
            cursor.execute(names.SQL(sql.query("waiting_duplicates")).format(**self.identifiers))
            twice = cursor.fetchall()
        if twice:
            origin, rows, *key = twice[0]
            shown = ", ".join(f"{value!s}" if index else repr(value) for index, value in enumerate(key))
            others = (
                f"; {len(twice) - 1} further keys are there twice, next in {shown_rows(twice[1][1])}"
                if twice[1:]
                else ""
            )
            problem = f"{shown} stands in more than one row{others}. Keep one row for each"
            raise ContractError(origin, problem, ", ".join(self.table.key), rows)

    def prefer(self, connection: Connection, origin: str) -> None:
        """Where a row of this origin has the key of another one's, drop the other."""
        (key,) = self.table.key
        identifiers = self.identifiers | {"key": names.Identifier(key)}
        with connection.cursor() as cursor:
            cursor.execute(names.SQL(sql.query("waiting_recorded")).format(**identifiers), {"recorded": origin})

    def blocks(self, connection: Connection, columns: list[str]) -> Iterator[pa.Table]:
        """These columns and waiting_id of all rows, in blocks, so that memory stays bounded."""
        return read_blocks(connection, self.path, ["waiting_id", *columns])

    def mark(self, connection: Connection, broken: pd.DataFrame) -> None:
        """Write the rule that each failing row broke, given as (waiting_id, rule)."""
        if broken.empty:
            return
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE broken (waiting_id bigint, rule text) ON COMMIT DROP")
            copy_frame(connection, ["broken"], broken)
            cursor.execute(names.SQL(sql.query("waiting_mark")).format(**self.identifiers))
            cursor.execute("DROP TABLE broken")


def comma_separated(columns: list[str] | tuple[str, ...]) -> names.Composable:
    """Column names as a list in SQL."""
    return names.SQL(", ").join(map(names.Identifier, columns))
