"""A random sample of a book's priced rows, drawn while they pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.pricing.book_request import BookRequest
from models.pricing.price_book import PriceBook
from models.pricing.shadow_prices import BookTerms


@dataclass(frozen=True)
class BookSample:
    """Some priced rows of a book, with all they were priced from; what is refused is left out."""

    request: BookRequest
    terms: BookTerms
    prices: pd.DataFrame

    @classmethod
    def draw(cls, request: BookRequest, book: PriceBook, rows: int, seed: int) -> "BookSample":
        """Return at most this many rows, each as likely as another, in the book's order."""
        reservoir = BookReservoir(rows, seed)
        reservoir.add(request, book.prices, book.terms)
        return reservoir.sample

    @classmethod
    def joined(cls, samples: Sequence["BookSample"]) -> "BookSample":
        """Return the rows of several samples of one book as one."""
        request = BookRequest.joined([sample.request for sample in samples])
        return cls(request, samples[0].terms, pd.concat([sample.prices for sample in samples], ignore_index=True))

    def take(self, rows: NDArray[np.integer]) -> "BookSample":
        """Return these rows alone."""
        return BookSample(self.request.take(rows), self.terms, self.prices.iloc[rows].reset_index(drop=True))


class BookReservoir:
    """Such a sample of a book whose prices come in blocks: each priced row has a random key, the least ones stay."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows, self._random = rows, np.random.default_rng(seed)
        self._keys = np.empty(0)
        self._sample: BookSample | None = None

    def add(self, request: BookRequest, prices: pd.DataFrame, terms: BookTerms) -> None:
        """Take in a block."""
        keys = np.where(prices["refused"].isna(), self._random.random(len(prices)), np.inf)
        chosen = self._least(keys)
        block = BookSample(request, terms, prices).take(chosen)
        both = block if self._sample is None else BookSample.joined([self._sample, block])
        self._keys = np.concatenate([self._keys, keys[chosen]])
        kept = self._least(self._keys)
        self._sample, self._keys = both.take(kept), self._keys[kept]

    @property
    def sample(self) -> BookSample:
        """The rows that stayed, in the book's order; at least one block must have been added."""
        assert self._sample is not None  # noqa: S101
        return self._sample

    def _least(self, keys: NDArray[np.float64]) -> NDArray[np.integer]:
        least = np.argsort(keys, kind="stable")[: self._rows]
        return np.sort(least[np.isfinite(keys[least])])
