import pickle

import pytest

from tasks.data.contract import ATTRIBUTES, REQUESTS, TABLES, ContractError, shown_rows


def test_the_tables_are_those_of_the_contract_each_after_those_it_refers_to():
    names = list(TABLES)
    assert sorted(names) == ["behaviour", "inventory", "market", "offers", "products", "users"]
    for table in TABLES.values():
        for column, parent in table.references:
            assert names.index(parent) < names.index(table.name)
            assert TABLES[parent].key == (column,)


@pytest.mark.parametrize("table", [*TABLES.values(), REQUESTS], ids=lambda table: table.name)
def test_keys_and_times_are_required_columns(table):
    required = {column.name for column in table.columns if column.required}
    assert required >= set(table.key)
    assert table.time is None or table.time in required


def test_requests_are_offers_without_what_happened():
    offers = {column.name for column in TABLES["offers"].columns}
    happened = {"price", "purchased", "randomised", "propensity", "weight"}
    renamed = {"offer_id": "request_id", "offered_at": "requested_at"}
    assert {column.name for column in REQUESTS.columns} == {renamed.get(name, name) for name in offers - happened}
    assert REQUESTS.prefixes == TABLES["offers"].prefixes


def test_a_prefix_alone_is_no_column():
    market = TABLES["market"]
    assert market.is_open("index_a")
    assert market.is_open("instrument_cost")
    assert not market.is_open("index_")
    assert not market.is_open("attr_a")
    assert market.stored_columns[-1] == ATTRIBUTES


@pytest.mark.parametrize(
    ("rows", "shown"), [([3], "row 3"), ([1, 2], "rows 1, 2"), (range(1, 9), "rows 1, 2, 3, 4, 5 and 3 more")]
)
def test_the_first_rows_are_shown(rows, shown):
    assert shown_rows(rows) == shown


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(ContractError("a.csv", "it is wrong", "price", [2])))
    assert str(error) == "a.csv, column price, row 2: it is wrong"
