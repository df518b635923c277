"""A real Postgres for the tests: one server a session, one database a test or module."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

# By several processes at once, each of them and what it starts has its share of the cores: more threads than cores wait
# for each other. Before anything that is imported makes its own.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(workers)))

import numpy as np
import pandas as pd
import psycopg2
import pytest
import torch
from sqlalchemy.engine import make_url

from tasks.servers.environment import QUIET
from tasks.servers.postgres import CONFIGURATION, ensure_running, stop
from tasks.settings import Settings

# A developer's own servers are not for tests, and Prefect reads its environment when it is imported.
for name in [name for name in os.environ if name.startswith(("PRICING_", "PREFECT_", "MLFLOW_"))]:
    del os.environ[name]
os.environ |= QUIET


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


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


@pytest.fixture(scope="session")
def learnable_shop() -> dict[str, pd.DataFrame]:
    """The contract's tables of a made-up shop: three months, 150 users, 12 products, demand that falls in price."""
    return made_up_shop(np.random.default_rng(7))


@pytest.fixture(scope="session")
def shop_folder(learnable_shop: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tables as Parquet files in one folder; to be read, not changed."""
    folder = tmp_path_factory.mktemp("shop")
    for table, frame in learnable_shop.items():
        frame.to_parquet(folder / f"{table}.parquet", index=False)
    return folder


def made_up_shop(random: np.random.Generator) -> dict[str, pd.DataFrame]:
    users, products, days = 150, 12, 90
    start = pd.Timestamp("2026-01-01", tz="UTC")
    user_ids = np.array([f"u{number:03d}" for number in range(users)])
    product_ids = np.array([f"p{number:02d}" for number in range(products)])
    list_price = np.round(random.uniform(5, 50, products), 2)
    unit_cost = np.round(0.5 * list_price, 2)
    eagerness = random.normal(0, 1, users)

    rows = 12_000
    user, product = random.integers(0, users, rows), random.integers(0, products, rows)
    day = np.sort(random.integers(0, days, rows))
    hour = random.integers(8, 20, rows)
    randomised = random.random(rows) < 0.3
    ratio = np.where(randomised, random.uniform(0.7, 1.1, rows), 1 - 0.1 * (day % 7 == 0))
    log_odds = -1 + eagerness[user] + 5 * (1 - ratio)
    bought = random.random(rows) < 1 / (1 + np.exp(-log_odds))
    offered_at = start + pd.to_timedelta(day * 24 + hour, unit="h")
    offers = pd.DataFrame(
        {
            "offer_id": [f"o{number}" for number in range(rows)],
            "user_id": user_ids[user],
            "product_id": product_ids[product],
            "offered_at": offered_at,
            "price": np.round(list_price[product] * ratio, 2),
            "purchased": bought.astype("int64"),
            "randomised": randomised.astype("int64"),
            "propensity": np.where(randomised, 2.5, np.nan),
            "context_device": np.where(random.random(rows) < 0.5, "phone", "desktop"),
        }
    )
    purchases = offers[bought].assign(
        kind="purchase", occurred_at=lambda frame: frame["offered_at"] + pd.Timedelta("5min")
    )
    views = offers.assign(kind="view", occurred_at=lambda frame: frame["offered_at"] - pd.Timedelta("5min"))
    behaviour = pd.concat([purchases, views])[["user_id", "occurred_at", "kind", "product_id"]]
    behaviour.insert(0, "event_id", [f"e{number}" for number in range(len(behaviour))])
    weeks = np.repeat(np.arange(days // 7), products)
    market = pd.DataFrame(
        {
            "product_id": np.tile(product_ids, days // 7),
            "observed_at": start + pd.to_timedelta(weeks * 7, unit="D"),
            "competitor_price": np.round(np.tile(list_price, days // 7) * random.uniform(0.9, 1.1, len(weeks)), 2),
        }
    )
    return {
        "users": pd.DataFrame(
            {
                "user_id": user_ids,
                "personalisation_consent": [number % 10 != 0 for number in range(users)],
                "protected_group": np.where(random.random(users) < 0.5, "a", "b"),
                "attr_age": random.integers(18, 80, users).astype("float64"),
            }
        ),
        "products": pd.DataFrame(
            {
                "product_id": product_ids,
                "title": [f"Product {number}" for number in range(products)],
                "category": [f"c{number % 3}" for number in range(products)],
                "list_price": list_price,
                "unit_cost": unit_cost,
            }
        ),
        "behaviour": behaviour,
        "market": market,
        "offers": offers,
    }
