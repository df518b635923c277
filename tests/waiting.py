"""Waiting in tests for what another process does."""

import time
from collections.abc import Callable


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Look again and again until it holds; fails where it does not within so many seconds."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "waited too long"
        time.sleep(0.2)
