"""The ledger's proof: whatever is changed, removed or reordered behind its back is found, and nothing else is."""

from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.books.history import LedgerError, verify_ledger
from tasks.database import migrate, transaction

Statement = Callable[[Any, Any], str]
ENTRIES = 6
COLUMNS = {  # of the ledger, each with another value that its type allows
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "actor": "actor || ' '",
    "action": "CASE action WHEN 'publish' THEN 'rollback' ELSE 'publish' END",
    "book_id": "book_id % 3 + 1",
    "previous_hash": "reverse(previous_hash)",
    "hash": "reverse(hash)",
}
DETAILS = ["content_hash", "policy", "model_version", "snapshot_id", "certificate", "approver", "replaced_book_id"]

SHOP = """
INSERT INTO data.snapshots (snapshot_id, dataset, currency, row_counts, as_of, validation)
VALUES ('s', 'shop', 'EUR', '{}', now(), '{}');
"""
BOOK = """
INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency,
                           terms, state, published_at, expires_at, approver, priced_against, certificate)
VALUES ('h', 'shop', 's', 'demand', {book}, 'r', '{{}}', 'EUR', '{{}}', 'published', now(), now() + interval '1 day',
        'automatic', (SELECT book_id FROM pricing.live), '{{"guardrails": {{"prices": 3}}}}');
CREATE TABLE pricing.personal_prices_{book} (LIKE pricing.personal_prices INCLUDING ALL);
CREATE TABLE pricing.uniform_prices_{book} (LIKE pricing.uniform_prices INCLUDING ALL);
INSERT INTO pricing.uniform_prices_{book} VALUES ({book}, 'tea', 3.8, 3, 4, 4, '{{}}', 5, 0.9, 3.7, 2);
INSERT INTO pricing.personal_prices_{book}
SELECT {book}, user_id, 'tea', 3.5, 3, 4, 0.2, -2, '{{explored}}', true, 2.5, 5, 0.8, 3.7, NULL
FROM unnest(ARRAY['ann', 'bob', 'eve']) AS user_id;
ALTER TABLE pricing.personal_prices ATTACH PARTITION pricing.personal_prices_{book} FOR VALUES IN ({book});
ALTER TABLE pricing.uniform_prices ATTACH PARTITION pricing.uniform_prices_{book} FOR VALUES IN ({book});
UPDATE pricing.books SET content_hash = pricing.book_content_hash({book}) WHERE book_id = {book};
SELECT pricing.make_live({book}, 'publish');
"""


@pytest.fixture(scope="module")
def url(module_database_url: str) -> str:
    """Three books that went live in turn, and then three rollbacks among them: six entries."""
    migrate(module_database_url)
    with transaction(module_database_url) as connection, connection.cursor() as cursor:
        cursor.execute(SHOP)
        for book in (1, 2, 3):
            cursor.execute(BOOK.format(book=book))
        for book in (1, 2, 1):
            cursor.execute("SELECT pricing.make_live(%s, 'rollback')", [book])
    return module_database_url


