import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tasks.servers.claim import LOGS, ClaimedError, claim, holder
from tasks.servers.ports import free_port
from tasks.servers.processes import end, living, marked, with_descendants
from tasks.servers.supervision import ServerError
from tasks.servers.up import run_servers
from tasks.settings import Settings
from tests.waiting import until


def test_a_taken_port_is_said_before_anything_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICING_HOME", str(home))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for variable, name in (
            ("PRICING_PREFECT_PORT", "Prefect"),
            ("PRICING_MLFLOW_PORT", "MLflow"),
            ("PRICING_DATA_DOCS_PORT", "the Data Docs"),
        ):
            with monkeypatch.context() as patch:
                patch.setenv("PRICING_PREFECT_PORT", str(free_port(None)))
                patch.setenv(variable, str(port))
                with pytest.raises(ServerError, match=f"port {port}, meant for {name}, is taken.*set {variable}"):
                    run_servers(Settings())
    assert not (home / "postgres").exists()


def test_a_home_has_its_servers_only_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICING_HOME", str(home))
    with claim(home), pytest.raises(ClaimedError, match="already runs on"):
        run_servers(Settings())


def test_signals_mean_again_what_they_meant(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICING_HOME", str(home))
    before = signal.getsignal(signal.SIGINT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("PRICING_PREFECT_PORT", str(server.getsockname()[1]))
        with pytest.raises(ServerError):
            run_servers(Settings())
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_everything_comes_up_runs_a_flow_heals_and_ends(home: Path, tmp_path: Path, receiver: "Receiver") -> None:
    """From nothing to deployments, a flow run by the worker, a server killed, Ctrl-C, and nothing left."""
    ports = {f"PRICING_{name}_PORT": str(free_port(None)) for name in ("PREFECT", "MLFLOW", "DATA_DOCS")}
    write_tiny_deployment(tmp_path)
    path = f"{Path.cwd()}:{tmp_path}"
    environment = os.environ | ports | {"PRICING_HOME": str(home), "PYTHONPATH": path}
    environment["PRICING_ALERT_URL"] = f"{receiver.url}/a-secret"
    script = (
        "import logging, pathlib; logging.basicConfig(level=logging.INFO)\n"
        "from tasks.servers import up; from tasks.settings import Settings\n"
        "up.DEPLOYMENTS = pathlib.Path('prefect.yaml').absolute()\n"
        "up.run_servers(Settings())\n"
    )
    api = f"http://127.0.0.1:{ports['PRICING_PREFECT_PORT']}/api"
    mlflow, data_docs = (f"http://127.0.0.1:{ports[f'PRICING_{name}_PORT']}" for name in ("MLFLOW", "DATA_DOCS"))
    with (tmp_path / "said").open("w") as said:
        up = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=tmp_path, stderr=said)
    try:
        until(lambda: "is up" in (tmp_path / "said").read_text() or up.poll() is not None, 180)
        said_lines = (tmp_path / "said").read_text()
        assert "everything is up" in said_lines, said_lines
        found = holder(home)
        assert found is not None
        assert found.prefect_api_url == api

        finished = run_deployment(api, "tiny", "train")
        assert (finished["state_type"], finished["parameters"]) == (
            "COMPLETED",
            {"parameters": {"word": "hello"}},
        )
        of_run = {"logs": {"flow_run_id": {"any_": [finished["id"]]}}}
        until(lambda: f"hello in {tmp_path}" in str(call(f"{api}/logs/filter", of_run)), 30)
        schedules = call(f"{api}/deployments/name/tiny/train")["schedules"]
        assert [schedule["schedule"]["cron"] for schedule in schedules] == ["0 2 * * *"]

        until(lambda: runs_of(api, "deploy") == 1, 60)  # as a training that has ended asks for
        raise_alarm(api, "retrain", ["profit"])
        until(lambda: runs_of(api, "train") == 2, 60)  # as monitoring asks for
        until(lambda: "book 1, model version 2: profit" in str(receiver.bodies), 60)
        until(lambda: "- profit" in str(call(f"{api}/artifacts/filter", {})), 90)  # the page of `warn`
        assert runs_of(api, "rollback") == 0
        allow(api, "Roll back where prices do harm")
        raise_alarm(api, "roll_back", ["guardrails", "loss"])
        until(lambda: runs_of(api, "rollback") == 1, 60)
        until(lambda: len(receiver.bodies) == 2, 60)
        assert json.loads(receiver.bodies[1]) == {
            "text": "pricing: roll_back for book 1, model version 2: guardrails, loss"
        }
        assert not [log for log in (home / "logs").iterdir() if "a-secret" in log.read_text()]

        (home / "data_docs" / "index.html").write_text("the newest validation")
        with urllib.request.urlopen(f"{data_docs}/index.html", timeout=10) as page:
            assert page.read() == b"the newest validation"

        for process in marked(home / LOGS / "mlflow.log"):
            os.kill(process.pid, signal.SIGKILL)
        until(lambda: "MLflow ended" in (tmp_path / "said").read_text(), 30)
        until(lambda: answers(f"{mlflow}/health"), 60)

        family = with_descendants([up.pid])
        assert len(family) >= 4
        up.send_signal(signal.SIGINT)
        assert up.wait(40) == 0
        assert [process for process in family if living(process.pid)] == []
        assert not (home / "postgres" / "data" / "postmaster.pid").exists()
        assert holder(home) is None
    finally:
        end(with_descendants([up.pid]), patience=20)
        up.wait()


class Receiver(HTTPServer):
    """A web server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Posted)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Posted(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def raise_alarm(api: str, action: str, checks: list[str]) -> None:
    """Emit the event of an alarm."""
    now = datetime.now(UTC).isoformat()
    alarm = {"action": action, "checks": checks, "book_id": 1, "model_version": 2, "window_ended_at": now}
    event = {"event": f"pricing.monitor.{action}", "resource": {"prefect.resource.id": "pricing.book.1"}}
    call(f"{api}/events", [event | {"id": str(uuid4()), "occurred": now, "payload": alarm, "related": []}])


def allow(api: str, name: str) -> None:
    """Turn an automation on, as people do in the Prefect UI."""
    (automation,) = (one for one in call(f"{api}/automations/filter", {}) if one["name"] == name)
    data = json.dumps({"enabled": True}).encode()
    request = urllib.request.Request(
        f"{api}/automations/{automation['id']}", data, {"Content-Type": "application/json"}, method="PATCH"
    )
    urllib.request.urlopen(request, timeout=10).close()


def write_tiny_deployment(folder: Path) -> None:
    """The repository's own prefect.yaml, with a flow of no work in place of its flows."""
    (folder / "tiny_flow.py").write_text(
        "import logging, pathlib\nfrom prefect import flow\nfrom pydantic import BaseModel\n\n\n"
        "class Parameters(BaseModel):\n    word: str = 'hello'\n\n\n"
        "@flow\ndef tiny(parameters: Parameters) -> None:\n"
        "    logging.getLogger('pricing.tiny').info('%s in %s', parameters.word, pathlib.Path.cwd())\n"
    )
    text = (Path(__file__).parents[3] / "infra" / "prefect.yaml").read_text()
    for flow in ("train", "deploy", "rollback"):
        text = text.replace(f"flows.{flow}.{flow}", "tiny_flow.tiny")
    (folder / "prefect.yaml").write_text(text)


def run_deployment(api: str, flow: str, deployment: str) -> dict[str, object]:
    """Run a deployment to its end by the worker."""
    wanted = call(f"{api}/deployments/name/{flow}/{deployment}")["id"]
    run = call(f"{api}/deployments/{wanted}/create_flow_run", {"parameters": {"parameters": {"word": "hello"}}})["id"]
    until(lambda: call(f"{api}/flow_runs/{run}")["state_type"] in ("COMPLETED", "FAILED", "CRASHED"), 90)
    return dict(call(f"{api}/flow_runs/{run}"))


def runs_of(api: str, deployment: str) -> int:
    """How many runs of a deployment have begun; those that a schedule has planned have not."""
    begun = {"type": {"any_": ["PENDING", "RUNNING", "COMPLETED"]}}
    wanted = {"deployments": {"name": {"any_": [deployment]}}, "flow_runs": {"state": begun}}
    return len(call(f"{api}/flow_runs/filter", wanted))


def call(url: str, body: object | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read() or b"null")


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True
