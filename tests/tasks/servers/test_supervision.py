import os
import signal
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest

import tasks.servers.environment
import tasks.servers.supervision
from tasks.servers.ports import free_port
from tasks.servers.processes import Process, living, marked
from tasks.servers.supervision import Child, Program, ServerError, Stopping, end_all


def program(tmp_path: Path, *arguments: str) -> Program:
    return Program("files", list(arguments), dict(os.environ), tmp_path / "logs" / "files.log")


def file_server(tmp_path: Path) -> Program:
    port = free_port(None)
    arguments = ["http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(port)]
    log = tmp_path / "logs" / "files.log"
    return Program("files", arguments, dict(os.environ), log, f"http://127.0.0.1:{port}", "/")


def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    child = Child(file_server(tmp_path))
    try:
        child.await_ready(Event())
        first = child.process
        child.revive()
        assert child.process is first, "it lives"
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        give_up = monotonic() + 30
        while child.process is first and monotonic() < give_up:
            child.revive()
            sleep(0.05)
        child.await_ready(Event())
        assert child.process is not first
    finally:
        end_all([child])
    assert living(child.process.pid) is None


@pytest.mark.parametrize("runs_flows", [False, True])
def test_a_dead_server_leaves_no_helper_behind_but_a_worker_leaves_its_flow_runs(
    tmp_path: Path, runs_flows: bool
) -> None:
    script = "import subprocess; subprocess.run(['sleep', '60'])"
    child = Child(replace(program(tmp_path, "timeit", "-n", "1", script), runs_flows=runs_flows))
    try:
        helper = started_sleep(child)
        child.process.kill()
        child.process.wait()
        first = child.process
        while child.process is first:
            child.revive()
            sleep(0.05)
        assert (living(helper.pid) == helper) == runs_flows
    finally:
        end_all([child])


def started_sleep(child: Child) -> Process:
    """The `sleep` that the child starts, once it has."""
    give_up = monotonic() + 30
    while not (found := [process for process in marked(child.program.log) if process.name == "sleep"]):
        assert monotonic() < give_up
        sleep(0.05)
    return found[0]


def test_what_a_killed_child_had_started_is_ended_too(tmp_path: Path) -> None:
    script = "import subprocess; subprocess.run(['sleep', '60'], start_new_session=True)"
    child = Child(program(tmp_path, "timeit", "-n", "1", script))
    grandchild = started_sleep(child)
    child.process.kill()
    child.process.wait()
    assert living(grandchild.pid) == grandchild, "nobody's child now"
    end_all([child])
    assert living(grandchild.pid) is None


def test_a_server_that_hangs_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.servers.supervision, "MISSES", 3)
    monkeypatch.setattr(tasks.servers.environment, "ANSWER_SECONDS", 0.5)
    child = Child(file_server(tmp_path))
    try:
        child.await_ready(Event())
        first = child.process
        first.send_signal(signal.SIGSTOP)
        for _ in range(2):
            child.revive()
        first.send_signal(signal.SIGCONT)
        child.revive()  # it answers: what it missed is forgotten
        first.send_signal(signal.SIGSTOP)
        for _ in range(2):
            child.revive()
        assert first.poll() is None
        child.revive()
        assert child.process is not first
        assert first.poll() == -signal.SIGKILL
        child.await_ready(Event())
    finally:
        end_all([child])


def test_a_server_that_ends_at_once_is_an_error_that_shows_its_last_words(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "no_such_server"))
    with pytest.raises(ServerError, match=r"files ended with exit code 1 instead of starting(.|\n)*no_such_server"):
        child.await_ready(Event())


def test_a_step_that_fails_is_an_error(tmp_path: Path) -> None:
    Child(program(tmp_path, "timeit", "-n", "1", "pass")).await_success(Event())
    with pytest.raises(ServerError, match="files failed with exit code 1"):
        Child(program(tmp_path, "timeit", "-n", "1", "1/0")).await_success(Event())


def test_a_wish_to_end_is_heard_while_a_server_starts(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "timeit", "-n", "1", "import time; time.sleep(60)"))
    stopping = Event()
    stopping.set()
    try:
        with pytest.raises(Stopping):
            child.await_ready(stopping)
    finally:
        end_all([child])
