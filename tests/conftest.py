"""A real Postgres for the tests: one server a session, one database a test or module."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from tasks.environment import QUIET
from tasks.postgres import CONFIGURATION, ensure_running, stop
from tasks.settings import Settings

# A developer's own servers are not for tests, and Prefect reads its environment when it is imported.
for name in [name for name in os.environ if name.startswith(("PRICING_", "PREFECT_", "MLFLOW_"))]:
    del os.environ[name]
os.environ |= QUIET


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that the account which runs Postgres for root can enter; pytest's own it cannot."""
    folder = Path(tempfile.mkdtemp(prefix="pricing-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def hasty_server() -> Iterator[None]:
    """Servers made meanwhile do not wait for the disk: what they hold need not outlive the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGURATION, "fsync", "off")
        yield


@pytest.fixture(scope="session", autouse=True)
def prefect_home() -> Iterator[Path]:
    """Prefect's folder for the session, in place of the developer's."""
    with open_folder() as folder:
        os.environ["PREFECT_HOME"] = str(folder)
        yield folder
        del os.environ["PREFECT_HOME"]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The `pricing` database of the session's server; leave it empty: it is shared."""
    with open_folder() as home:
        with hasty_server():
            url = ensure_running(home)
        yield url
        stop(home)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of its own for tests of the server itself, which is stopped after the test."""
    with open_folder() as folder:
        yield folder / "home"
        stop(folder / "home")


@pytest.fixture(scope="session")
def stopped_home() -> Iterator[Path]:
    """A home whose server has run and been stopped; to be copied, not used."""
    with open_folder() as folder:
        with hasty_server():
            ensure_running(folder / "home")
        stop(folder / "home")
        yield folder / "home"


@pytest.fixture
def used_home(stopped_home: Path, home: Path) -> Path:
    """Such a home for one test, which saves making the database anew."""
    subprocess.run(["cp", "-a", stopped_home, home], check=True)
    return home


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database for one test."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_url: str) -> Iterator[str]:
    """The SQLAlchemy URL of a database for the tests of one module, empty at the first."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home and an empty database for one test; `Settings()` in the code under test gives the same."""
    monkeypatch.setenv("PRICING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRICING_DATABASE_URL", database_url)
    return Settings()


@pytest.fixture(scope="session")
def execute() -> Callable[[str, str], list[tuple[object, ...]]]:
    """Run one statement on the database of a SQLAlchemy URL, outside any transaction; returns its rows."""
    return _execute


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """A database of its own, dropped at the end with those that stand beside it."""
    database = f"test_{uuid4().hex}"
    _execute(server_url, f"CREATE DATABASE {database}")
    yield make_url(server_url).set(database=database).render_as_string(hide_password=False)
    for (name,) in _execute(server_url, f"SELECT datname FROM pg_database WHERE datname LIKE '{database}%'"):
        _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, statement: str) -> list[tuple[object, ...]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
