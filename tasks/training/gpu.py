"""One training at a time on a GPU, across all runs that report to one Prefect server."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

LIMIT = "gpu"
LEASE_SECONDS = 60.0  # Prefect's least: so long after a run crashed its slot is free again


def best_device() -> torch.device:
    """The first GPU, or else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def gpu_slot(device: torch.device) -> Iterator[None]:
    """Hold the global concurrency limit `gpu` while a CUDA device is used; other devices need none.

    The limit is made with one slot where it does not exist; who has several GPUs raises it in Prefect. The lease is
    renewed while the run lives, and a training whose lease cannot be renewed goes on.
    """
    if device.type != "cuda":
        yield
        return
    _require_limit()
    with concurrency(LIMIT, strict=True, lease_duration=LEASE_SECONDS, raise_on_lease_renewal_failure=False):
        yield


def _require_limit() -> None:
    """Make the limit: asked for by a name that does not exist, Prefect would refuse."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(LIMIT)
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # another run made it meanwhile
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=1))
