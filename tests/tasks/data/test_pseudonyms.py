"""Users under pseudonyms: no table has an id as it came, and everybody who knows it is still answered."""

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
import pytest

from tasks.data.collect import collect
from tasks.data.pseudonyms import PseudonymError, begin_pseudonyms, stored_user_ids
from tasks.database import database_url, transaction
from tasks.settings import Settings
from tasks.sources import SourceParameters

Rows = Callable[[str], list[tuple[Any, ...]]]
LIVE_BOOK = """
INSERT INTO data.snapshots (snapshot_id, dataset, currency, row_counts, as_of, validation)
VALUES ('s', 'shop', 'EUR', '{}', now(), '{}');
INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency,
                           terms)
VALUES ('h', 'shop', 's', 'demand', 1, 'r', '{}', 'EUR', '{}');
INSERT INTO pricing.live (book_id) SELECT book_id FROM pricing.books
"""


@pytest.fixture
def source(
    migrated: None, shop: dict[str, pd.DataFrame], write_tables: Callable[..., Path], tmp_path: Path
) -> SourceParameters:
    renamed = {
        name: frame.assign(user_id="person " + frame["user_id"]) if "user_id" in frame else frame
        for name, frame in shop.items()
    }
    return SourceParameters(kind="files", path=write_tables(renamed, tmp_path / "shop", "parquet"), currency="EUR")


def every_row(query: Rows) -> list[str]:
    tables = query(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname IN ('data', 'pricing', 'incoming')"
    )
    return [str(row) for (table,) in tables for row in query(f"SELECT t::text FROM {table} AS t")]


def test_no_table_has_an_id_as_it_came(source: SourceParameters, query: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICING_PSEUDONYMS", "true")
    load = collect.fn(source)
    query(LIVE_BOOK)
    query("SELECT pricing.record_event('person u3', 'view', 'p1')")
    assert not any("person" in row for row in every_row(query))
    ((users, known),) = query(
        "SELECT count(DISTINCT user_id), count(*) FILTER (WHERE user_id = pricing.stored_user_id('person u3'))"
        f" FROM incoming.users_{load.load_id}"
    )
    assert (users, known) == (20, 1)
    assert query("SELECT user_id = pricing.stored_user_id('person u3') FROM pricing.events") == [(True,)]


def test_a_pseudonym_is_the_hmac_of_the_id(settings: Settings, migrated: None, query: Rows) -> None:
    begin_pseudonyms(database_url(settings))
    ((inner, stored),) = query("SELECT inner_key, pricing.stored_user_id('zoë') FROM pricing.pseudonym_key")
    key = bytes(byte ^ 0x36 for byte in bytes(inner)[:32])
    assert stored == hmac.new(key, "zoë".encode(), hashlib.sha256).hexdigest()


def test_without_the_setting_ids_are_stored_as_they_come(settings: Settings, source: SourceParameters) -> None:
    collect.fn(source)
    with transaction(database_url(settings)) as connection:
        assert stored_user_ids(connection, pd.Series(["ann", "bob", "ann"])).tolist() == ["ann", "bob", "ann"]


def test_pseudonyms_stay_and_begin_with_an_empty_database_alone(
    settings: Settings, source: SourceParameters, query: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect.fn(source)
    monkeypatch.setenv("PRICING_PSEUDONYMS", "true")
    with pytest.raises(PseudonymError, match="holds user ids as they came"):
        collect.fn(source)
    query("DELETE FROM data.loads")
    begin_pseudonyms(database_url(settings))
    before = query("SELECT pricing.stored_user_id('ann')")
    begin_pseudonyms(database_url(settings))
    monkeypatch.delenv("PRICING_PSEUDONYMS")
    collect.fn(source)
    assert query("SELECT pricing.stored_user_id('ann')") == before


def test_the_key_is_out_of_a_workers_reach(settings: Settings, migrated: None) -> None:
    begin_pseudonyms(database_url(settings))
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        transaction(database_url(settings)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET ROLE pricing_worker")
        cursor.execute("SELECT inner_key FROM pricing.pseudonym_key")
