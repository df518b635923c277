"""COPY: frames into tables, encoded by Arrow and sent as they come, so that a table of any length passes through."""

import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import chain

import pandas as pd
import psycopg2.errors
import pyarrow as pa
import pyarrow.csv
from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection

from tasks.arrow import arrow_array

BYTES_PER_READ = 1 << 18


def copy_frame(connection: Connection, table: Sequence[str], frame: pd.DataFrame) -> int:
    """Append a frame to schema.table, columns matched by name; returns the number of rows.

    Null is an unquoted empty field, so that an empty text stays an empty text.
    """
    return copy_frames(connection, table, [frame])


def copy_frames(
    connection: Connection, table: Sequence[str], frames: Iterable[pd.DataFrame], freeze: bool = False
) -> int:
    """Append frames of the same columns by one COPY; each is made and encoded while the one before it is sent.

    So there are never more than two of them. `freeze` is for a table made in the same transaction: its rows need
    not be touched again to be marked as visible.
    """
    blocks = iter(frames)
    first = next(blocks, None)
    if first is None:
        return 0
    statement = names.SQL("COPY {} ({}) FROM STDIN (FORMAT csv{})").format(
        names.Identifier(*table),
        names.SQL(", ").join(map(names.Identifier, first.columns)),
        names.SQL(", FREEZE" if freeze else ""),
    )
    with connection.cursor() as cursor, ThreadPoolExecutor(1, "copy") as ahead:
        encoded = _Encoded(chain([first], blocks), ahead)
        try:
            cursor.copy_expert(statement, encoded, size=BYTES_PER_READ)
        except psycopg2.errors.QueryCanceled:
            encoded.raise_failure()  # of a frame, which psycopg2 tells as a text alone
            raise
        return int(cursor.rowcount)


class _Encoded(io.RawIOBase):
    """Frames as the bytes of one CSV, for as long as there is something to read."""

    def __init__(self, frames: Iterator[pd.DataFrame], ahead: Executor) -> None:
        self._encoded = map(_csv, frames)
        self._ahead, self._context = ahead, copy_context()  # which says whose log lines the frames' are
        self._buffer = memoryview(b"")
        self._coming: Future[memoryview | None]
        self._begin_next()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fewer than asked for at the end of a frame; none at the end of all."""
        while not self._buffer:
            encoded = self._coming.result()
            if encoded is None:
                return b""
            self._buffer = encoded
            self._begin_next()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return bytes(taken)

    def raise_failure(self) -> None:
        """Raise what kept the coming frame from being made, if anything did."""
        if (failure := self._coming.exception()) is not None:
            raise failure

    def _begin_next(self) -> None:
        self._coming = self._ahead.submit(self._context.run, self._encode_next)

    def _encode_next(self) -> memoryview | None:
        return next(self._encoded, None)


def _csv(frame: pd.DataFrame) -> memoryview:
    if frame.empty:
        return memoryview(b"")
    arrow = pa.table({name: arrow_array(frame[name]) for name in frame.columns})
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(arrow, sink, pyarrow.csv.WriteOptions(include_header=False))
    return memoryview(sink.getvalue())
