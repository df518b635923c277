"""The history of price books: listing them, and proving the ledger."""

from dataclasses import dataclass

import pandas as pd

import sql
from models.errors import PricingError
from tasks.database import database_url, read_frame, transaction
from tasks.settings import Settings


class LedgerError(PricingError):
    """The ledger or the live prices are not what was recorded."""


@dataclass(frozen=True)
class LedgerProof:
    """What was verified."""

    entries: int
    live_book_id: int | None


def list_books() -> pd.DataFrame:
    """Every book, newest first, as pricing.price_books shows it."""
    with transaction(database_url(Settings())) as connection:
        return read_frame(connection, "SELECT * FROM pricing.price_books ORDER BY book_id DESC")


def verify_ledger() -> LedgerProof:
    """Recompute the ledger's chain and the live book's hash.

    Raises:
        LedgerError: an entry was changed, removed or reordered, or a live price differs from what was published.
    """
    with transaction(database_url(Settings())) as connection:
        broken = read_frame(connection, sql.query("broken_ledger_entries"))
        if len(broken):
            entry = broken.iloc[0]
            raise LedgerError(f"ledger entry {entry['entry_id']} does not verify: {entry['problem']}")
        live = read_frame(connection, sql.query("live_content"))
        entries = read_frame(connection, "SELECT count(*) AS entries FROM pricing.ledger")
    if len(live) and live.loc[0, "recorded_hash"] != live.loc[0, "content_hash"]:
        raise LedgerError(f"the prices of live book {live.loc[0, 'book_id']} are not those that were published")
    return LedgerProof(int(entries.iloc[0, 0]), int(live.loc[0, "book_id"]) if len(live) else None)
