import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.engine import make_url

import tasks.servers.postgres
from tasks.servers.ports import free_port
from tasks.servers.postgres import PostgresError, ensure_running, stop
from tasks.servers.processes import MARK, marked

Execute = Callable[[str, str], list[tuple[object, ...]]]


def server_pid(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def test_a_running_server_is_found_and_a_stopped_one_keeps_data_and_url(used_home: Path, execute: Execute) -> None:
    url = ensure_running(used_home)
    execute(url, "CREATE TABLE kept AS SELECT 1 AS answer")
    pid = server_pid(used_home)
    assert ensure_running(used_home) == url
    assert server_pid(used_home) == pid
    stop(used_home)
    with pytest.raises(psycopg2.OperationalError):
        execute(url, "SELECT 1")
    assert ensure_running(used_home) == url
    assert execute(url, "SELECT answer FROM kept") == [(1,)]


def test_after_a_kill_everything_committed_is_back(used_home: Path, execute: Execute) -> None:
    url = ensure_running(used_home)
    execute(url, "CREATE TABLE kept AS SELECT 1 AS answer")
    os.kill(server_pid(used_home), signal.SIGKILL)
    assert ensure_running(used_home) == url
    assert execute(url, "SELECT answer FROM kept") == [(1,)]


def test_it_is_no_server_of_who_started_it(used_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, str(used_home / "logs" / "worker.log"))
    ensure_running(used_home)
    assert marked(used_home) == []


def test_commands_that_start_at_once_share_one_server(home: Path) -> None:
    with ThreadPoolExecutor(3) as commands:
        assert len(set(commands.map(ensure_running, [home] * 3))) == 1


def test_a_moved_home_keeps_working_even_if_its_server_was_up(used_home: Path, execute: Execute) -> None:
    execute(ensure_running(used_home), "CREATE TABLE kept AS SELECT 1 AS answer")
    moved = used_home.with_name("a 'new' $home")
    used_home.rename(moved)
    url = ensure_running(moved)
    try:
        execute(url, "CHECKPOINT")
        assert execute(url, "SELECT answer FROM kept") == [(1,)]
    finally:
        stop(moved)


def test_a_copied_home_has_a_server_of_its_own(used_home: Path, execute: Execute) -> None:
    url = ensure_running(used_home)
    copy = used_home.with_name("copy")
    subprocess.run(["cp", "-a", used_home, copy], check=True)
    copied = ensure_running(copy)
    try:
        assert make_url(copied).port != make_url(url).port
        execute(copied, "CREATE TABLE only_in_the_copy (x int)")
        assert execute(url, "SELECT to_regclass('only_in_the_copy')") == [(None,)]
    finally:
        stop(copy)


def test_a_pid_file_that_names_another_program_is_no_obstacle(used_home: Path) -> None:
    url = ensure_running(used_home)
    stop(used_home)
    lines = [
        str(os.getpid()),
        str(used_home / "postgres" / "data"),
        "0",
        "1",
        "",
        "127.0.0.1",
        "0 0",
        "ready",
    ]
    (used_home / "postgres" / "data" / "postmaster.pid").write_text("\n".join(lines))
    assert ensure_running(used_home) == url


def test_a_taken_port_is_left_to_its_holder(used_home: Path) -> None:
    url = ensure_running(used_home)
    stop(used_home)
    taken = make_url(url).port
    with socket.create_server(("127.0.0.1", int(taken or 0))):
        assert make_url(ensure_running(used_home)).port != taken


def test_the_port_can_be_chosen_and_is_then_that_one_or_an_error(
    used_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.servers.postgres, "LINGER_SECONDS", 1)
    wished = free_port(None)
    with (
        socket.create_server(("127.0.0.1", wished)),
        pytest.raises(PostgresError, match=f"port {wished}, meant for Postgres, is taken.*set PRICING_POSTGRES_PORT"),
    ):
        ensure_running(used_home, wished)
    url = ensure_running(used_home, wished)
    assert make_url(url).port == wished
    assert ensure_running(used_home, free_port(None)) == url, "it runs: others are connected to it"


def test_a_first_start_that_was_cut_off_is_begun_again(home: Path) -> None:
    (home / "postgres" / "data" / "base").mkdir(parents=True)
    (home / "postgres" / "initialising").touch()
    ensure_running(home)
    assert not (home / "postgres" / "initialising").exists()


def test_only_this_machine_and_only_with_the_password(home: Path, execute: Execute) -> None:
    url = ensure_running(home)
    assert execute(url, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert execute(url, "SHOW unix_socket_directories") == [("",)]
    assert execute(url, "SHOW fsync") == [("on",)]
    wrong = make_url(url).set(password="guessed").render_as_string(hide_password=False)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        execute(wrong, "SELECT 1")
    assert stat.S_IMODE((home / "postgres" / "password").stat().st_mode) == 0o600


def test_a_server_that_does_not_start_tells_why(used_home: Path) -> None:
    ensure_running(used_home)
    stop(used_home)
    with (used_home / "postgres" / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = plenty\n")
    with pytest.raises(PostgresError, match='invalid value for parameter "shared_buffers": "plenty"'):
        ensure_running(used_home)


def test_a_lost_data_folder_is_not_replaced_by_an_empty_one(home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "data").symlink_to("/nowhere")
    with pytest.raises(PostgresError, match=r"holds no database: bring it back, or move .*postgres away"):
        ensure_running(home)


def test_a_home_that_cannot_be_is_named(home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(PostgresError, match=f"cannot use {home}/postgres: .*PRICING_HOME"):
        ensure_running(home)


def test_stopping_what_was_never_started_does_nothing(home: Path) -> None:
    stop(home)
    assert not home.exists()
