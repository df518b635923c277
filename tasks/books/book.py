"""A price book in the making: its own tables, filled by COPY and invisible to readers until it goes live."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import psycopg2.errors
from numpy.typing import NDArray
from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection

import sql
from models.pricing.bid_prices import BidPriceCurve
from tasks.copying import copy_frame, copy_frames
from tasks.database import transaction

LOCK_PATIENCE = "50ms"
PRICE_TABLES = ("personal_prices", "uniform_prices")


@dataclass(frozen=True)
class Book:
    """A price book by its number; its prices are in tables of its own."""

    book_id: int

    def table(self, parent: str) -> tuple[str, str]:
        """Schema and name of this book's part of personal_prices or uniform_prices."""
        return "pricing", f"{parent}_{self.book_id}"


def stage_book(writing: Connection, description: dict[str, object]) -> Book:
    """Open a book: its row in pricing.books and its empty tables, which nobody sees before the transaction ends.

    A book that is made in one transaction leaves nothing behind where that fails, and COPY into a table of the same
    transaction writes each row once and not to the log as well.
    """
    with writing.cursor() as cursor:
        cursor.execute(sql.query("stage_book"), description | {"policy": json.dumps(description["policy"])})
        book = Book(cursor.fetchone()[0])  # type: ignore[index]
        cursor.execute("SELECT pricing.stage_prices(%s)", [book.book_id])
    return book


def write_prices(writing: Connection, book: Book, parent: str, blocks: Iterable[pd.DataFrame]) -> int:
    """COPY blocks of prices into a book of this transaction, as they come; returns the number of rows."""
    return copy_frames(writing, book.table(parent), blocks, freeze=True)


def write_bid_prices(writing: Connection, book: Book, curves: Sequence[BidPriceCurve]) -> None:
    """Keep with a book what its stock will be worth as it goes."""
    rows = [
        {"book_id": book.book_id, "pool_id": curve.pool_id, "requests": curve.requests,
         "units": _array_text(curve.units), "bid_price": _array_text(curve.bid_price)}
        for curve in curves
    ]  # fmt: skip
    if rows:
        copy_frame(writing, ["pricing", "bid_price_curves"], pd.DataFrame(rows))


def complete_book(connection: Connection, book: Book) -> None:
    """Give the written tables their keys, and make them partitions that no reader is pointed to yet.

    They are attached well before the book goes live: a statement that began before would know the new book but not its
    partition, since attaching, unlike other changes of a table, does not wait for readers.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pricing.attach_prices(%s)", [book.book_id])


def discard_book(url: str, book: Book, *, unless_approved: bool = False) -> bool:
    """Drop the prices of a book; its row in pricing.books stays as history.

    Dropping a partition needs a lock that readers would queue behind, so it is not waited for: where somebody reads
    for longer it returns false, and a later publication tries again.

    Raises:
        psycopg2.errors.ObjectNotInPrerequisiteState: the book is live, or a rollback returns to it, or it has been
            approved and was to be spared then.
    """
    try:
        with transaction(url) as connection, connection.cursor() as cursor:
            cursor.execute(names.SQL("SET LOCAL lock_timeout = {}").format(names.Literal(LOCK_PATIENCE)))
            cursor.execute("SELECT pricing.drop_prices(%s, %s)", [book.book_id, unless_approved])
    except psycopg2.errors.LockNotAvailable:
        return False
    return True


def _array_text(numbers: NDArray[np.float64]) -> str:
    """Numbers as COPY reads an array of them."""
    return "{" + ",".join(map(repr, numbers.tolist())) + "}"
