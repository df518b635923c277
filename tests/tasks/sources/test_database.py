import sqlite3
from contextlib import closing

import pandas as pd
import pytest
from sqlalchemy.engine import make_url

from tasks.copying import copy_frame
from tasks.data.collect import collect
from tasks.data.contract import ContractError
from tasks.data.validate import validate
from tasks.database import migrate, transaction
from tasks.settings import Settings
from tasks.sources import SourceError, SourceParameters, open_source
from tasks.sources.database import DatabaseSource

TYPES = {
    "int64": "bigint",
    "float64": "double precision",
    "bool": "boolean",
    "str": "text",
    "datetime64[us, UTC]": "timestamptz",
}


def fill_postgres(url, tables):
    """Make the tables, or add rows to them."""
    with transaction(url) as connection, connection.cursor() as cursor:
        for name, frame in tables.items():
            columns = ", ".join(f"{column} {TYPES[str(dtype)]}" for column, dtype in frame.dtypes.items())
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
            copy_frame(connection, ["public", name], frame)


def fill_sqlite(path, tables):
    with closing(sqlite3.connect(path)) as connection:
        for name, frame in tables.items():
            times = {column: frame[column].astype(str) for column in frame.select_dtypes("datetimetz")}
            frame.assign(**times).to_sql(name, connection, index=False)


@pytest.fixture
def platform(settings):
    migrate(settings.database_url.get_secret_value())
    return settings.database_url.get_secret_value()


@pytest.fixture
def shop_url(platform, execute):
    """An empty database beside the platform's, for the shop's own tables."""
    name = f"{make_url(platform).database}_shop"
    execute(platform, f"CREATE DATABASE {name}")
    return make_url(platform).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def take_in(monkeypatch):
    def run(url):
        monkeypatch.setenv("PRICING_SOURCE_URL", url)
        load = collect.fn(SourceParameters(kind="database", currency="EUR"))
        return load, validate.fn(load)

    return run


def test_sqlite_and_postgres_give_what_files_give(shop, shop_url, take_in, execute, platform, tmp_path, write_tables):
    fill_sqlite(tmp_path / "shop.sqlite", shop)
    fill_postgres(shop_url, shop)
    take_in(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    take_in(shop_url)
    validate.fn(collect.fn(SourceParameters(kind="files", path=write_tables(shop, tmp_path / "shop", "parquet"))))
    for name, columns in {
        "users": "user_id, personalisation_consent, attributes",
        "products": "product_id, title, list_price, unit_cost, attributes",
        "behaviour": "event_id, user_id, occurred_at, kind, product_id, dwell_seconds",
        "market": "product_id, observed_at, competitor_price, attributes",
        "offers": "offer_id, offered_at, price, purchased, attributes",
    }.items():
        content = f"md5(string_agg(({columns})::text, '|' ORDER BY {columns}))"
        contents = execute(platform, f"SELECT DISTINCT {content} FROM data.{name} GROUP BY dataset")
        assert len(contents) == 1, name


def test_views_are_tables_too(shop, shop_url, take_in, execute):
    fill_postgres(shop_url, {f"raw_{name}": frame for name, frame in shop.items()})
    for name in shop:
        kind = "MATERIALIZED VIEW" if name == "users" else "VIEW"
        execute(shop_url, f"CREATE {kind} {name} AS SELECT * FROM raw_{name}")
    _, snapshot = take_in(shop_url)
    assert snapshot.row_counts["offers"] == 40


def test_only_recent_rows_of_the_logs_are_read_again(shop, shop_url, take_in):
    fill_postgres(shop_url, shop)
    take_in(shop_url)
    newest = shop["offers"]["offered_at"].max()
    later = shop["offers"][:3].assign(offer_id=["late", "new", "newer"])
    later["offered_at"] = [newest - pd.Timedelta(hours=23), newest, newest + pd.Timedelta(days=1)]
    fill_postgres(shop_url, {"offers": later})
    load, snapshot = take_in(shop_url)
    assert not load.unchanged
    assert load.row_counts == {
        "users": 20,
        "products": 20,
        "behaviour": 2,
        "market": 2,
        "inventory": 0,
        "offers": 5,
    }
    assert snapshot.row_counts["offers"] == 43
    again, same = take_in(shop_url)
    assert again.row_counts["offers"] == 3, "the newest row, and the two a day older"
    assert same.snapshot_id == snapshot.snapshot_id


def test_a_database_read_piece_by_piece_is_the_same_snapshot_as_one_read_whole(
    shop, shop_url, take_in, execute, platform
):
    fill_postgres(shop_url, {name: frame[:20] for name, frame in shop.items()})
    take_in(shop_url)
    fill_postgres(shop_url, {name: frame[20:] for name, frame in shop.items()})
    _, grown = take_in(shop_url)
    execute(platform, "TRUNCATE data.users, data.products, data.behaviour, data.market, data.offers")
    _, whole = take_in(shop_url)
    assert grown.snapshot_id == whole.snapshot_id


def test_blocks_are_bounded_and_join(shop, shop_url, monkeypatch):
    monkeypatch.setattr("tasks.sources.database.BLOCK_ROWS", 7)
    fill_postgres(shop_url, shop)
    blocks = list(DatabaseSource.at(shop_url, "EUR").batches("offers"))
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 7, 5]
    assert sorted(pd.concat(blocks)["offer_id"]) == sorted(shop["offers"]["offer_id"])


