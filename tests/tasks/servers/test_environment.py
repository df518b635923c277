from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from sqlalchemy.engine import make_url

from tasks.servers.claim import claim
from tasks.servers.environment import CompanionDatabaseError, environment
from tasks.settings import Settings

Execute = Callable[[str, str], list[tuple[object, ...]]]


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def prefect_api() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def test_prefect_and_mlflow_have_databases_beside_the_platforms_own(settings: Settings, execute: Execute) -> None:
    found = environment(settings)
    mlflow = found["MLFLOW_TRACKING_URI"]
    prefect = found["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert make_url(prefect).drivername == "postgresql+asyncpg"
    assert settings.database_url is not None
    own = make_url(settings.database_url.get_secret_value()).database
    assert execute(mlflow, "SELECT current_database()") == [(f"{own}_mlflow",)]
    assert execute(prefect, "SELECT current_database()") == [(f"{own}_prefect",)]
    assert environment(settings) == found, "a second call finds them"


def test_state_and_files_are_in_the_home(settings: Settings) -> None:
    found = environment(settings)
    assert found["PREFECT_HOME"] == str(settings.home / "prefect")
    assert found["_MLFLOW_SERVER_ARTIFACT_ROOT"] == (settings.home / "mlflow").as_uri()


@pytest.fixture(autouse=True)
def session_variables_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME")
    monkeypatch.delenv("DO_NOT_TRACK")


def test_what_the_user_has_set_wins(settings: Settings, monkeypatch: pytest.MonkeyPatch, execute: Execute) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    found = environment(Settings())
    ours = {
        "MLFLOW_TRACKING_URI",
        "PREFECT_API_URL",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL",
        "DO_NOT_TRACK",
    }
    assert not ours & set(found)
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    names = execute(url, f"SELECT datname FROM pg_database WHERE datname LIKE '{make_url(url).database}_%'")
    assert names == [], "no database is made that is not used"


def test_telemetry_is_off(settings: Settings) -> None:
    assert environment(settings)["DO_NOT_TRACK"] == "1"


def test_flow_runs_go_to_the_prefect_server_that_pricing_up_runs(settings: Settings, prefect_api: str) -> None:
    assert "PREFECT_API_URL" not in environment(settings)
    with claim(settings.home) as held:
        assert "PREFECT_API_URL" not in environment(settings), "it is still starting"
        held.announce(prefect_api)
        assert environment(settings)["PREFECT_API_URL"] == prefect_api
        held.announce(prefect_api.replace("/api", "/gone"))
        assert "PREFECT_API_URL" not in environment(settings), "it does not answer"
    assert "PREFECT_API_URL" not in environment(settings)


def test_the_parameters_of_libpq_are_said_in_the_words_of_asyncpg(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    monkeypatch.setenv("PRICING_DATABASE_URL", f"{url}?sslmode=prefer&application_name=pricing")
    prefect = make_url(environment(Settings())["PREFECT_SERVER_DATABASE_CONNECTION_URL"])
    assert prefect.query == {"ssl": "prefer"}


def test_a_role_that_may_not_make_databases_is_told_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, execute: Execute
) -> None:
    assert settings.database_url is not None
    url = make_url(settings.database_url.get_secret_value())
    plain = url.render_as_string(hide_password=False)
    execute(plain, "CREATE ROLE modest LOGIN PASSWORD 'secret'")
    try:
        modest = url.set(username="modest", password="secret").render_as_string(hide_password=False)
        monkeypatch.setenv("PRICING_DATABASE_URL", modest)
        with pytest.raises(CompanionDatabaseError, match=f'CREATE DATABASE "{url.database}_mlflow"') as caught:
            environment(Settings())
        assert "secret" not in str(caught.value)
    finally:
        execute(plain, "DROP ROLE modest")
