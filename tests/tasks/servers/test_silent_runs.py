"""A run that is killed is recorded as crashed, on a real Prefect server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from tasks.servers.silent_runs import crash_silent_runs

FLOW = """
import sys, time
from prefect import flow

@flow
def wait(seconds: float) -> None:
    print("running", flush=True)
    time.sleep(seconds)

wait(float(sys.argv[1]))
"""


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        client.create_automation(crash_silent_runs(timedelta(seconds=15)))
        time.sleep(3)  # the server takes up new automations once in a while
        yield client


def run(seconds: int) -> subprocess.Popen[bytes]:
    """A flow run of its own process and no deployment, as of `pricing run`, once it runs."""
    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    command = [sys.executable, "-c", FLOW, str(seconds)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    return process


@pytest.mark.slow
def test_a_killed_run_is_crashed_and_one_that_ended_stays_as_it_ended(client: SyncPrefectClient) -> None:
    with run(0) as ended:
        assert ended.wait(30) == 0
    with run(600) as killed:
        killed.send_signal(signal.SIGKILL)
    give_up = time.monotonic() + 90
    while sorted(str(run.state_name) for run in client.read_flow_runs()) != ["Completed", "Crashed"]:
        assert time.monotonic() < give_up, [run.state for run in client.read_flow_runs()]
        time.sleep(1)
