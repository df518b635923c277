"""A GPU is used by one training at a time, and a training that was killed gives it back."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.servers.environment import answers
from tasks.servers.ports import free_port
from tasks.training.gpu import LIMIT, gpu_slot

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def active_slots() -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(LIMIT).active_slots


def test_one_training_waits_for_the_other_and_a_failed_one_lets_go() -> None:
    order: list[str] = []

    def second() -> None:
        with gpu_slot(CUDA):
            order.append("second")

    @flow
    def training() -> None:
        waiting = threading.Thread(target=second)
        with pytest.raises(RuntimeError, match="out of memory"), gpu_slot(CUDA):
            assert active_slots() == 1
            waiting.start()
            time.sleep(1)
            order.append("first")
            raise RuntimeError("out of memory")
        waiting.join(60)
        with gpu_slot(CPU), concurrency(LIMIT, strict=True, timeout_seconds=10):
            order.append("a processor needs no slot")

    training()
    assert order == ["first", "second", "a processor needs no slot"]
    assert active_slots() == 0


KILLED = """
import os, signal
import torch
from prefect import flow
from tasks.servers.environment import answers
from tasks.servers.ports import free_port
from tasks.training.gpu import gpu_slot

@flow
def training():
    with gpu_slot(torch.device("cuda")):
        os.kill(os.getpid(), signal.SIGKILL)

training()
"""


@pytest.mark.slow
def test_a_killed_training_gives_its_slot_back(tmp_path: Path) -> None:
    with prefect_server(tmp_path) as url:
        script = tmp_path / "killed.py"
        script.write_text(KILLED)
        environment = os.environ | {"PREFECT_API_URL": url, "PYTHONPATH": str(Path.cwd())}
        died = subprocess.run([sys.executable, script], env=environment, check=False, timeout=120)
        assert died.returncode == -signal.SIGKILL
        with temporary_settings({PREFECT_API_URL: url}):
            assert active_slots() == 1
            started = time.monotonic()
            with gpu_slot(CUDA):
                waited = time.monotonic() - started
    assert waited > 1, "it was taken until the lease of the dead ran out"
    assert waited < 240


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """A server with all its services, which end the leases that nobody renews."""
    port = free_port(None)
    url = f"http://127.0.0.1:{port}/api"
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [Path(sys.executable).parent / "prefect", "server", "start", "--port", str(port)],
            env=os.environ | {"PREFECT_HOME": str(folder / "prefect")}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            for _ in range(240):
                if answers(f"{url}/health"):
                    break
                time.sleep(0.5)
            yield url
        finally:
            server.terminate()
            server.wait(60)
