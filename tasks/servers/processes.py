"""Processes of this machine, as /proc tells of them; nothing is known of any where there is no /proc."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
MARK = "PRICING_STARTED_AS"  # in the environment of a server and of all that it starts: the server's log file
KILL_SECONDS = 5  # for the system to take down what was killed


@dataclass(frozen=True)
class Process:
    """A living process; `started`, in ticks of uptime, tells it from a later one of its number."""

    pid: int
    started: int
    name: str = field(compare=False)
    parent: int = field(compare=False)  # changes when the parent ends


def living(pid: int) -> Process | None:
    """The process of this number; None where there is none, or only one that nobody has collected yet."""
    try:
        name, rest = (PROC / str(pid) / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = rest.split()
    return None if state in "ZX" else Process(pid, int(fields[18]), name, int(fields[0]))


def with_descendants(pids: Iterable[int]) -> list[Process]:
    """These processes and all that they started, however deep and in whatever session."""
    wanted = set(pids)
    entries = PROC.glob("[0-9]*")
    everyone = [process for entry in entries if (process := living(int(entry.name))) is not None]
    family = {process.pid: process for process in everyone if process.pid in wanted}
    while born := [p for p in everyone if p.parent in family and p.pid not in family]:
        family |= {process.pid: process for process in born}
    return list(family.values())


def marked(started_as: Path) -> list[Process]:
    """What was started as this server, or as any server with its log in this folder, and all their descendants.

    Whoever started a process may have been killed since, and then nothing but the mark tells where it came from.
    """
    entries = PROC.glob("[0-9]*")
    found = [int(entry.name) for entry in entries if (mark := _mark(entry)) and mark.is_relative_to(started_as)]
    return with_descendants(found)


def _mark(entry: Path) -> Path | None:
    """The mark in a process's environment; None where it has none, is gone, or is another person's."""
    try:
        variables = (entry / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    prefix = f"{MARK}=".encode()
    return next((Path(os.fsdecode(v.removeprefix(prefix))) for v in variables if v.startswith(prefix)), None)


def end(processes: list[Process], patience: float) -> None:
    """Ask the processes to end; kill those that live after `patience` seconds, with what they started."""
    _signal(processes, signal.SIGTERM)
    if stubborn := _left_after(processes, patience):
        killed = with_descendants(process.pid for process in stubborn)
        _signal(killed, signal.SIGKILL)
        _left_after(killed, KILL_SECONDS)


def _left_after(processes: list[Process], patience: float) -> list[Process]:
    """Those that still live after so many seconds."""
    give_up = time.monotonic() + patience
    while (left := [process for process in processes if _lives(process)]) and time.monotonic() < give_up:
        time.sleep(0.1)
    return left


def _lives(process: Process) -> bool:
    return living(process.pid) == process


def _signal(processes: list[Process], number: int) -> None:
    for process in processes:
        if _lives(process):
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
