"""A small shop that keeps every rule, to be spoilt by the tests."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tasks.database import database_url as database_url_of
from tasks.database import migrate
from tasks.settings import Settings

Execute = Callable[[str, str], list[tuple[object, ...]]]
Tables = dict[str, pd.DataFrame]


def _shop() -> Tables:
    days = pd.date_range("2024-03-01", periods=40, freq="D", tz="UTC", unit="us")
    users, products = [f"u{n}" for n in range(20)], [f"p{n}" for n in range(20)]
    return {
        "users": pd.DataFrame(
            {"user_id": users, "personalisation_consent": [True, False] * 10, "attr_age": range(20, 40)}
        ),
        "products": pd.DataFrame(
            {
                "product_id": products,
                "title": "Tea, green",
                "list_price": 10.0,
                "unit_cost": 4.0,
                "attr_colour": "red",
            }
        ),
        "behaviour": pd.DataFrame(
            {
                "event_id": [f"e{n}" for n in range(40)],
                "user_id": users * 2,
                "occurred_at": days,
                "kind": "view",
                "product_id": products * 2,
                "dwell_seconds": 1.5,
            }
        ),
        "market": pd.DataFrame(
            {"product_id": products * 2, "observed_at": days, "competitor_price": 9.5, "index_weather": 0.25}
        ),
        "offers": pd.DataFrame(
            {
                "offer_id": [f"o{n}" for n in range(40)],
                "user_id": users * 2,
                "product_id": products * 2,
                "offered_at": days,
                "price": 9.0,
                "purchased": [0, 1] * 20,
                "context_channel": "web",
            }
        ),
    }


def _write(tables: Tables, folder: Path, suffix: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, frame in tables.items():
        path = folder / f"{name}.{suffix}"
        frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    return folder


@pytest.fixture
def shop() -> Tables:
    """The tables of a shop: 20 users, 20 products, 40 rows in each log."""
    return _shop()


@pytest.fixture(scope="session")
def write_tables() -> Callable[[Tables, Path, str], Path]:
    """Write tables into a folder as `parquet` or `csv`; returns the folder."""
    return _write


@pytest.fixture
def migrated(settings: Settings) -> None:
    """The settings' database with all migrations."""
    migrate(database_url_of(settings))


@pytest.fixture
def query(settings: Settings, execute: Execute) -> Callable[[str], list[tuple[object, ...]]]:
    """Run one statement on the settings' database; returns its rows."""
    return lambda statement: execute(database_url_of(settings), statement)
