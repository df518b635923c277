"""A run that is cancelled or killed on a real Prefect server leaves nothing half done, and the next one succeeds."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

import tasks.servers.up
from tasks.database import migrate
from tasks.servers.deployments import FILE, deploy_all
from tasks.servers.environment import environment
from tasks.servers.ports import free_port
from tasks.servers.processes import Process, marked
from tasks.servers.supervision import Child, end_all
from tasks.settings import Settings
from tests.waiting import until

Execute = Callable[[str, str], list[tuple[object, ...]]]

# The flows as they are, but for a wait inside the fit and between the prices and the end of a book; and every three
# seconds, in place of minutes, they tell the server that they still need their deployment's slot.
HELD_FLOWS = """
import time
import prefect.concurrency._leases
import tasks.books.price
from flows.deploy import deploy
from flows.train import train
from tasks.settings import Settings
from tasks.training.checkpoints import FileCheckpoint


def held(act, place):
    def wait(*arguments):
        result = act(*arguments)
        hold = Settings().home / f"hold-{place}"
        if hold.exists():
            hold.with_name(f"reached-{place}").touch()
        while hold.exists():
            time.sleep(0.05)
        return result

    return wait


prefect.concurrency._leases._RENEWAL_FRACTION = 0.01
FileCheckpoint.save = held(FileCheckpoint.save, "fit")
tasks.books.price.write_prices = held(tasks.books.price.write_prices, "price")
"""
HASTE = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "1",
    "PREFECT_DEPLOYMENT_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
}
SMALL = {"demand": {"dimension": 8, "layers": 1, "history_length": 4}, "training": {"epochs": 2}}


@dataclass(frozen=True)
class Platform:
    """A Prefect server with a worker, and the two deployments."""

    settings: Settings
    client: SyncPrefectClient
    server: Child
    worker: Child

    def start(self, flow: str, parameters: dict[str, Any]) -> UUID:
        deployment = self.client.read_deployment_by_name(f"{flow}/{flow}")
        return self.client.create_flow_run_from_deployment(deployment.id, parameters={"parameters": parameters}).id

    def hold(self, place: str) -> None:
        self.settings.home.mkdir(exist_ok=True)
        (self.settings.home / f"hold-{place}").touch()

    def await_held(self, place: str) -> None:
        reached = self.settings.home / f"reached-{place}"
        until(reached.exists, 240)
        reached.unlink()

    def let_go(self, place: str) -> None:
        (self.settings.home / f"hold-{place}").unlink()

    def await_state(self, run: UUID, state: str) -> FlowRun:
        def settled() -> bool:
            return self.client.read_flow_run(run).state_name in (state, "Completed", "Failed", "Crashed", "Cancelled")

        until(settled, 240)
        found = self.client.read_flow_run(run)
        assert found.state_name == state, f"{found.state}, {self.worker.program.log.read_text()[-3000:]}"
        return found

    def cancel(self, run: UUID) -> None:
        self.client.set_flow_run_state(run, Cancelling())
        self.await_state(run, "Cancelled")
        until(lambda: self.flow_processes() == [], 30)

    def flow_processes(self) -> list[Process]:
        """The processes that the worker has started."""
        return [one for one in marked(self.worker.program.log) if one.pid != self.worker.process.pid]

    def unfinished(self) -> list[Path]:
        return [path for path in self.settings.home.rglob("*.unfinished") if path.exists()]


@pytest.fixture
def platform(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    assert settings.database_url is not None
    migrate(settings.database_url.get_secret_value())
    monkeypatch.setenv("PRICING_PREFECT_PORT", str(free_port(None)))
    settings = Settings()
    (tmp_path / "held_flows.py").write_text(HELD_FLOWS)
    variables = os.environ | environment(settings) | tasks.servers.up._addresses(settings) | HASTE
    variables["PYTHONPATH"] = f"{Path.cwd()}:{tmp_path}"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    children = [Child(tasks.servers.up._prefect(settings, variables))]
    try:
        children[0].await_ready(Event())
        with (
            temporary_settings({PREFECT_API_URL: variables["PREFECT_API_URL"]}),
            get_client(sync_client=True) as client,
        ):
            client.create_work_pool(WorkPoolCreate(name=tasks.servers.up.POOL, type="process"))
            deploy_all(held_deployments(tmp_path), tmp_path)
            children.append(Child(tasks.servers.up._worker(settings, variables)))
            children[1].await_ready(Event())
            yield Platform(settings, client, *children)
    finally:
        end_all(children[1:])
        end_all(children[:1])


def held_deployments(folder: Path) -> Path:
    """The repository's own deployments of train and deploy, of the held flows, which nothing but the test starts."""
    own = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    kept = [one for one in own["deployments"] if one["name"] in ("train", "deploy")]
    for one in kept:
        one |= {"entrypoint": f"held_flows.{one['name']}", "schedules": [], "triggers": []}
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(own | {"deployments": kept}, sort_keys=False), encoding="utf-8")
    return file


@pytest.mark.slow
def test_a_run_that_is_cancelled_or_killed_leaves_nothing_half_done(
    platform: Platform, shop_folder: Path, database_url: str, execute: Execute
) -> None:
    learning = {"source": {"kind": "files", "path": str(shop_folder), "currency": "EUR"}, "recipe": SMALL}
    platform.hold("fit")
    cancelled = platform.start("train", learning)
    platform.await_held("fit")
    platform.cancel(cancelled)
    assert platform.unfinished() == []
    platform.let_go("fit")
    platform.await_state(platform.start("train", learning), "Completed")
    assert list((platform.settings.home / "fits").iterdir()) == [], "it is registered"

    platform.hold("price")
    cancelled = platform.start("deploy", {})
    platform.await_held("price")
    platform.cancel(cancelled)
    assert platform.unfinished() == []
    assert execute(database_url, "SELECT count(*) FROM pricing.books") == [(0,)]

    killed = platform.start("deploy", {})
    platform.await_held("price")
    waiting = platform.start("deploy", {})
    until(lambda: platform.client.read_flow_run(waiting).state_name == "AwaitingConcurrencySlot", 60)
    for process in platform.flow_processes():
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    platform.let_go("price")
    platform.await_state(killed, "Crashed")
    platform.await_state(waiting, "Completed")
    assert execute(database_url, "SELECT count(*) FROM pricing.live") == [(1,)]


@pytest.mark.slow
def test_a_training_outlives_a_restart_of_the_prefect_server(platform: Platform, shop_folder: Path) -> None:
    learning = {"source": {"kind": "files", "path": str(shop_folder), "currency": "EUR"}, "recipe": SMALL}
    platform.hold("fit")
    training = platform.start("train", learning)
    platform.await_held("fit")
    platform.server.process.kill()
    platform.server.process.wait()
    time.sleep(30)
    platform.server.revive()
    platform.server.await_ready(Event())
    platform.let_go("fit")
    platform.await_state(training, "Completed")
