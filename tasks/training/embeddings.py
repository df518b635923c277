"""Vectors of texts and images by the hash of what they were made of, so that nothing is read twice."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS embedding (
    encoder TEXT NOT NULL, content TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (encoder, content)
) WITHOUT ROWID
"""
_READ = "SELECT content, vector FROM embedding WHERE encoder = ? AND content IN (SELECT value FROM json_each(?))"
_WAIT = 60.0  # seconds for another process that is writing
MOST_HELD = 20_000  # vectors of an encoder in memory: a few tens of megabytes

# By file and encoder, then by hash: who reprices reads the same products' many times a second.
_held: dict[tuple[Path, str], dict[str, Vectors]] = {}


@dataclass(frozen=True)
class Embeddings:
    """The vectors of one encoder in a SQLite file, which several processes may use."""

    path: Path
    encoder: str

    def read(self, hashes: Sequence[str]) -> dict[str, Vectors]:
        """The vectors (T,) of the hashes that are there."""
        held = _held.get((self.path, self.encoder), {})
        found = {content: held[content] for content in hashes if content in held}
        if missing := [content for content in hashes if content not in found]:
            read = self._read(missing)
            found |= read
            # Another dictionary in its place, never an emptied one: another thread may be reading this one.
            fits = len(held) + len(read) <= MOST_HELD
            _held[self.path, self.encoder] = held | read if fits else dict(list(read.items())[:MOST_HELD])
        return found

    def _read(self, hashes: Sequence[str]) -> dict[str, Vectors]:
        with self._open() as file:
            rows = file.execute(_READ, [self.encoder, json.dumps(hashes)])
            return {content: np.frombuffer(vector, "<f4") for content, vector in rows}

    def add(self, vectors: dict[str, Vectors]) -> None:
        """Keep the vectors of hashes; those that are there stay as they are."""
        rows = [(self.encoder, content, vector.astype("<f4").tobytes()) for content, vector in vectors.items()]
        with self._open() as file:
            file.executemany("INSERT OR IGNORE INTO embedding VALUES (?, ?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=_WAIT)) as file, file:
            file.execute(_SCHEMA)
            yield file
