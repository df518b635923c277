"""Blocks of a book's pairs: some users each, cut once and the same whoever computes them, kept as files."""

from dataclasses import dataclass
from pathlib import Path

from tasks.settings import Settings

FORMAT = 2  # of the files, raised when they change, so that a run never goes on from another one's


@dataclass(frozen=True)
class Block:
    """The candidate pairs of some users, in a folder of PRICING_HOME that every worker sees.

    `book` names the inputs that the pairs were chosen from, `live_book` is what was live then.
    """

    book: str
    live_book: int | None
    number: int

    @property
    def folder(self) -> Path:
        """Where the files of all the book's blocks lie."""
        return Settings().home / "candidates" / self.book

    @property
    def pairs(self) -> Path:
        """The file of (user_id, product_id, quantity)."""
        return self.folder / f"{self.number:06d}.pairs.parquet"

    @property
    def demand(self) -> Path:
        """The file of the pairs' terms and demand curves; it is there once they have been found."""
        return self.folder / f"{self.number:06d}.demand.parquet"