def problem_after(url: str, tampering: str) -> str | None:
    """What verification says of a database that a superuser, triggers silenced, changed so; the change is undone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRICING_DATABASE_URL", url)
        with _tampered(url, tampering):
            try:
                verify_ledger()
            except LedgerError as error:
                return str(error)
    return None


class _tampered:  # noqa: N801
    """Saves the ledger, the books, what is live and its prices; changes them; and puts them back."""

    TABLES = (
        "pricing.ledger",
        "pricing.books",
        "pricing.live",
        "pricing.personal_prices_1",
        "pricing.uniform_prices_1",
    )

    def __init__(self, url: str, tampering: str) -> None:
        self.url, self.tampering = url, tampering

    def run(self, *statements: str) -> None:
        with transaction(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE pricing.ledger DISABLE TRIGGER ALL; SET LOCAL session_replication_role = replica"
            )
            for statement in statements:
                cursor.execute(statement)
            cursor.execute("ALTER TABLE pricing.ledger ENABLE ALWAYS TRIGGER ledger_is_append_only")

    def __enter__(self) -> None:
        self.run(
            "CREATE SCHEMA saved",
            *(f"CREATE TABLE saved.{table.split('.')[1]} AS TABLE {table}" for table in self.TABLES),
            self.tampering,
        )

    def __exit__(self, *_: object) -> None:
        restore = "INSERT INTO {0} OVERRIDING SYSTEM VALUE SELECT * FROM saved.{1}"
        self.run(
            *(f"DELETE FROM {table}" for table in self.TABLES),
            *(restore.format(table, table.split(".")[1]) for table in self.TABLES),
            "DROP SCHEMA saved CASCADE",
        )


def changed_column(entry: int, column: str) -> str:
    return f"UPDATE pricing.ledger SET {column} = {COLUMNS[column]} WHERE entry_id = {entry}"


def changed_detail(entry: int, detail: str) -> str:
    return f"""UPDATE pricing.ledger SET details = jsonb_set(details, '{{{detail}}}', '"x"') WHERE entry_id = {entry}"""


def removed(first: int, last: int) -> str:
    return f"DELETE FROM pricing.ledger WHERE entry_id BETWEEN {min(first, last)} AND {max(first, last)}"


def removed_and_renumbered(first: int, last: int) -> str:
    low, high = min(first, last), max(first, last)
    shift = (
        f"UPDATE pricing.ledger SET entry_id = -entry_id WHERE entry_id > {high};"
        f"UPDATE pricing.ledger SET entry_id = -entry_id - {high - low + 1} WHERE entry_id < 0"
    )
    return f"{removed(first, last)}; {shift}"


def swapped(one: int, other: int) -> str:
    return (
        f"UPDATE pricing.ledger SET entry_id = -entry_id WHERE entry_id IN ({one}, {other});"
        f"UPDATE pricing.ledger SET entry_id = CASE entry_id WHEN -{one} THEN {other} ELSE {one} END WHERE entry_id < 0"
    )


def rehashed(entry: int) -> str:
    """A change whose own hash is made to fit."""
    return (
        f"UPDATE pricing.ledger SET actor = 'x' WHERE entry_id = {entry};"
        f"UPDATE pricing.ledger SET hash = pricing.ledger_hash(ledger) WHERE entry_id = {entry}"
    )


NUMBER = st.integers(1, ENTRIES)
TAMPERINGS = st.one_of(
    st.builds(changed_column, NUMBER, st.sampled_from(sorted(COLUMNS))),
    st.builds(changed_detail, NUMBER, st.sampled_from(DETAILS)),
    st.builds(removed, NUMBER, NUMBER),
    st.builds(removed_and_renumbered, NUMBER, NUMBER),
    st.tuples(NUMBER, NUMBER).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: swapped(*pair)),
    st.builds(rehashed, NUMBER),
    st.sampled_from(
        [
            "DELETE FROM pricing.personal_prices_1 WHERE user_id = 'bob'",
            "UPDATE pricing.personal_prices_1 SET price = 3.4 WHERE user_id = 'eve'",
            "UPDATE pricing.personal_prices_1 SET valuation = 0.8000000000000001 WHERE user_id = 'ann'",
            "UPDATE pricing.personal_prices_1 SET sensitivity = NULL",
            "UPDATE pricing.personal_prices_1 SET user_id = CASE user_id WHEN 'ann' THEN 'ben' ELSE user_id END",
            "INSERT INTO pricing.personal_prices_1 SELECT 1, 'joe', 'tea', 3, 3, 4, 0.2, -2, '{}', false",
            "UPDATE pricing.uniform_prices_1 SET unit_cost = 1.9",
            "DELETE FROM pricing.uniform_prices_1",
            "DELETE FROM pricing.books WHERE book_id = 2",
            "DELETE FROM pricing.ledger; DELETE FROM pricing.live",
            "UPDATE pricing.live SET book_id = 2",
            "DELETE FROM pricing.live",
            "UPDATE pricing.books SET approver = 'boss' WHERE book_id = 3",
            "UPDATE pricing.books SET policy = '{\"satisfaction_weight\": 0.5}' WHERE book_id = 2",
            "UPDATE pricing.books SET model_version = 9 WHERE book_id = 1",
        ]
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tampering=TAMPERINGS)
def test_every_tampering_is_found(url: str, tampering: str) -> None:
    assert problem_after(url, tampering) is not None, tampering


def test_what_was_not_touched_verifies(url: str) -> None:
    assert problem_after(url, "SELECT 1") is None
    assert problem_after(url, "UPDATE pricing.books SET expires_at = now()") is None  # no part of what was recorded


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        (removed(6, 6), "a later entry, which is missing"),
        (removed(5, 6), "a later entry, which is missing"),  # although the same book is live then
        (removed(1, 6), "a later entry, which is missing"),
        ("DELETE FROM pricing.ledger; DELETE FROM pricing.live", "the ledger does not verify: none of its entries"),
        ("DELETE FROM pricing.books WHERE book_id = 3", "row 3 of pricing.books is not what it recorded"),
        (removed(2, 2), "entry 3 does not verify: an entry before it is missing"),
        ("UPDATE pricing.books SET approver = 'boss' WHERE book_id = 3", "row 3 of pricing.books"),
        ("UPDATE pricing.personal_prices_1 SET price = 3.4 WHERE user_id = 'eve'", "the prices of live book 1"),
    ],
)
def test_it_says_what_is_wrong(url: str, tampering: str, said: str) -> None:
    assert said in str(problem_after(url, tampering))


def test_not_even_the_owner_changes_an_entry(url: str) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match="append-only"), transaction(url) as connection:
        connection.cursor().execute("SET LOCAL session_replication_role = replica; DELETE FROM pricing.ledger")
