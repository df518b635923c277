import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from tasks.servers.dead_runs import close_dead_runs


class FakePrefect(BaseHTTPRequestHandler):
    """Answers as the Prefect server does for a pool with two unfinished runs, and keeps what it was asked."""

    asked: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body))
        answer = [{"id": "first"}, {"id": "second"}] if self.path.endswith("/filter") else {"status": "ACCEPT"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def prefect() -> Iterator[HTTPServer]:
    FakePrefect.asked = []
    with HTTPServer(("127.0.0.1", 0), FakePrefect) as server:
        thread = Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_unfinished_runs_of_this_pool_alone_are_recorded_as_crashed(prefect: HTTPServer) -> None:
    assert close_dead_runs(f"http://127.0.0.1:{prefect.server_port}/api", "pricing") == 2
    (_, wanted), *closed = FakePrefect.asked
    assert wanted["work_pools"] == {"name": {"any_": ["pricing"]}}
    assert set(wanted["flow_runs"]["state"]["type"]["any_"]) == {"PENDING", "RUNNING", "PAUSED", "CANCELLING"}
    assert [path for path, _ in closed] == [f"/api/flow_runs/{run}/set_state" for run in ("first", "second")]
    assert {body["state"]["type"] for _, body in closed} == {"CRASHED"}
