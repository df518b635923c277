"""A crash in tests: a server of a home that ends without a word."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tasks.servers.processes import with_descendants


def cut_power(home: Path) -> None:
    """Every process of the home's Postgres at once, as when the power goes."""
    postmaster = int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    for process in with_descendants([postmaster]):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
