"""A small shop that keeps every rule, to be spoilt by the tests, and one from its tables to live prices."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from psycopg2.extensions import connection as Connection

import tasks.books.publish
import tasks.quotes.explain
from models.demand.demand_curve import DemandCurve
from models.features.content import NO_ENCODERS
from models.features.decisions import Decisions
from models.pricing.policy import Exploration, Guardrails, PricingPolicy
from tasks.books.blocks import Block
from tasks.books.certify import Certificate, certify
from tasks.books.choose import choose_candidates
from tasks.books.price import PricedBook, price
from tasks.books.publish import publish
from tasks.books.score import score_candidates
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.data.snapshots import take_snapshot
from tasks.database import database_url as database_url_of
from tasks.database import migrate, read_frame, transaction
from tasks.registry.promote import Promotion
from tasks.registry.versions import RegisteredDemand
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


STEP = 0.08
POLICY = PricingPolicy(
    guardrails=Guardrails(
        minimum_margin=0.05, maximum_markup=0.0, maximum_discount=0.4, maximum_step=STEP, above_uniform=False
    ),
    exploration=Exploration(share=0.2, dither=0.01),
)


class DevotedDemand:
    """Who did more, and more with the product, is ready to pay less: prices that behaviour moves."""

    encoders = NO_ENCODERS

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        frame, known = decisions.frame, decisions.consent & personal
        own = -0.06 * frame["activity_events"].fillna(0) - 0.1 * frame["pair_product_events"].fillna(0)
        return DemandCurve(np.full(len(frame), 6.0), 0.8 + np.where(known, own, 0))


@dataclass(frozen=True)
class Registered(RegisteredDemand):
    def demand(self) -> Any:
        return DevotedDemand()


def scored(promotion: Promotion) -> list[Block]:
    """The blocks that the deploy flow prices."""
    return [score_candidates.fn(block, promotion) for block in choose_candidates.fn(promotion)]


@dataclass(frozen=True)
class BookShop:
    """A shop in the database, and the stations from its tables to live prices."""

    url: str
    policy: PricingPolicy = POLICY
    step: float = STEP
    demand: Any = field(default_factory=DevotedDemand)

    def priced(self, policy: PricingPolicy = POLICY) -> tuple[PricedBook, Promotion]:
        with transaction(self.url) as connection:
            snapshot = take_snapshot(connection, "shop", "EUR", {}, datetime(2026, 1, 1, tzinfo=UTC))
        promotion = Promotion(Registered(1, "run", "shop"), snapshot, policy, cold_start=False, gates=())
        return price.fn(promotion, scored(promotion)), promotion

    def published(self, policy: PricingPolicy = POLICY) -> tuple[PricedBook, Promotion, Certificate]:
        return self._published(*self.priced(policy))

    def published_from(self, earlier: Promotion, policy: PricingPolicy) -> None:
        """Publish another policy's book from the snapshot of an earlier one, whatever has come since."""
        promotion = replace(earlier, policy=policy)
        self._published(price.fn(promotion, scored(promotion)), promotion)

    def _published(self, priced: PricedBook, promotion: Promotion) -> tuple[PricedBook, Promotion, Certificate]:
        certificate = certify.fn(priced, promotion)
        publish.fn(priced, certificate)
        return priced, promotion, certificate

    def rows(self, statement: str) -> pd.DataFrame:
        with transaction(self.url) as connection:
            return read_frame(connection, statement)

    def run(self, statement: str) -> None:
        with transaction(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def quotes(self) -> pd.Series:
        """What every user would be quoted for every product now, by (user_id, product_id)."""
        found = self.rows(
            "SELECT users.user_id, products.product_id, quote.price::double precision, quote.source "
            "FROM data.users, data.products, pricing.quote(users.user_id, products.product_id) AS quote"
        )
        return found.set_index(["user_id", "product_id"])["price"]

    def add(self, table: str, frame: pd.DataFrame) -> None:
        with transaction(self.url) as connection:
            _fill(connection, {table: frame})


def _fill(connection: Connection, tables: Tables) -> None:
    for name, frame in tables.items():
        rows = conform(frame, TABLES[name], name, first_row=1)
        copy_frame(connection, ["data", name], rows.assign(dataset="shop"))


@pytest.fixture
def book_shop(settings: Settings, learnable_shop: Tables, monkeypatch: pytest.MonkeyPatch) -> BookShop:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    migrate(url)
    with transaction(url) as connection:
        _fill(connection, learnable_shop)
    monkeypatch.setattr(tasks.books.publish, "align_champion", lambda live: None)
    monkeypatch.setattr(tasks.quotes.explain, "version_of", lambda version: Registered(int(version), "run", "shop"))
    return BookShop(url)
