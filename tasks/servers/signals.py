"""The signals that end a program: as an event it can look at, or as an exit that leaves nothing running."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def exit_when_ended() -> None:
    """Let `kill` and a terminal that closes end the program by an exit, which also ends what it started.

    Prefect ends the server that it starts for a run at the exit, and at a signal's own death it would stay for ever.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup a terminal may close
            signal.signal(number, lambda received, _: sys.exit(128 + received))


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that the first signal to end sets."""
    stopping = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in signals}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
