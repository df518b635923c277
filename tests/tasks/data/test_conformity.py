import json
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.conformity import conform
from tasks.data.contract import BEHAVIOUR, OFFERS, PRODUCTS, REQUESTS, TABLES, USERS, ContractError

ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | ids
)


def users(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"user_id": ["u1", "u2"], **columns})


def offers(**columns: object) -> pd.DataFrame:
    rows = {
        "offer_id": ["o1", "o2"],
        "user_id": ["u1", "u2"],
        "product_id": ["p1", "p2"],
        "offered_at": ["2024-01-01T12:00:00Z"] * 2,
        "price": [1.5, 2.0],
        "purchased": [0, 1],
    }
    return pd.DataFrame(rows | columns)


@pytest.mark.parametrize("table", [*TABLES.values(), REQUESTS], ids=lambda table: table.name)
@pytest.mark.parametrize("rows", [0, 1])
def test_a_table_with_only_its_required_columns_gets_all_columns_and_their_types(table, rows):
    values = {"text": "a", "number": 1, "boolean": True, "time": datetime(2024, 1, 1, tzinfo=UTC)}
    given = pd.DataFrame({column.name: [values[column.kind]] * rows for column in table.columns if column.required})
    frame = conform(given, table, "here")
    types = {
        "text": "str",
        "number": "float64",
        "boolean": "boolean",
        "time": "datetime64[us, UTC]",
        "image": "object",
    }
    assert tuple(frame.columns) == table.stored_columns
    for column in table.columns:
        assert frame[column.name].dtype == types[column.kind], column
    assert len(frame) == rows


@given(st.lists(ids, min_size=1, unique=True))
def test_any_text_without_nul_is_an_id_and_stays_as_it_is(given_ids):
    frame = conform(pd.DataFrame({"user_id": given_ids}), USERS, "here")
    assert frame["user_id"].tolist() == given_ids


@given(st.lists(scalars, min_size=1, max_size=8), st.lists(st.none() | ids, min_size=8, max_size=8), ids)
def test_open_columns_become_one_json_object_without_its_empty_values(values, texts, name):
    kinds = {type(value) for value in values if value is not None}
    column = pd.Series(values, dtype=object if len(kinds) == 1 else "str" if not kinds else object)
    if len(kinds) > 1:
        column = column.map(lambda value: None if value is None else str(value)).astype("str")
    rows = {
        "user_id": [f"u{n}" for n in range(len(values))],
        f"attr_{name}": column,
        "attr_": texts[: len(values)],
    }
    del rows["attr_"]
    frame = pd.DataFrame(rows | {"attr_second column": pd.Series(texts[: len(values)], dtype="str")})
    for row, stored in enumerate(conform(frame, USERS, "here")["attributes"]):
        expected = {"attr_second column": texts[row]}
        expected[f"attr_{name}"] = None if pd.isna(column[row]) else column[row]
        expected = {key: value for key, value in expected.items() if value is not None}
        assert (json.loads(stored) if isinstance(stored, str) else {}) == expected


def test_numbers_and_booleans_of_open_columns_stay_numbers_and_booleans():
    frame = users(attr_a=[1.5, None], attr_b=pd.array([3, None], "Int64"), attr_c=pd.array([None, True], "boolean"))
    assert [json.loads(row) for row in conform(frame, USERS, "here")["attributes"]] == [
        {"attr_a": 1.5, "attr_b": 3},
        {"attr_c": True},
    ]


@pytest.mark.parametrize(
    ("given_ids", "texts"),
    [
        ([1, 2], ["1", "2"]),
        ([1.0, 2.0], ["1", "2"]),
        ([Decimal("1.00"), Decimal("2")], ["1", "2"]),
        (["007", "1.0"], ["007", "1.0"]),
        (pd.Categorical(["a", "b"]), ["a", "b"]),
    ],
)
def test_whole_numbers_are_ids_too(given_ids, texts):
    assert conform(pd.DataFrame({"user_id": given_ids}), USERS, "here")["user_id"].tolist() == texts


@pytest.mark.parametrize(
    "given_values", [[0, 1], [0.0, 1.0], [False, True], ["0", "1"], ["false", "TRUE"], ["0.0", "1.0"]]
)
def test_purchased_is_zero_or_one_however_it_is_written(given_values):
    assert conform(offers(purchased=given_values), OFFERS, "here")["purchased"].tolist() == [False, True]


@pytest.mark.parametrize(
    "time",
    [
        "2024-01-01T12:00:00Z",
        "2024-01-01 14:00:00+02:00",
        "2024-01-01 14:00 +02",
        "2024-01-01T12:00:00.0000001Z",
    ],
)
def test_times_with_an_offset_become_utc(time):
    frame = conform(offers(offered_at=[time, None], offer_id=["o1", "o2"])[:1], OFFERS, "here")
    assert frame.loc[0, "offered_at"] == pd.Timestamp("2024-01-01T12:00:00Z")


def test_nanoseconds_are_cut_to_microseconds():
    times = pd.Series(pd.to_datetime(["2024-01-01T12:00:00.123456789Z"] * 2))
    frame = conform(offers(offered_at=times), OFFERS, "here")
    assert frame.loc[0, "offered_at"] == pd.Timestamp("2024-01-01T12:00:00.123456Z")


