"""Requests on disk: the rows of a whole book, to be gone through many times without being held in memory."""

import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

from models.pricing.book_request import BookRequest
from tasks.settings import Settings


@dataclass(frozen=True)
class SpooledRequests:
    """Requests in a file, one after the other; each time they are gone through they are read from its beginning."""

    file: IO[bytes]
    count: int

    def __iter__(self) -> Iterator[BookRequest]:
        position = 0
        for _ in range(self.count):
            self.file.seek(position)  # others may have gone through it meanwhile
            request: BookRequest = pickle.load(self.file)  # noqa: S301 - this process wrote it, and nobody else can
            position = self.file.tell()
            yield request


@contextmanager
def spooled(requests: Iterable[BookRequest]) -> Iterator[SpooledRequests]:
    """Write requests as they come into a file without a name, which the system removes however this process ends."""
    home = Settings().home
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=home) as file:
        count = 0
        for request in requests:
            pickle.dump(request, file, protocol=pickle.HIGHEST_PROTOCOL)
            count += 1
        yield SpooledRequests(file, count)
