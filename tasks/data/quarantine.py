"""Quarantine: where rows wait that broke a rule, and from where they are tried again once released."""

from typing import Any

import pandas as pd
from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection

import sql
from tasks.data.conformity import conform
from tasks.data.contract import ATTRIBUTES, ContractError, Table
from tasks.data.waiting import Waiting


def reference_rule(column: str, parent: str) -> str:
    """The name of the rule that a column's values are keys of another table."""
    return f"{column} is in {parent}"


def known_ids(parent: str) -> names.Identifier:
    """The temporary table of the keys that rows may refer to."""
    return names.Identifier(f"known_{parent}")


def try_again(connection: Connection, waiting: Waiting, dataset: str) -> list[int]:
    """Add released rows to a waiting table; returns their quarantine ids.

    Rows kept out only because their user or product was unknown are released as soon as it is known. A row
    that does not fit its table, or shares its key with another released row, goes back with that as its
    rule.
    """
    _release_strangers(connection, waiting.table, dataset)
    with connection.cursor() as cursor:
        cursor.execute(sql.query("quarantine_released"), {"dataset": dataset, "table": waiting.table.name})
        released = cursor.fetchall()
    if not released:
        return []
    fitting, unfit = _conforming(released, waiting.table)
    with connection.cursor() as cursor:
        for quarantine_id, rule in unfit.items():
            cursor.execute(sql.query("quarantine_return"), {"quarantine_id": quarantine_id, "rule": rule})
    waiting.append(connection, fitting)
    return [int(quarantine_id) for quarantine_id in fitting["quarantine_id"]]


def _release_strangers(connection: Connection, table: Table, dataset: str) -> None:
    if not table.references:
        return
    row = names.Identifier("row")
    found = [
        names.SQL("({row} ->> {column} IS NULL OR {row} ->> {column} IN (SELECT id FROM {known}))").format(
            row=row, column=names.Literal(column), known=known_ids(parent)
        )
        for column, parent in table.references
    ]
    statement = names.SQL(sql.query("quarantine_strangers")).format(found=names.SQL(" AND ").join(found))
    rules = [reference_rule(column, parent) for column, parent in table.references]
    with connection.cursor() as cursor:
        cursor.execute(statement, {"dataset": dataset, "table": table.name, "rules": rules})


def _conforming(released: list[tuple[Any, ...]], table: Table) -> tuple[pd.DataFrame, dict[int, str]]:
    """The released rows that fit the table, ready to wait, and what is wrong with each of the others."""
    frames, unfit, keys = [], {}, set()
    for quarantine_id, origin, row_number, row in released:
        try:
            frame = conform(pd.DataFrame([_cells(row, table)], dtype=object), table, origin, row_number or 1)
        except ContractError as error:
            unfit[quarantine_id] = f"{error.column or 'row'}: {error.problem}"
            continue
        key = tuple(frame.loc[0, list(table.key)])
        if key in keys:
            unfit[quarantine_id] = f"{', '.join(table.key)}: another released row has the same"
            continue
        keys.add(key)
        frames.append(frame.assign(origin=origin, row_number=row_number, quarantine_id=quarantine_id))
    empty = pd.DataFrame({"quarantine_id": pd.array([], "int64")})
    return (pd.concat(frames, ignore_index=True) if frames else empty), unfit


def _cells(row: Any, table: Table) -> dict[str, Any]:
    """A quarantined row as a source would give it: the open columns apart again, an image as bytes."""
    if not isinstance(row, dict):
        raise ContractError("quarantine", "the row must be a JSON object of columns and values")
    cells = {**row, **(row.get(ATTRIBUTES) or {})} if table.prefixes else dict(row)
    if table.prefixes:
        cells.pop(ATTRIBUTES, None)
    image = cells.get("image")
    if table.has_images and isinstance(image, str):
        try:
            cells["image"] = bytes.fromhex(image.removeprefix("\\x"))
        except ValueError:
            raise ContractError(
                "quarantine", "expected the image's bytes as \\x and hexadecimal digits", "image"
            ) from None
    return cells


def keep_failing(connection: Connection, waiting: Waiting, dataset: str, tried: list[int]) -> int:
    """Bring the quarantine up to date: rows that pass leave it, failing rows enter; returns how many."""
    identifiers = {"waiting": waiting.identifiers["waiting"], "row_key": _row_key(waiting.table)}
    parameters = {"dataset": dataset, "table": waiting.table.name, "tried": tried}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'UTC'")
        cursor.execute(
            "SELECT FROM pricing.quarantine WHERE dataset = %(dataset)s AND table_name = %(table)s LIMIT 1",
            parameters,
        )
        if cursor.rowcount:
            cursor.execute(names.SQL(sql.query("quarantine_clear")).format(**identifiers), parameters)
        cursor.execute(names.SQL(sql.query("quarantine_fill")).format(**identifiers), parameters)
        return cursor.rowcount


def _row_key(table: Table) -> names.Composable:
    """The key as one text: a single id as it is, several columns as a JSON list."""
    columns = names.SQL(", ").join(map(names.Identifier, table.key))
    return columns if len(table.key) == 1 else names.SQL("jsonb_build_array({})::text").format(columns)
