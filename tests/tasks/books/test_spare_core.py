import os
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from tasks.books.spare_core import sparing_a_core
from tasks.database import transaction

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1, reason="needs Linux and two cores"
)


def threads() -> list[set[int]]:
    return [os.sched_getaffinity(int(thread.name)) for thread in Path("/proc/self/task").iterdir()]


def test_neither_side_uses_the_core_that_is_spared_and_afterwards_all_is_as_before(database_url: str) -> None:
    cores, ended = os.sched_getaffinity(0), Event()
    other = Thread(target=ended.wait)  # as those that numpy keeps
    other.start()
    with transaction(database_url) as connection:
        server = connection.info.backend_pid
        with sparing_a_core(connection):
            assert threads() == [cores - {min(cores)}] * len(threads())
            assert os.sched_getaffinity(server) == cores - {min(cores)}
        assert threads() == [cores] * len(threads())
    ended.set()
    other.join()


def test_a_failure_gives_the_core_back(database_url: str) -> None:
    cores = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError), transaction(database_url) as connection, sparing_a_core(connection):
        raise RuntimeError
    assert threads() == [cores] * len(threads())


def test_one_core_is_all_there_is(database_url: str) -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        with transaction(database_url) as connection, sparing_a_core(connection):
            assert os.sched_getaffinity(0) == {max(cores)}
            assert os.sched_getaffinity(connection.info.backend_pid) == cores
    finally:
        os.sched_setaffinity(0, cores)


def test_a_server_elsewhere_is_left_alone(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = os.sched_getaffinity(0)
    with transaction(database_url) as connection:
        monkeypatch.setattr("tasks.books.spare_core.LOCAL_HOSTS", set())
        with sparing_a_core(connection):
            assert os.sched_getaffinity(0) < cores
            assert os.sched_getaffinity(connection.info.backend_pid) == cores
