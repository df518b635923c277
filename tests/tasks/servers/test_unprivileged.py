import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.servers import unprivileged
from tasks.servers.postgres import ensure_running, stop
from tasks.servers.unprivileged import Account, AccountError, reachable_copy, server_account

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")


@as_root
def test_the_server_does_not_run_as_root(used_home: Path) -> None:
    ensure_running(used_home)
    data = used_home / "postgres" / "data"
    pid = (data / "postmaster.pid").read_text().split()[0]
    assert Path("/proc", pid).stat().st_uid == data.stat().st_uid != 0


@as_root
def test_the_owner_of_the_data_runs_the_server(tmp_path: Path) -> None:
    os.chown(tmp_path, 1, 1)
    identity = server_account(tmp_path).identity
    assert identity is not None
    assert identity.pw_uid == 1


@as_root
def test_an_owner_without_a_name_is_an_error(tmp_path: Path) -> None:
    os.chown(tmp_path, 4_000_000, 4_000_000)
    with pytest.raises(AccountError, match="user number 4000000, who has no name here"):
        server_account(tmp_path)


@as_root
def test_a_home_that_is_closed_to_the_account_has_its_data_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch, execute: Callable[[str, str], list[tuple[object, ...]]]
) -> None:
    monkeypatch.setattr(unprivileged, "OPEN_FOLDER", home.parent / "open")
    closed = home.parent / "closed"
    closed.mkdir(mode=0o700)
    url = ensure_running(closed / "home")
    try:
        execute(url, "CHECKPOINT")
        assert (closed / "home" / "postgres" / "data").resolve().parent == home.parent / "open"
    finally:
        stop(closed / "home")


@as_root
def test_programs_that_the_account_cannot_reach_are_copied_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "OPEN_FOLDER", home.parent / "open")
    package = home.parent / "closed" / "package"
    (package / "bin").mkdir(parents=True)
    (package / "bin" / "postgres").touch(mode=0o700)
    package.with_name("package.libs").mkdir()
    package.parent.chmod(0o700)
    account = server_account(home)
    copy = reachable_copy(package, "1.0", account)
    assert copy == home.parent / "open" / "package-1.0" / "package"
    assert account.can_enter(copy / "bin")
    assert (copy / "bin" / "postgres").stat().st_mode & 0o777 == 0o755
    assert reachable_copy(package, "1.0", account) == copy
    assert [entry.name for entry in (home.parent / "open").iterdir()] == ["package-1.0"]


def test_an_ordinary_user_is_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server_account(tmp_path) == Account(None)
    assert reachable_copy(tmp_path, "1.0", Account(None)) == tmp_path
