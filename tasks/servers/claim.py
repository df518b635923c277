"""Who runs the servers of a home: the claim that `pricing up` has on it for as long as it lives."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from models.errors import PricingError
from tasks.servers.processes import end, marked

FILE = "up.json"
LOGS = "logs"  # folder of the servers' logs, by which the servers of a home are known


class ClaimedError(PricingError):
    """Another `pricing up` runs the servers of this home."""


@dataclass
class Claim:
    """What `pricing up` tells other commands, and the next one of its kind."""

    pid: int = field(default_factory=os.getpid)
    prefect_api_url: str | None = None


class HeldClaim:
    """The claim in the hands of its holder: changes are written at once."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._claim = Claim()
        self._write()

    def announce(self, prefect_api_url: str) -> None:
        """From now on, other commands on this home send their flow runs to this Prefect server."""
        self._claim.prefect_api_url = prefect_api_url
        self._write()

    def _write(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        json.dump(asdict(self._claim), self._file)
        self._file.flush()


@contextmanager
def claim(home: Path) -> Iterator[HeldClaim]:
    """Hold the home's servers; what a killed `pricing up` left running is ended first.

    Raises ClaimedError while another process holds them.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / FILE).open("a+") as file:
        if not _locked(file):
            pid = _read(file).pid
            raise ClaimedError(f"`pricing up` already runs on {home} (process {pid}): use it, or end it first")
        end(marked(home / LOGS), patience=5)
        yield HeldClaim(file)
        file.truncate(0)


def holder(home: Path) -> Claim | None:
    """The claim of the `pricing up` that runs on this home now, if any."""
    try:
        with (home / FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        with (home / FILE).open() as file:
            return _read(file)
    return None


def _locked(file: TextIO) -> bool:
    """Take the lock, which the system frees however its holder ends; readers have it for an instant."""
    for _ in range(10):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.1)
    return False


def _read(file: TextIO) -> Claim:
    file.seek(0)
    text = file.read()
    if not text:
        return Claim(pid=0)
    told = json.loads(text)
    return Claim(told["pid"], told["prefect_api_url"])
