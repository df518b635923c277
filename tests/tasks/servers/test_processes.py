import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tasks.servers.processes import end, living, with_descendants

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_a_dead_process_is_not_living_even_before_it_is_collected() -> None:
    process = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert living(process.pid) is None
    process.wait()
    assert living(os.getpid()) is not None


def test_descendants_in_their_own_session_are_ended_too_even_if_they_refuse(
    parent: subprocess.Popen[str],
) -> None:
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.stdout.readline()  # the child ignores the signal from here on
    family = with_descendants([parent.pid])
    assert {process.pid for process in family} == {parent.pid, child}
    end(family, patience=0.5)
    parent.wait()
    assert living(child) is None
