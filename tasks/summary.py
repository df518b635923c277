"""Summary: what a finished run put live, for a person to read."""

from dataclasses import dataclass

import pandas as pd

import sql
from tasks.database import database_url, read_frame, transaction
from tasks.registry import version_of
from tasks.settings import Settings


@dataclass(frozen=True)
class Summary:
    """The live book's figures, its model's held-out metrics, and a few of its prices."""

    book: pd.Series
    metrics: dict[str, float]
    examples: pd.DataFrame


def summarise() -> Summary | None:
    """The live book in figures; None where no personal price is live."""
    with transaction(database_url(Settings())) as connection:
        book = read_frame(connection, sql.query("book_summary"))
        examples = read_frame(connection, sql.query("sample_prices"))
    if book.empty:
        return None
    metrics = version_of(str(book.loc[0, "model_version"])).metrics()
    return Summary(book.iloc[0], metrics, examples)
