"""A book's personal prices on their way to the database: block after block, with what is counted as they pass."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from models.pricing.book_request import BookRequest
from models.pricing.book_sample import BookReservoir, BookSample
from models.pricing.certificate import Certificate
from models.pricing.fairness import ParityTally
from models.pricing.price_book import RowTally, SettledBook
from tasks.books.book import Book

SAMPLE_ROWS = 10_000  # of personal prices, for the book's plots
PERSONAL_COLUMNS = [
    "user_id", "product_id", "price", "lower", "upper", "purchase_probability", "elasticity", "reasons",
    "randomised", "propensity", "sensitivity", "valuation", "live_price", "live_propensity",
]  # fmt: skip


class PriceStream:
    """Prices each block of settled books once. What is asked of it beside `rows` holds when those have passed."""

    def __init__(self, books: Iterator[SettledBook], seed: int) -> None:
        self.refused = Counter[str]()
        self._books = books
        self._parity = ParityTally()
        self._certificates: list[Certificate] = []
        self._reservoir = BookReservoir(SAMPLE_ROWS, seed)

    def rows(self, staged: Book) -> Iterator[pd.DataFrame]:
        """Yield the rows of pricing.personal_prices, those without a price left out."""
        for book in self._books:
            counted = RowTally()
            for request in book.blocks():
                prices = book.prices(request)
                counted.add(prices)
                self._parity.add(prices, request.decisions["user_id"], _column(request.group, prices))
                self._reservoir.add(request, prices, book.terms)
                yield as_rows(_with_inputs(prices, request), PERSONAL_COLUMNS, staged)
            self._certificates.append(book.certificate(counted))
            self.refused += counted.refused

    def certificate(self) -> Certificate:
        """The evidence of how the prices were set."""
        (first, *others) = self._certificates
        return Certificate.joined([first, *others]) if others else first

    def parity(self) -> dict[str, Any]:
        """Prices between groups."""
        return self._parity.report().to_dict()

    def sample(self) -> BookSample:
        """Some of the prices, each as likely as another."""
        return self._reservoir.sample


def as_rows(prices: pd.DataFrame, columns: list[str], staged: Book) -> pd.DataFrame:
    """The rows that have a price, with the columns of their table, the reasons as Postgres writes an array."""
    kept = prices.loc[prices["refused"].isna(), columns]
    return kept.assign(reasons=array_texts(kept["reasons"]), book_id=staged.book_id)


def _with_inputs(prices: pd.DataFrame, request: BookRequest) -> pd.DataFrame:
    """The prices with whose they are and what they were computed from, beside what is the product's."""
    return prices.assign(
        user_id=request.decisions["user_id"],
        product_id=request.decisions["product_id"],
        sensitivity=request.curve.sensitivity,
        valuation=request.curve.valuation,
        live_price=_column(request.live_price, prices),
        live_propensity=_column(request.live_propensity, prices),
    )


def _column(values: ArrayLike | None, prices: pd.DataFrame) -> pd.Series:
    """One value a price, NaN where none is given."""
    return pd.Series(np.nan if values is None else values, index=prices.index)


def array_texts(reasons: pd.Series) -> list[str]:
    """Lists of reasons as Postgres writes arrays."""
    return ["{" + ",".join(row) + "}" for row in reasons]
