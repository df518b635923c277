"""Each rule of each suite fails the row that breaks it, that row alone, and by its own name."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pandas as pd
import pytest

from tasks.data.contract import TABLES
from tasks.data.suites import Suites

NOW = datetime(2024, 6, 1, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=2)
MONEY = {"list_price": 10.0, "unit_cost": 0.0, "floor": 5.0, "ceiling": 5.0}
GOOD = {
    "users": {"protected_group": "a"},
    "products": {**MONEY, "category": "tea", "brand": "b"},
    "behaviour": {"occurred_at": NOW, "kind": "view", "category": "tea", "dwell_seconds": 0.0},
    "market": {"observed_at": NOW, "competitor_price": 9.5},
    "inventory": {"capacity": 0.0, "sells_from": NOW, "sells_until": NOW},
    "offers": {**MONEY, "offered_at": NOW, "price": 9.0, "quantity": 1.0, "propensity": 0.5, "weight": 1.0},
    "prices": {
        "user_id": "u",
        "product_id": "p",
        "price": 9.0,
        "lower": 9.0,
        "upper": 9.0,
        "purchase_probability": 1.0,
        "elasticity": 0.0,
        "propensity": 0.1,
    },
    "uniform_prices": {"product_id": "p", "price": 9.0, "lower": 9.0, "upper": 9.0, "list_price": 10.0},
}
PRICES = {"prices", "uniform_prices"}  # what comes out; the others are tables of the contract
TIME = "is neither before 1970 nor more than a day ahead"
BROKEN = [
    ("users", {"protected_group": ""}, "protected_group has 1 to 100 characters"),
    *(
        (table, values, rule)
        for table in ("products", "offers")
        for values, rule in [
            ({"list_price": 0.0}, "list_price is above 0"),
            ({"unit_cost": -0.01}, "unit_cost is not below 0"),
            ({"floor": -1.0}, "floor is not below 0"),
            ({"ceiling": 0.0, "floor": None}, "ceiling is above 0"),
            ({"ceiling": 4.99}, "ceiling is not below floor"),
        ]
    ),
    ("products", {"category": ""}, "category has 1 to 200 characters"),
    ("products", {"brand": "b" * 201}, "brand has 1 to 200 characters"),
    ("behaviour", {"occurred_at": TOMORROW}, f"occurred_at {TIME}"),
    ("behaviour", {"occurred_at": datetime(1969, 12, 31, tzinfo=UTC)}, f"occurred_at {TIME}"),
    ("behaviour", {"kind": ""}, "kind has 1 to 100 characters"),
    ("behaviour", {"category": ""}, "category has 1 to 200 characters"),
    ("behaviour", {"dwell_seconds": -1.0}, "dwell_seconds is not below 0"),
    ("market", {"observed_at": TOMORROW}, f"observed_at {TIME}"),
    ("market", {"competitor_price": 0.0}, "competitor_price is above 0"),
    ("inventory", {"capacity": -1.0}, "capacity is not below 0"),
    ("inventory", {"sells_until": NOW - timedelta(seconds=1)}, "sells_until is not before sells_from"),
    ("offers", {"offered_at": TOMORROW}, f"offered_at {TIME}"),
    ("offers", {"price": 0.0}, "price is above 0"),
    ("offers", {"quantity": 0.0}, "quantity is above 0"),
    ("offers", {"propensity": 0.0}, "propensity is above 0"),
    ("offers", {"weight": 0.0}, "weight is above 0"),
    ("prices", {"user_id": None}, "user_id is there"),
    ("prices", {"product_id": None}, "product_id is there"),
    ("prices", {"lower": 9.01}, "price is not below lower"),
    ("prices", {"upper": 8.99}, "price is not above upper"),
    ("prices", {"price": -1.0, "lower": -1.0}, "price is not below 0"),
    ("prices", {"purchase_probability": 1.01}, "purchase_probability is between 0 and 1"),
    ("prices", {"elasticity": 0.01}, "elasticity is not above 0"),
    ("prices", {"propensity": 0.0}, "propensity is above 0"),
    ("uniform_prices", {"product_id": None}, "uniform product_id is there"),
    ("uniform_prices", {"lower": 9.01}, "uniform price is not below lower"),
    ("uniform_prices", {"upper": 8.99}, "uniform price is not above upper"),
    ("uniform_prices", {"price": -1.0, "lower": -1.0}, "uniform price is not below 0"),
    ("uniform_prices", {"list_price": 0.0}, "list price of a uniform price is above 0"),
]


@pytest.fixture(scope="module")
def latest():
    return NOW + timedelta(days=1)


def rows(suite, *changes):
    """Good rows, each with its changes, of the types in which a table is read back from the database."""
    frame = pd.DataFrame([GOOD[suite] | change for change in changes])
    for column, value in GOOD[suite].items():
        frame[column] = (
            pd.to_datetime(frame[column], utc=True) if value is NOW else frame[column].astype(type(value).__name__)
        )
    if suite in PRICES:
        frame["product_id"] = [None if pd.isna(product) else f"p{n}" for n, product in enumerate(frame["product_id"])]
    return frame


@pytest.mark.parametrize("suite", GOOD)
def test_each_rule_fails_the_row_that_breaks_it_and_no_other(suite, latest):
    wrong = [(values, rule) for table, values, rule in BROKEN if table == suite]
    frame = rows(suite, {}, *(values for values, _ in wrong))
    verdict = Suites(latest).run(suite, [frame])
    expected = [(row, rule) for row, (_, rule) in enumerate(wrong, start=1)]
    found = list(verdict.broken.itertuples(index=False, name=None))
    assert sorted(found) == sorted(expected)


def test_a_user_has_one_price_for_a_product(latest):
    frame = pd.concat([rows("prices", {}, {})] * 2, ignore_index=True)
    assert Suites(latest).run("prices", [frame]).rules["a user has one price for a product"] == 4


def test_a_product_has_one_uniform_price(latest):
    frame = pd.concat([rows("uniform_prices", {}, {})] * 2, ignore_index=True)
    assert Suites(latest).run("uniform_prices", [frame]).rules["a product has one uniform price"] == 4


@pytest.mark.parametrize("suite", sorted(set(GOOD) - PRICES))
def test_empty_values_of_optional_columns_break_no_rule(suite, latest):
    optional = {column.name for column in TABLES[suite].columns if not column.required}
    frame = rows(suite, {column: None for column in GOOD[suite] if column in optional})
    verdict = Suites(latest).run(suite, [frame])
    assert verdict.broken.empty


@pytest.mark.parametrize("suite", GOOD)
def test_every_rule_is_described_and_shown_to_fail(suite):
    module = import_module(f"expectations.{suite}")
    assert [name for name in vars(module) if name.isupper() and not name.startswith("_") and name != "UTC"] == ["SUITE"]
    described = [rule.description for rule in module.SUITE.expectations]
    shown = {rule for table, _, rule in BROKEN if table == suite}
    untestable = {"a user has one price for a product", "price is there"}
    untestable |= {"a product has one uniform price", "uniform price is there"}
    assert len(set(described)) == len(described)
    assert set(described) - untestable == shown
    assert 0.0 <= module.SUITE.meta["failing_share_limit"] <= 0.2


@pytest.mark.parametrize("suite", sorted(set(GOOD) - PRICES))
def test_rules_look_at_columns_of_the_contract(suite, latest):
    assert set(Suites(latest).columns(suite)) <= {column.name for column in TABLES[suite].columns}
