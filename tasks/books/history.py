"""The history of price books: listing them, and proving the ledger."""

from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as Connection

import sql
from models.errors import PricingError
from tasks.database import database_url, read_rows, transaction
from tasks.settings import Settings


class LedgerError(PricingError):
    """The ledger or the live prices are not what was recorded."""


@dataclass(frozen=True)
class LedgerProof:
    """What was verified: the ledger, and the prices of the live book and of the one that a rollback returns to."""

    entries: int
    live_book_id: int | None
    book_id_before: int | None


def list_books() -> list[dict[str, Any]]:
    """Every book, newest first, as pricing.price_books shows it."""
    with transaction(database_url(Settings())) as connection:
        return read_rows(connection, "SELECT * FROM pricing.price_books ORDER BY book_id DESC")


def standing_books(connection: Connection) -> list[int]:
    """The books that were live one before another, the live one first, without those that were rolled back from."""
    (found,) = read_rows(connection, "SELECT pricing.standing_books() AS books")
    return list(found["books"])


def verify_ledger() -> LedgerProof:
    """Recompute the ledger's chain, and the hashes of the live book and of the one that a rollback returns to.

    Raises:
        LedgerError: an entry was changed, removed or reordered, or a price differs from what was published.
    """
    with transaction(database_url(Settings())) as connection:
        for entry in read_rows(connection, sql.query("broken_ledger_entries")):
            which = f"ledger entry {entry['entry_id']}" if entry["entry_id"] else "the ledger"
            raise LedgerError(f"{which} does not verify: {entry['problem']}")
        books = read_rows(connection, sql.query("book_contents"), {"standing": standing_books(connection)[:2]})
        entries = read_rows(connection, "SELECT count(*) AS entries FROM pricing.ledger")[0]["entries"]
    for book in books:
        if book["recorded_hash"] != book["content_hash"]:
            which = "live book" if book["is_live"] else "book"
            raise LedgerError(f"the prices of {which} {book['book_id']} are not those that were published")
    live, before, *_ = [*(book["book_id"] for book in books), None, None]
    return LedgerProof(entries, live, before)
