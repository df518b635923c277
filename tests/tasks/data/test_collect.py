import numpy as np
import pandas as pd
import pytest

from tasks.data.collect import collect
from tasks.data.contract import ContractError
from tasks.data.validate import validate
from tasks.sources import SourceParameters

BOTH = pytest.mark.parametrize("suffix", ["csv", "parquet"])


pytestmark = pytest.mark.usefixtures("migrated")


def files(folder):
    return SourceParameters(kind="files", path=folder)


@BOTH
def test_rows_wait_with_their_origin_and_number(shop, write_tables, tmp_path, query, suffix):
    folder = write_tables(shop, tmp_path / "shop", suffix)
    load = collect.fn(files(folder))
    assert load.row_counts == {
        "users": 20,
        "products": 20,
        "behaviour": 40,
        "market": 40,
        "inventory": 0,
        "offers": 40,
    }
    assert (load.dataset, load.currency, load.unchanged) == (f"files:{folder}", "XXX", False)
    [row] = query(
        "SELECT offer_id, price, purchased, attributes ->> 'context_channel', origin, row_number"
        f" FROM incoming.offers_{load.load_id} WHERE row_number = 40"
    )
    assert row == ("o39", 9.0, True, "web", str(folder / f"offers.{suffix}"), 40)


def spoil(table, row, column, value):
    """Set one value, as text where the column could not hold it otherwise."""

    def change(shop):
        frame = shop[table].astype({column: object})
        frame.loc[row - 1, column] = value
        shop[table] = frame

    return change


def without(table, column):
    return lambda shop: shop.update({table: shop[table].drop(columns=column)})


def naive(shop):
    shop["offers"]["offered_at"] = shop["offers"]["offered_at"].dt.tz_localize(None)


def repeated(shop):
    shop["users"].loc[[4, 9], "user_id"] = "u2"


BAD_INPUT = {
    "missing column": (without("offers", "price"), "offers", "column price: the required column is missing"),
    "unlisted column": (
        lambda shop: shop["users"].insert(1, "age", 3),
        "users",
        "column 'age': not a column of users; known are",
    ),
    "naive time": (naive, "offers", "column offered_at, rows 1, 2, 3, 4, 5 and 35 more: "),
    "duplicate id": (repeated, "users", "column user_id, rows 3, 5, 10: 'u2' stands in more than one row"),
    "required null": (
        spoil("users", 7, "user_id", None),
        "users",
        "column user_id, row 7: a value is required",
    ),
    "not 0 or 1": (
        spoil("offers", 3, "purchased", 2),
        "offers",
        "column purchased, row 3: expected 0 or 1, found",
    ),
    "infinite": (
        spoil("market", 2, "competitor_price", np.inf),
        "market",
        "column competitor_price, row 2: expected a finite",
    ),
}


@BOTH
@pytest.mark.parametrize(("change", "table", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_refused_by_file_column_and_row(
    shop, write_tables, tmp_path, query, suffix, change, table, message
):
    change(shop)
    folder = write_tables(shop, tmp_path / "shop", suffix)
    with pytest.raises(ContractError) as refused:
        collect.fn(files(folder))
    assert str(refused.value).startswith(f"{folder / table}.{suffix}, {message}")
    assert query("SELECT count(*) FROM pg_tables WHERE schemaname = 'incoming'") == [(0,)]
    assert query("SELECT count(*) FROM data.loads") == [(0,)]


def test_a_wrong_type_is_refused(shop, write_tables, tmp_path):
    shop["offers"]["price"] = shop["offers"]["price"].astype(str)
    shop["offers"].loc[16, "price"] = "about 9"
    for suffix in ("csv", "parquet"):
        folder = write_tables(shop, tmp_path / suffix, suffix)
        with pytest.raises(ContractError, match=r"column price, row 17: expected a number, found 'about 9'"):
            collect.fn(files(folder))


def test_a_missing_table_is_named_and_inventory_may_be_missing(shop, write_tables, tmp_path):
    del shop["market"]
    folder = write_tables(shop, tmp_path / "shop", "csv")
    with pytest.raises(
        ContractError,
        match=r"the required table market is missing; found: behaviour, offers, products, users",
    ):
        collect.fn(files(folder))


def test_duplicates_are_found_across_blocks_and_in_keys_of_two_columns(shop, write_tables, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.sources.files.BLOCK_ROWS", 7)
    shop["market"].loc[30] = shop["market"].loc[2]
    folder = write_tables(shop, tmp_path / "shop", "parquet")
    with pytest.raises(
        ContractError,
        match=r"column product_id, observed_at, rows 3, 31: 'p2', 2024-03-03 00:00:00\+00:00 stands",
    ):
        collect.fn(files(folder))


def test_an_unchanged_source_is_not_read_again(shop, write_tables, tmp_path, monkeypatch):
    folder = write_tables(shop, tmp_path / "shop", "csv")
    first = collect.fn(files(folder))
    assert not collect.fn(files(folder)).unchanged, "nothing was merged yet"
    validate.fn(first)
    monkeypatch.setattr("tasks.sources.files.FilesSource.batches", lambda *_: pytest.fail("read again"))
    again = collect.fn(files(folder))
    assert again.unchanged
    assert again.load_id == first.load_id
    assert again.row_counts == first.row_counts


def test_hostile_values_come_through_as_they_are(shop, write_tables, tmp_path, query):
    hostile = [
        "'; DROP TABLE data.users; --",
        'say "hi"',
        "two\nlines",
        "tab\tand,comma",
        "😀",
        "\\N",
        "\\.",
        "\r\n",
        " ",
        "null",
    ]
    shop["users"].loc[range(len(hostile)), "user_id"] = hostile
    shop["users"]['attr_"); DROP TABLE data.users; --'] = "x"
    for suffix in ("csv", "parquet"):
        load = collect.fn(files(write_tables(shop, tmp_path / suffix, suffix)))
        stored = query(f"SELECT user_id FROM incoming.users_{load.load_id} ORDER BY row_number")
        assert [user for (user,) in stored][: len(hostile)] == hostile
        keys = query(f"SELECT DISTINCT jsonb_object_keys(attributes) FROM incoming.users_{load.load_id} ORDER BY 1")
        assert keys == [('attr_"); DROP TABLE data.users; --',), ("attr_age",)]


def test_empty_text_and_null_are_told_apart(shop, write_tables, tmp_path, query):
    shop["products"]["brand"] = pd.Series(["", None] * 10, dtype="str")
    load = collect.fn(files(write_tables(shop, tmp_path / "shop", "parquet")))
    stored = query(f"SELECT brand, count(*) FROM incoming.products_{load.load_id} GROUP BY 1 ORDER BY 1")
    assert stored == [("", 10), (None, 10)]


def test_an_empty_inventory_is_no_error(shop, write_tables, tmp_path):
    shop["inventory"] = pd.DataFrame({"pool_id": [], "product_id": [], "capacity": []})
    for suffix in ("csv", "parquet"):
        assert collect.fn(files(write_tables(shop, tmp_path / suffix, suffix))).row_counts["inventory"] == 0
