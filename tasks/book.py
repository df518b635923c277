"""A price book in the making: its own tables, filled by COPY and invisible to readers until it goes live."""

import json
from dataclasses import dataclass

import pandas as pd
from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection

import sql
from tasks.database import copy_frame, transaction

PRICE_TABLES = {  # each with the key its rows are found by
    "personal_prices": ("user_id", "product_id"),
    "uniform_prices": ("product_id",),
}


@dataclass(frozen=True)
class StagedBook:
    """A book whose prices are written but not yet live."""

    book_id: int

    def table(self, parent: str) -> tuple[str, str]:
        """Schema and name of this book's part of personal_prices or uniform_prices."""
        return "pricing", f"{parent}_{self.book_id}"

    def append(self, connection: Connection, parent: str, prices: pd.DataFrame) -> int:
        """COPY a block of prices into the book; returns the number of rows."""
        return copy_frame(connection, self.table(parent), prices.assign(book_id=self.book_id))


def stage_book(url: str, description: dict[str, object]) -> StagedBook:
    """Open a book: its row in pricing.books and its empty tables."""
    with transaction(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql.query("stage_book"), description | {"policy": json.dumps(description["policy"])})
        book = StagedBook(cursor.fetchone()[0])  # type: ignore[index]
        for parent in PRICE_TABLES:
            cursor.execute(
                names.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(
                    names.Identifier(*book.table(parent)), names.Identifier("pricing", parent)
                )
            )
    return book


def complete_book(connection: Connection, book: StagedBook) -> None:
    """Give the written tables their keys and the check that lets them attach without being read again."""
    with connection.cursor() as cursor:
        for parent, key in PRICE_TABLES.items():
            cursor.execute(
                names.SQL(
                    "ALTER TABLE {table} ADD PRIMARY KEY (book_id, {key}), ADD CHECK (book_id = {book_id});"
                    " ANALYZE {table}"
                ).format(
                    table=names.Identifier(*book.table(parent)),
                    key=names.SQL(", ").join(map(names.Identifier, key)),
                    book_id=names.Literal(book.book_id),
                )
            )


def discard_book(url: str, book: StagedBook) -> None:
    """Drop the prices of a book; its row in pricing.books stays as history."""
    with transaction(url) as connection, connection.cursor() as cursor:
        for parent in PRICE_TABLES:
            cursor.execute(names.SQL("DROP TABLE IF EXISTS {}").format(names.Identifier(*book.table(parent))))
        cursor.execute("UPDATE pricing.books SET state = 'dropped' WHERE book_id = %s", [book.book_id])
