"""Where the blocks of a run are computed: in this process, or by worker processes, on as many machines as there are."""

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
from prefect import Task, unmapped
from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from models.errors import PricingError
from tasks.progress import progress_bar
from tasks.settings import Settings

Runner = Literal["local", "distributed"]
Block = TypeVar("Block")
Common = TypeVar("Common")
Result = TypeVar("Result")

BLOCKS_AT_ONCE = 2  # in one process: the database reads for one while another is scored
MOST_PROCESSES = 32  # of this machine: each has a connection to the database


class RunnerError(PricingError):
    """The worker processes cannot be had."""


def for_each_block(
    kind: Runner, work: Task[[Block, Common], Result], blocks: Sequence[Block], common: Common
) -> list[Result]:
    """Let Prefect's runner do a task for every block beside one common argument; returns what came of each, in order.

    The flow run shows how many are done.

    `distributed` means the Dask cluster whose scheduler PRICING_DASK_SCHEDULER names, whose workers see the same
    database, registry and PRICING_HOME as this process; without one, a worker process for each core of this machine.
    How the data are cut into blocks does not depend on it, and each block is scored by one thread wherever that is,
    since float32 sums differ in their last digits with the number of threads.

    Raises:
        RunnerError: prefect-dask is not installed.
    """
    if not blocks:
        return []
    block, shared = inspect.signature(work.fn).parameters
    with _runner(kind) as runner:
        return list(_told(work.name, runner.map(work, {block: blocks, shared: unmapped(common)})))


def _told(work: str, futures: Sequence[PrefectFuture[Result]]) -> Iterator[Result]:
    with progress_bar(work.replace("_", "-"), f"Blocks of {work.replace('_', ' ')}", len(futures)) as step:
        for future in futures:
            yield future.result()
            step()


@contextmanager
def _runner(kind: Runner) -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if kind == "local":
            threads_of_blocks: Any = ThreadPoolTaskRunner(max_workers=BLOCKS_AT_ONCE)
            with threads_of_blocks as local:
                yield local
        else:
            with temporary_settings({PREFECT_API_URL: _prefect_url()}), _dask(Settings()) as distributed:
                yield distributed
    finally:
        torch.set_num_threads(threads)


def _dask(settings: Settings) -> Any:
    quiet = {"DASK_LOGGING__DISTRIBUTED": "error"}
    os.environ.update(quiet)  # read when dask is imported
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError:
        raise RunnerError("runner = distributed needs prefect-dask: pip install '.[distributed]'") from None
    if settings.dask_scheduler is not None:
        return DaskTaskRunner(address=settings.dask_scheduler)
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    options = {"n_workers": processes, "threads_per_worker": 1, "dashboard_address": None, "env": quiet}
    return DaskTaskRunner(cluster_kwargs=options)


def _prefect_url() -> str:
    """The API of the server that this run reports to, so that no worker process starts one of its own."""
    with get_client(sync_client=True) as client:
        return str(client.api_url).rstrip("/")
