"""Features are those of the past: nothing that happens at or after a decision may move them."""

from collections.abc import Iterator
from uuid import uuid4

import pandas as pd
import pytest
from psycopg2.extensions import connection as Connection

import sql
from models.features.decisions import Decisions
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.database import migrate, transaction
from tasks.training.features import read_decisions


@pytest.fixture
def connection(module_database_url: str) -> Iterator[Connection]:
    """A transaction on a migrated database that leaves nothing behind."""
    migrate(module_database_url)
    with transaction(module_database_url) as connection:
        yield connection
        connection.rollback()


def fill(connection: Connection, tables: dict[str, pd.DataFrame]) -> None:
    for name, frame in tables.items():
        rows = conform(frame, TABLES[name], name, first_row=1)
        copy_frame(connection, ["data", name], rows.assign(dataset="shop"))


def extracted(connection: Connection) -> Decisions:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS decision")
        cursor.execute(sql.query("decisions_from_offers"), {"dataset": "shop", "first_user": "", "next_user": None})
    return read_decisions(connection, "shop")


def seen(decisions: Decisions, decision_id: str) -> tuple[pd.Series, pd.DataFrame]:
    """One decision's features, and the events it has seen."""
    row = decisions.frame.set_index("decision_id").loc[decision_id]
    events = decisions.events.iloc[row["events_start"] : row["events_end"]].reset_index(drop=True)
    return row.drop(["events_start", "events_end"]), events


def small_tables() -> dict[str, pd.DataFrame]:
    return {
        "users": pd.DataFrame(
            {"user_id": ["ann", "bob"], "attr_age": [30.0, 40.0], "personalisation_consent": [True, False]}
        ),
        "products": pd.DataFrame(
            {
                "product_id": ["tea", "cup"],
                "category": ["drinks", None],
                "list_price": [4.0, 9.0],
                "unit_cost": [2.0, 5.0],
                "attr_green": [True, None],
            }
        ),
        "behaviour": pd.DataFrame(
            {
                "event_id": ["1", "2", "3"],
                "user_id": ["ann", "ann", "bob"],
                "occurred_at": ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z", "2026-01-01T10:00:00Z"],
                "kind": ["purchase", "view", "view"],
                "product_id": ["tea", "cup", "tea"],
            }
        ),
        "market": pd.DataFrame(
            {
                "product_id": ["tea", "tea"],
                "observed_at": ["2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"],
                "competitor_price": [5.0, 3.0],
                "index_season": [0.1, 0.2],
                "instrument_freight": [1.0, 2.0],
            }
        ),
        "offers": pd.DataFrame(
            {
                "offer_id": ["first", "second", "third"],
                "user_id": ["ann", "ann", "bob"],
                "product_id": ["tea", "tea", "cup"],
                "offered_at": ["2026-01-02T10:00:00Z", "2026-01-04T10:00:00Z", "2026-01-02T10:00:00Z"],
                "price": [4.0, 3.5, 9.0],
                "purchased": [1, 0, 0],
                "list_price": [4.5, None, None],
                "context_device": ["phone", None, "desktop"],
            }
        ),
    }


def test_each_decision_sees_what_was_known_before_it(connection: Connection) -> None:
    fill(connection, small_tables())
    decisions = extracted(connection)
    first, events = seen(decisions, "first")
    assert events["kind"].tolist() == ["purchase"]  # the view at the very moment of the offer is not seen
    assert first["market_competitor_ratio"] == pytest.approx(5.0 / 4.5)
    assert first["list_price"] == 4.5  # as it stood at the offer
    assert first["pair_days_since_product"] == 1.0
    assert (first["market_index_season"], first["instrument_freight"], first["context_device"]) == (0.1, 1.0, "phone")
    assert (first["user_attr_age"], first["product_attr_green"], first["calendar_weekday"]) == (30.0, True, "5")
    second, events = seen(decisions, "second")
    assert events["kind"].tolist() == ["purchase", "view"]
    assert second["list_price"] == 4.0
    assert second["market_competitor_ratio"] == pytest.approx(3.0 / 4.0)
    third, _ = seen(decisions, "third")
    assert not third["consent"]
    assert pd.isna(third["pair_category_events"])  # a product without a category has none in common
    assert third["pair_product_events"] == 0


def test_what_comes_later_changes_nothing(connection: Connection, learnable_shop: dict[str, pd.DataFrame]) -> None:
    fill(connection, learnable_shop)
    before = extracted(connection)
    moment = learnable_shop["offers"]["offered_at"].quantile(0.6).floor("h")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM data.behaviour WHERE occurred_at >= %s", [moment])
        cursor.execute("UPDATE data.market SET competitor_price = 999 WHERE observed_at >= %s", [moment])
        cursor.execute("UPDATE data.offers SET price = 999, purchased = NOT purchased WHERE offered_at > %s", [moment])
    after = extracted(connection)
    early = before.frame.loc[before.frame["decided_at"] <= moment, "decision_id"]
    assert 0.5 < len(early) / len(before) < 0.7
    assert len(after.events) < len(before.events)
    for decision_id in early.sample(60, random_state=0):
        (features, events), (features_after, events_after) = seen(before, decision_id), seen(after, decision_id)
        pd.testing.assert_series_equal(features, features_after)
        pd.testing.assert_frame_equal(events, events_after)
    late = before.frame.loc[before.frame["decided_at"] > moment + pd.Timedelta("10D"), "decision_id"]
    assert any(not seen(before, decision_id)[0].equals(seen(after, decision_id)[0]) for decision_id in late.head(20)), (
        "the change must reach later decisions, or this test shows nothing"
    )


def test_what_the_platform_quoted_is_told_from_what_others_priced(connection: Connection) -> None:
    tables = small_tables()
    ids = [str(uuid4()) for _ in tables["offers"]["offer_id"]]
    fill(connection, tables | {"offers": tables["offers"].assign(offer_id=ids)})
    with connection.cursor() as cursor:
        for quote_id, source in zip(ids[:2], ("personal", "list"), strict=True):
            cursor.execute(
                "INSERT INTO pricing.quotes (quote_id, quoted_at, user_id, product_id, price, list_price,"
                " uniform_price, source, reasons, randomised)"
                " VALUES (%s, now(), 'ann', 'tea', 4, 4, 4, %s, '{}', false)",
                [quote_id, source],
            )
    quoted = extracted(connection).frame.set_index("decision_id")["quoted"]
    assert quoted[ids].tolist() == [True, False, False]


def test_protected_group_is_not_there(connection: Connection, learnable_shop: dict[str, pd.DataFrame]) -> None:
    fill(connection, learnable_shop)
    frame = extracted(connection).frame
    assert not [name for name in frame.columns if "group" in name]
    assert not frame.isin(["a", "b"]).any().any()