def test_naive_times_wrong_types_and_unlisted_columns_are_refused(shop, shop_url, take_in, execute):
    fill_postgres(shop_url, shop)
    execute(shop_url, "ALTER TABLE offers ALTER offered_at TYPE timestamp")
    with pytest.raises(
        ContractError,
        match=r"^offers in postgresql://.*, column offered_at, rows 1, 2, 3, 4, 5 and 35 more: 2024-",
    ):
        take_in(shop_url)
    execute(
        shop_url,
        "ALTER TABLE offers ALTER offered_at TYPE timestamptz, ALTER price TYPE text USING 'about 9'",
    )
    with pytest.raises(ContractError, match=r"column price, rows 1, .*: expected a number, found 'about 9'"):
        take_in(shop_url)
    execute(
        shop_url,
        """ALTER TABLE offers ALTER price TYPE numeric USING 9, ADD "x%(y)s""; DROP TABLE offers; --" int""",
    )
    with pytest.raises(ContractError, match="not a column of offers"):
        take_in(shop_url)


def test_hostile_names_and_values_come_through(shop, shop_url, take_in, execute, platform):
    shop["users"].loc[0, "user_id"] = hostile = "'; DROP TABLE users; -- %s %(x)s 😀\n\""
    fill_postgres(shop_url, shop)
    name = 'attr_"%(a)s; DROP TABLE users; --'
    execute(shop_url, f'ALTER TABLE users ADD "{name.replace(chr(34), chr(34) * 2)}" int DEFAULT 7')
    take_in(shop_url)
    [(attributes,)] = execute(platform, "SELECT attributes FROM data.users ORDER BY user_id LIMIT 1")
    assert attributes[name] == 7
    assert (hostile,) in execute(platform, "SELECT user_id FROM data.users")


def test_a_missing_table_is_named(shop, shop_url, take_in):
    del shop["behaviour"]
    fill_postgres(shop_url, shop)
    with pytest.raises(ContractError, match=r"^behaviour in postgresql.*: the required table behaviour is missing"):
        take_in(shop_url)


def test_images_are_bytes(shop, shop_url, take_in, execute, platform):
    fill_postgres(shop_url, shop)
    execute(shop_url, r"ALTER TABLE products ADD image bytea DEFAULT '\xffd8ff00'")
    take_in(shop_url)
    assert execute(platform, r"SELECT count(*) FROM data.products WHERE image = '\xffd8ff00'") == [(20,)]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:s3cret@127.0.0.1:1/shop",
        "postgresql://reader:s3cret@127.0.0.1:1/shop?password=s3cret",
        "postgresql://reader:s3cret@nowhere:port/shop",
        "nosuchdatabase://reader:s3cret@host/shop",
        "reader:s3cret",
    ],
)
def test_a_password_is_never_shown(settings, monkeypatch, caplog, url):
    monkeypatch.setenv("PRICING_SOURCE_URL", url)
    with pytest.raises((SourceError, ContractError)) as refused:
        source = open_source(SourceParameters(kind="database"), Settings())
        assert "s3cret" not in source.name + repr(source) + source.origin("users")
        source.tables()
    shown = [str(refused.value), str(refused.value.__cause__), caplog.text]
    assert "s3cret" not in "".join(shown)
    assert "s3cret" not in repr(Settings())


def test_a_password_in_the_parameters_is_refused_unseen():
    with pytest.raises(ValueError, match="PRICING_SOURCE_URL") as refused:
        SourceParameters(kind="database", url="postgresql://reader:s3cret@host/shop")
    assert "s3cret" not in str(refused.value)


def test_the_same_database_is_the_same_dataset(shop_url):
    plain = make_url(shop_url).set(drivername="postgresql").render_as_string(hide_password=False)
    named = make_url(shop_url).set(drivername="postgresql+psycopg2", query={"connect_timeout": "3"})
    names = {DatabaseSource.at(url, "EUR").name for url in (plain, named.render_as_string(hide_password=False))}
    assert len(names) == 1
    assert names.pop().startswith("database:postgresql://")


def test_a_broken_connection_is_told_as_the_table_it_happened_in(shop, shop_url, execute, monkeypatch):
    monkeypatch.setattr("tasks.sources.database.BLOCK_ROWS", 7)
    fill_postgres(shop_url, shop)
    execute(shop_url, "ALTER TABLE offers RENAME TO real_offers")
    execute(shop_url, "CREATE VIEW offers AS SELECT *, (1 / (price - 9))::text AS context_x FROM real_offers")
    with pytest.raises(ContractError, match=r"offers in postgresql.*cannot be read: division by zero"):
        list(DatabaseSource.at(shop_url, "EUR").batches("offers"))