WRONG = {
    "comma": ({"price": ["1,5", "2"]}, "price", [10], "'1,5'"),
    "boolean price": ({"price": [True, False]}, "price", [10, 11], "expected a number"),
    "infinite": ({"price": [1.0, np.inf]}, "price", [11], "finite"),
    "infinite text": ({"price": ["1", "1e999"]}, "price", [11], "finite"),
    "no price": ({"price": [1.0, None]}, "price", [11], "required"),
    "text without number": ({"price": ["1", "nan"]}, "price", [11], "required"),
    "naive text": (
        {"offered_at": ["2024-01-01 12:00:00", "2024-01-01T12:00:00Z"]},
        "offered_at",
        [10],
        "offset",
    ),
    "naive timestamps": (
        {"offered_at": pd.to_datetime(["2024-01-01"] * 2)},
        "offered_at",
        [10, 11],
        "offset",
    ),
    "date text": ({"offered_at": ["2024-01-01T12:00:00Z", "2024-01-01"]}, "offered_at", [11], "date alone"),
    "dates": ({"offered_at": [date(2024, 1, 1)] * 2}, "offered_at", [10, 11], "dates alone"),
    "one naive of two": (
        {"offered_at": pd.Series([datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1)], dtype=object)},  # noqa: DTZ001
        "offered_at",
        [11],
        "offset",
    ),
    "no such month": (
        {"offered_at": ["2024-13-01T12:00:00Z", "2024-01-01T12:00:00Z"]},
        "offered_at",
        [10],
        "calendar",
    ),
    "epoch": ({"offered_at": [1_700_000_000, 1_700_000_001]}, "offered_at", [10, 11], "expected a time"),
    "far future": (
        {"offered_at": pd.Series(np.array(["2024", "20000"], "datetime64[s]")).dt.tz_localize("UTC")},
        "offered_at",
        [11],
        "years 1 to 9999",
    ),
    "two": ({"purchased": [0, 2]}, "purchased", [11], "0 or 1"),
    "yes": ({"purchased": ["yes", "0"]}, "purchased", [10], "0 or 1"),
    "half": ({"purchased": [0.5, 1.0]}, "purchased", [10], "0 or 1"),
    "neither": ({"purchased": [0, None]}, "purchased", [11], "required"),
    "fraction as id": ({"user_id": [1.0, 2.5]}, "user_id", [11], "whole number"),
    "decimal as id": ({"user_id": [Decimal("1.5"), Decimal("2")]}, "user_id", [10], "whole number"),
    "too large for a float": ({"user_id": [1.0, 2.0**60]}, "user_id", [11], "2^53"),
    "no id": ({"user_id": ["u1", None]}, "user_id", [11], "required"),
    "empty id": ({"user_id": ["", "u2"]}, "user_id", [10], "1 to 256"),
    "long id": ({"user_id": ["u1", "x" * 257]}, "user_id", [11], "1 to 256"),
    "nul in id": ({"user_id": ["u\0", "u2"]}, "user_id", [10], "NUL"),
    "nul in attribute": ({"context_note": ["fine", "\0"]}, "context_note", [11], "NUL"),
    "mixed types": ({"user_id": pd.Series(["u1", 7], dtype=object)}, "user_id", [11], "another type"),
    "list": (
        {"context_x": pd.Series([[1], [2]], dtype=object)},
        "context_x",
        [10, 11],
        "numbers, booleans or text",
    ),
    "infinite attribute": ({"context_x": [1.0, -np.inf]}, "context_x", [11], "finite"),
}


@pytest.mark.parametrize(("columns", "column", "rows", "problem"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named_with_file_column_and_row(columns, column, rows, problem):
    with pytest.raises(ContractError) as refused:
        conform(offers(**columns), OFFERS, "shop/offers.csv", first_row=10)
    assert (refused.value.origin, refused.value.column, list(refused.value.rows)) == (
        "shop/offers.csv",
        column,
        rows,
    )
    message = str(refused.value)
    assert message.startswith(f"shop/offers.csv, column {column}, row")
    assert problem in message


@pytest.mark.parametrize("name", ["surplus", "context_", "attr_colour", 'x"; DROP TABLE data.users; --', "context_\0"])
def test_a_column_that_is_not_listed_is_refused(name):
    with pytest.raises(ContractError, match="not a column of offers") as refused:
        conform(offers(**{name: 1}), OFFERS, "offers.csv")
    assert repr(name) in str(refused.value)


def test_a_hostile_name_under_an_open_prefix_is_only_a_key():
    name = 'attr_"; DROP TABLE data.users; --\n😀'
    stored = conform(users(**{name: ["a", "b"]}), USERS, "here")["attributes"]
    assert json.loads(stored[0]) == {name: "a"}


def test_a_missing_column_and_a_double_one_are_refused():
    with pytest.raises(ContractError, match=r"^offers\.csv, column price: the required column is missing"):
        conform(offers().drop(columns="price"), OFFERS, "offers.csv")
    with pytest.raises(ContractError, match="more than once"):
        conform(offers().rename(columns={"price": "user_id"}), OFFERS, "offers.csv")


def test_only_png_and_jpeg_are_images():
    rows = pd.DataFrame({"product_id": ["p1", "p2"], "list_price": 1.0, "unit_cost": 0.5})
    jpeg, gif = b"\xff\xd8\xff\xe0", b"GIF89a"
    assert conform(rows.assign(image=[jpeg, None]), PRODUCTS, "here")["image"].tolist() == [jpeg, None]
    with pytest.raises(ContractError, match=r"column image, row 2: not a PNG or JPEG"):
        conform(rows.assign(image=[jpeg, gif]), PRODUCTS, "here")
    with pytest.raises(ContractError, match="expected the bytes"):
        conform(rows.assign(image="tea.png"), PRODUCTS, "here")


def test_a_category_given_as_whole_numbers_is_text():
    rows = pd.DataFrame(
        {
            "event_id": [1],
            "user_id": [2],
            "occurred_at": ["2024-01-01T00:00:00Z"],
            "kind": ["view"],
            "category": [7],
        }
    )
    assert conform(rows, BEHAVIOUR, "here").loc[0, "category"] == "7"
