"""How far a run's work has come, as a bar among the artifacts of its flow run."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectHTTPStatusError

log = logging.getLogger("pricing.progress")

# What Prefect's client raises where its server is away: hours of training do not end for want of a bar.
_AWAY = (httpx.TransportError, PrefectHTTPStatusError)


@contextmanager
def progress_bar(key: str, description: str, steps: int) -> Iterator[Callable[[], None]]:
    """A bar of so many steps; what it gives is called after each, and at the end the bar is full.

    Where there is no flow run, as in a task that is called as a function, nothing is made or sent.
    """
    if not steps or not (TaskRunContext.get() or FlowRunContext.get()):
        yield lambda: None
        return
    tell, done = _teller(key, description), count(1)
    tell(0)
    yield lambda: tell(min(100 * next(done) // steps, 100))
    tell(100)


def _teller(key: str, description: str) -> Callable[[int], None]:
    """What makes the bar at the first percentage it is told, and moves it where that has changed."""
    bar: UUID | None = None
    shown = -1

    def tell(percent: int) -> None:
        nonlocal bar, shown
        if percent == shown:
            return
        try:
            if bar is None:
                bar = cast(UUID, create_progress_artifact(percent, key, description))
            else:
                update_progress_artifact(bar, progress=percent)
            shown = percent
        except _AWAY as error:
            log.warning("the bar %s stays at %d %%: %s", key, max(shown, 0), error)

    return tell
