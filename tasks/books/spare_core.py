"""A core for the storefront: who makes a book keeps off one of the machine's, so that quotes do not wait for it.

A quote takes a millisecond. Who computes holds a core for several, and where every core is held a quote waits as long.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from psycopg2.extensions import connection as Connection

LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "::1"}


@contextmanager
def sparing_a_core(connection: Connection) -> Iterator[None]:
    """Keep this process off one core, and the server's side of the connection too where it runs on this machine.

    On one core, or where the system has no such thing (it is Linux's), nothing changes.
    """
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1:
        yield
        return
    cores = os.sched_getaffinity(0)
    others = cores - {min(cores)}
    if (server := _local_server(connection)) is not None:
        with suppress(OSError):  # another account's, which cannot be told
            os.sched_setaffinity(server, others)
    _keep_to(others)
    try:
        yield
    finally:
        _keep_to(cores)


def _keep_to(cores: set[int]) -> None:
    """Keep every thread of this process to these cores; those begun later follow who begins them."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has just ended
            os.sched_setaffinity(int(thread.name), cores)


def _local_server(connection: Connection) -> int | None:
    """The process that serves a connection, where it is one of this machine's."""
    if not (connection.info.host in LOCAL_HOSTS or connection.info.host.startswith("/")):
        return None
    pid = connection.info.backend_pid
    with suppress(OSError):  # not there, or hidden
        if Path(f"/proc/{pid}/comm").read_text().strip() == "postgres":
            return pid
    return None
