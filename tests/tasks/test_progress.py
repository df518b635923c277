"""A flow run shows how far its work has come, on a real Prefect server; without a run nothing is shown."""

import logging
from collections.abc import Iterator

import httpx
import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

import tasks.progress
from tasks.progress import progress_bar
from tasks.runners import for_each_block


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def bars(key: str) -> list[float]:
    """How full the bars under a key are."""
    with get_client(sync_client=True) as client:
        return [found.data for found in client.read_artifacts() if (found.key, found.type) == (key, "progress")]


@task
def work(key: str, done: int, steps: int) -> None:
    with progress_bar(key, "What is done", steps) as step:
        for _ in range(done):
            step()


def run(key: str, done: int, steps: int) -> list[float]:
    flow(name=key)(lambda: work(key, done, steps))(return_state=True)
    return bars(key)


def test_a_bar_is_full_at_the_end_and_stays_where_work_broke_off(prefect_server: None) -> None:
    assert run("stopped-early", done=1, steps=3) == [100]
    assert run("nothing-to-do", done=0, steps=0) == []

    @task
    def broken() -> None:
        with progress_bar("broken", "What is done", 3) as step:
            step()
            raise RuntimeError("broken off")

    flow(broken.fn)(return_state=True)
    assert bars("broken") == [33]


def test_the_blocks_of_a_flow_are_counted(prefect_server: None) -> None:
    @task
    def add_to_block(block: int, common: int) -> int:
        return block + common

    blocks = flow(lambda: for_each_block("local", add_to_block, [1, 2, 3], 10), name="blocks")
    assert blocks() == [11, 12, 13]
    assert bars("add-to-block") == [100]


def test_a_server_that_is_away_costs_the_bar_and_not_the_work(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*arguments: object, **options: object) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(tasks.progress, "update_progress_artifact", away)
    with caplog.at_level(logging.WARNING, "pricing.progress"):
        state = flow(name="away")(lambda: work("away", 2, 2))(return_state=True)
    assert state.is_completed()
    assert bars("away") == [0]
    assert "the bar away stays at 0 %: refused" in caplog.text


def test_a_task_called_as_a_function_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.progress, "create_progress_artifact", pytest.fail)
    work.fn("alone", 2, 2)
