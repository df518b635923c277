"""A worker is well while each of its sessions goes on; the sessions are a real one's and those of a test."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tasks.database import migrate, transaction
from tasks.quotes import reprice_health
from tasks.quotes.reprice import reprice_until
from tasks.quotes.reprice_health import complaint


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGAPPNAME", "reprice-1")


@contextmanager
def session(url: str) -> Iterator[None]:
    """A session that has done something and does nothing more."""
    with transaction(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        yield


def test_a_worker_that_waits_for_work_is_well(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(database_url)
    monkeypatch.setattr(reprice_health, "LONGEST_SECONDS", 5.0)
    ended = threading.Event()
    worker = threading.Thread(target=reprice_until, args=(ended.is_set, database_url, 4, lambda repriced: None))
    assert complaint(database_url) == "the repricing worker has no session in the database"
    worker.start()
    try:
        ended.wait(7.0)  # longer than a session may stand still
        assert complaint(database_url) is None
    finally:
        ended.set()
        worker.join()


def test_one_session_that_stands_still_is_enough(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reprice_health, "LONGEST_SECONDS", 0.5)
    with ExitStack() as stack:
        stack.enter_context(session(database_url))
        threading.Event().wait(1.0)
        stack.enter_context(session(database_url))
        assert "has stood still for 1 s" in str(complaint(database_url))


def test_others_sessions_do_not_count(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with session(database_url):
        monkeypatch.setenv("PGAPPNAME", "reprice-2")
        assert "no session" in str(complaint(database_url))


def test_a_database_that_is_away_is_waited_for() -> None:
    assert complaint("postgresql://nobody@127.0.0.1:9/nothing") is None
