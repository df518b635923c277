"""Ways of writing a book's prices: the product's, raw COPY of what is encoded already, and binary ones.

    .venv/bin/python -m tests.benchmarks.write_paths --home /tmp/written --rows 1000000

All write the same priced frames into the same kind of table, made and given its keys in the same transaction. They take
turns, and each time counts from frames to the table with its keys; where "ready" is said the encoding went before.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import adbc_driver_postgresql.dbapi
import numpy as np
import pandas as pd
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url

import sql
from tasks.arrow import arrow_array
from tasks.books.book import Book, complete_book, stage_book, write_prices
from tasks.books.price_stream import PERSONAL_COLUMNS, _with_inputs, array_texts
from tasks.copying import BYTES_PER_READ, _csv
from tasks.database import migrate, transaction
from tasks.servers.postgres import ensure_running, stop
from tests.benchmarks.publication import DESCRIPTION, SNAPSHOT, settled

Frames = list[pd.DataFrame]
COLUMNS = [*PERSONAL_COLUMNS, "book_id"]
NUMERIC = pa.decimal128(24, 10)  # a binary numeric has a scale; texts keep each float's own digits
MONEY = ("price", "lower", "upper")
ROUNDS = 5


def priced(rows: int) -> Frames:
    """Priced rows as the product has them just before they are written."""
    frames = []
    for book in settled(rows):
        (request,) = book.requests
        prices = _with_inputs(book.prices(request), request)
        frames.append(prices.loc[prices["refused"].isna(), PERSONAL_COLUMNS])
    return frames


def texts(frames: Frames, book: Book) -> Iterator[pd.DataFrame]:
    """Frames as the CSV has them."""
    for frame in frames:
        yield frame.assign(reasons=array_texts(frame["reasons"]), book_id=book.book_id)


def batches(frames: Frames, book: Book) -> Iterator[pa.RecordBatch]:
    """Frames as Arrow, in the types of the table."""
    for frame in frames:
        columns = {name: arrow_array(frame[name]) for name in PERSONAL_COLUMNS if name not in (*MONEY, "reasons")}
        columns |= {name: pa.array(frame[name]).cast(NUMERIC) for name in MONEY}
        columns["reasons"] = pa.array(frame["reasons"], pa.list_(pa.string()))
        columns["book_id"] = pa.array(np.full(len(frame), book.book_id))
        yield from pa.table({name: columns[name] for name in COLUMNS}).combine_chunks().to_batches()


def binary(frames: Frames, book: Book) -> Iterator[bytes]:
    """Frames in the binary format of COPY."""
    encoder = None
    for batch in batches(frames, book):
        if encoder is None:
            encoder = ArrowToPostgresBinaryEncoder(batch.schema)
            yield encoder.write_header()
        yield encoder.write_batch(batch)
    if encoder is not None:
        yield encoder.finish()


def copied(connection: Connection, book: Book, file: IO[bytes], form: str) -> None:
    """COPY what a file has."""
    statement = (
        f"COPY {'.'.join(book.table('personal_prices'))} ({', '.join(COLUMNS)}) FROM STDIN (FORMAT {form}, FREEZE)"
    )
    file.seek(0)
    with connection.cursor() as cursor:
        cursor.copy_expert(statement, file, size=BYTES_PER_READ)


@dataclass(frozen=True)
class Way:
    """How frames are encoded beforehand, if they are, and how they or the file of them are written."""

    write: Callable[[Connection, Book, Frames, IO[bytes]], Any]
    encoded: Callable[[Frames, Book], Iterator[Any]] | None = None


WAYS = {
    "CSV ready, raw COPY": Way(
        lambda connection, book, frames, file: copied(connection, book, file, "csv"),
        lambda frames, book: map(_csv, texts(frames, book)),
    ),
    "binary ready, raw COPY": Way(
        lambda connection, book, frames, file: copied(connection, book, file, "binary"), binary
    ),
    "CSV by pyarrow (the product)": Way(
        lambda connection, book, frames, file: write_prices(connection, book, "personal_prices", texts(frames, book))
    ),
    "binary by pgpq": Way(
        lambda connection, book, frames, file: (
            file.writelines(binary(frames, book)), copied(connection, book, file, "binary")
        )
    ),
}  # fmt: skip


def seconds(url: str, frames: Frames, way: Way) -> float:
    """What one way takes; nothing of it stays."""
    with transaction(url) as connection, tempfile.TemporaryFile() as file:
        book = stage_book(connection, DESCRIPTION | {"priced_against": None})
        if way.encoded is not None:
            file.writelines(way.encoded(frames, book))
        began = time.perf_counter()
        way.write(connection, book, frames, file)
        complete_book(connection, book)
        took = time.perf_counter() - began
        connection.rollback()
    return took


def adbc_seconds(url: str, frames: Frames) -> float:
    """The same by ADBC, which has a connection of its own and knows no FREEZE."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with transaction(url) as connection, connection.cursor() as cursor:
        opened = cursor.mogrify(
            sql.query("stage_book"), DESCRIPTION | {"policy": "{}", "priced_against": None}
        ).decode()
    with adbc_driver_postgresql.dbapi.connect(plain) as connection, connection.cursor() as cursor:
        cursor.execute(opened)
        book = Book(cursor.fetchone()[0])
        cursor.execute(f"SELECT pricing.stage_prices({book.book_id})::text")
        began = time.perf_counter()
        schema, table = book.table("personal_prices")
        for batch in batches(frames, book):
            cursor.adbc_ingest(table, batch, mode="append", db_schema_name=schema)
        cursor.execute(f"SELECT pricing.attach_prices({book.book_id})::text")
        took = time.perf_counter() - began
        connection.rollback()
    return took


def rates(url: str, rows: int) -> dict[str, dict[str, float]]:
    """Median rows a second of each way, and as a share of raw COPY's; the ways take turns."""
    frames = priced(rows)
    took: dict[str, list[float]] = {name: [] for name in (*WAYS, "ADBC")}
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            took[name].append(seconds(url, frames, way))
        took["ADBC"].append(adbc_seconds(url, frames))
    medians = {name: float(np.median(each)) for name, each in took.items()}
    raw = medians["CSV ready, raw COPY"]
    return {name: {"rows_per_second": rows / each, "of_raw": raw / each} for name, each in medians.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, required=True, help="A folder for the database of this run.")
    given = parser.parse_args()
    server = ensure_running(given.home)
    try:
        migrate(server)
        with transaction(server) as opening, opening.cursor() as opening_cursor:
            opening_cursor.execute(f"{SNAPSHOT} ON CONFLICT DO NOTHING")
        print(json.dumps(rates(server, given.rows), indent=2))  # noqa: T201
    finally:
        stop(given.home)
