from collections.abc import Iterator
from typing import get_args

import pandas as pd
import pytest
from psycopg2.extensions import connection as Connection

import sql
from models.simulation.domains import Domain
from models.simulation.marketplace import MarketplaceConfig, simulate
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.database import migrate, transaction
from tasks.sources.marketplace import SimulatedMarketplace
from tasks.training.features import read_decisions

SMALL = {"users": 40, "products": 12, "offers": 400, "days": 28}
# Sums of squares and logarithms differ in the last digits between the database and numpy.
CLOSE = {"rtol": 1e-9, "check_dtype": False, "check_names": False}


@pytest.fixture
def connection(module_database_url: str) -> Iterator[Connection]:
    migrate(module_database_url)
    with transaction(module_database_url) as connection:
        yield connection
        connection.rollback()


def source(domain: Domain, seed: int = 0) -> SimulatedMarketplace:
    return SimulatedMarketplace(MarketplaceConfig(domain, seed=seed, **SMALL))


@pytest.mark.parametrize("domain", get_args(Domain))
def test_every_table_conforms_to_the_contract(domain: Domain) -> None:
    shop = source(domain)
    for name in shop.tables():
        rows = pd.concat(shop.batches(name))
        assert len(conform(rows, TABLES[name], shop.origin(name))) == len(rows) > 0


def test_a_dataset_is_known_by_its_configuration() -> None:
    assert source("hotel").name == source("hotel").name
    assert source("hotel").fingerprint() != source("hotel", seed=1).fingerprint()
    assert source("hotel").name.startswith("marketplace-hotel-")


def test_the_database_extracts_the_features_that_the_simulation_computes(connection: Connection) -> None:
    shop = source("finance")
    for name in ("users", "products", "behaviour", "market", "offers"):
        rows = conform(pd.concat(shop.batches(name)), TABLES[name], name)
        copy_frame(connection, ["data", name], rows.assign(dataset="shop"))
    with connection.cursor() as cursor:
        cursor.execute(sql.query("decisions_from_offers"), {"dataset": "shop", "first_user": "", "next_user": None})
    extracted = read_decisions(connection, "shop").frame.set_index("decision_id").sort_index()
    simulated = simulate(shop.config).log.frame.set_index("decision_id").sort_index()
    features = [
        name
        for name in simulated
        if name.startswith(("activity_", "pair_", "user_", "product_", "market_", "calendar_", "instrument_"))
    ]
    assert set(features) <= set(extracted.columns)
    pd.testing.assert_frame_equal(extracted[features], simulated[features], **CLOSE)
