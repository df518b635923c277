import signal
import subprocess
import sys

import pytest

PROGRAM = (
    "import atexit, time; from tasks.servers.signals import exit_when_ended\n"
    "atexit.register(print, 'ended in order'); exit_when_ended(); print('ready', flush=True); time.sleep(60)"
)


def started(*before: str) -> subprocess.Popen[str]:
    program = subprocess.Popen(
        [*before, sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # where the tests themselves run under nohup
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_is_ended_exits_in_order(number: signal.Signals) -> None:
    program = started()
    program.send_signal(number)
    said, _ = program.communicate(timeout=20)
    assert (said, program.returncode) == ("ended in order\n", 128 + number)


def test_under_nohup_a_terminal_that_closes_ends_nothing() -> None:
    program = started("nohup")
    program.send_signal(signal.SIGHUP)
    program.terminate()
    said, _ = program.communicate(timeout=20)
    assert (said, program.returncode) == ("ended in order\n", 128 + signal.SIGTERM)
