"""Summary: what a finished run put live, for a person to read."""

from dataclasses import dataclass
from typing import Any

import sql
from tasks.database import database_url, read_rows, transaction
from tasks.registry.versions import version_of
from tasks.settings import Settings


@dataclass(frozen=True)
class Summary:
    """The live book's figures, its model's held-out metrics, and a few of its prices."""

    book: dict[str, Any]
    metrics: dict[str, float]
    examples: list[dict[str, Any]]


def summarise() -> Summary | None:
    """The live book in figures; None where no personal price is live."""
    with transaction(database_url(Settings())) as connection:
        books = read_rows(connection, sql.query("book_summary"))
        examples = read_rows(connection, sql.query("sample_prices"))
    if not books:
        return None
    return Summary(books[0], version_of(str(books[0]["model_version"])).metrics(), examples)
