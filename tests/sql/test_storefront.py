"""The functions a storefront calls, the ledger behind them, and what the storefront's role may not do."""

from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import psycopg2
import pytest
from great_expectations.expectations import ExpectColumnValueLengthsToBeBetween
from psycopg2.extensions import connection as Connection

from expectations.behaviour import SUITE
from tasks.books.history import LedgerError, verify_ledger
from tasks.data.conformity import ID_LENGTH
from tasks.data.pseudonyms import begin_pseudonyms
from tasks.database import migrate, transaction
from tests.sql.tea_shop import BOOKS, open_shop, publish, rows


@pytest.fixture
def url(database_url: str) -> str:
    open_shop(database_url)
    return database_url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with transaction(url) as connection:
        yield connection


def quote(connection: Connection, user: str, product: str) -> tuple[object, ...]:
    return rows(
        connection, "SELECT price, uniform_price, source, reasons, disclosure FROM pricing.quote(%s, %s)", user, product
    )[0]


def test_personal_then_uniform_then_list(connection: Connection) -> None:
    assert quote(connection, "ann", "tea") == (Decimal("3.5"), Decimal("3.8"), "personal", ["explored"], "personalised")
    assert quote(connection, "eve", "tea") == (Decimal("3.8"), Decimal("3.8"), "uniform", ["no_personal_price"], None)
    assert quote(connection, "ann", "cup") == (Decimal("9"), Decimal("9"), "list", ["product_not_in_book"], None)


@pytest.mark.parametrize("user", ["bob", "stranger"])
def test_without_consent_the_price_is_uniform(connection: Connection, user: str) -> None:
    assert quote(connection, user, "tea")[:4] == (Decimal("3.8"), Decimal("3.8"), "uniform", ["no_consent"])


def test_consent_withdrawn_after_publication_counts_at_once(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE data.users SET personalisation_consent = false WHERE user_id = 'ann'")
    assert quote(connection, "ann", "tea")[2] == "uniform"
    assert rows(connection, "SELECT FROM pricing.live_prices") == []


def test_an_expired_book_gives_list_prices(connection: Connection) -> None:
    publish(connection, "3.4", lifetime="-1 second")
    assert quote(connection, "ann", "tea")[:4] == (Decimal("4"), Decimal("4"), "list", ["book_expired"])


@pytest.mark.parametrize(
    ("limits", "price", "reasons"),
    [
        ("ceiling = 3.2", "3.2", ["book_expired", "ceiling"]),
        ("floor = 4.5", "4.5", ["book_expired", "floor"]),
        ("floor = 3, ceiling = 5", "4", ["book_expired"]),
        ("unit_cost = 6", "4", ["book_expired"]),
    ],
)
def test_a_list_price_keeps_the_limits_of_its_product(
    connection: Connection, limits: str, price: str, reasons: list[str]
) -> None:
    publish(connection, "3.4", lifetime="-1 second")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE data.products SET {limits} WHERE product_id = 'tea'")
    assert quote(connection, "ann", "tea")[:4] == (Decimal(price), Decimal(price), "list", reasons)
    assert rows(connection, "SELECT list_price FROM pricing.quotes") == [(Decimal("4"),)]


def test_what_is_sold_at_its_list_price_counts_against_its_stock(connection: Connection) -> None:
    book = publish(connection, "3.4", lifetime="-1 second")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pricing.uniform_prices SET pool_id = 'leaves' WHERE book_id = %s", [book])
        cursor.execute("SELECT quote_id FROM pricing.quote('ann', 'tea') WHERE source = 'list'")
        cursor.execute("SELECT pricing.record_outcome(%s, true, 3)", cursor.fetchone())
        cursor.execute("SELECT pricing.units_sold('shop', 'leaves')")
        assert cursor.fetchone() == (3,)


@pytest.mark.parametrize("product", ["nothing", "car"])
def test_an_unknown_product_is_an_error(connection: Connection, product: str) -> None:
    with pytest.raises(psycopg2.errors.NoDataFound, match=f"product {product} is unknown"):
        quote(connection, "ann", product)


@pytest.mark.parametrize("user", ["", "x" * 257, "x" * 1_000_000, None])
def test_ids_that_cannot_be_are_refused(connection: Connection, user: str) -> None:
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="user_id must be"):
        quote(connection, user, "tea")


def longest(column: str) -> int:
    """How long a text of `behaviour` may be that collection takes."""
    (rule,) = (
        rule for rule in SUITE.expectations
        if rule.column == column and isinstance(rule, ExpectColumnValueLengthsToBeBetween)
    )  # fmt: skip
    return int(rule.max_value)


@pytest.mark.parametrize(
    ("argument", "size"),
    [
        ("user_id", ID_LENGTH),
        ("product_id", ID_LENGTH),
        ("kind", longest("kind")),
        ("category", longest("category")),
    ],
)
def test_events_are_taken_as_long_as_collection_takes_them(connection: Connection, argument: str, size: int) -> None:
    record = "SELECT pricing.record_event(user_id => %s, kind => %s, product_id => %s, category => %s)"
    given = {"user_id": "ann", "kind": "view", "product_id": "tea", "category": "drinks"}
    rows(connection, record, *(given | {argument: "é" * size}).values())
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match=f"{argument} must be a text of 1 to {size} char"):
        rows(connection, record, *(given | {argument: "é" * (size + 1)}).values())


def test_hostile_ids_are_only_text(connection: Connection) -> None:
    assert quote(connection, "'; DROP TABLE pricing.books; --", "tea")[2] == "uniform"
    assert rows(connection, "SELECT count(*) FROM pricing.books") == [(1,)]


def test_every_quote_is_logged_with_what_it_could_have_been(connection: Connection) -> None:
    quote(connection, "ann", "tea")
    logged = "SELECT user_id, price, lower, upper, randomised, propensity, model_version FROM pricing.quotes"
    assert rows(connection, logged) == [("ann", Decimal("3.5"), Decimal("3"), Decimal("4"), True, 2.5, 1)]


def test_of_a_price_that_was_withdrawn_a_quote_logs_the_reason_alone(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO pricing.repriced_personal (book_id, user_id, product_id, reasons, randomised, propensity,"
            " sensitivity, live_propensity, decided_at)"
            " VALUES (1, 'ann', 'tea', '{sold_out}', true, 2.5, 5, 2.5, now())"
        )
    reasons = ["no_personal_price", "sold_out"]
    assert quote(connection, "ann", "tea") == (Decimal("3.8"), Decimal("3.8"), "uniform", reasons, None)
    logged = "SELECT reasons, lower, randomised, propensity, sensitivity FROM pricing.quotes"
    assert rows(connection, logged) == [(reasons, Decimal("3"), False, None, None)]


def test_an_outcome_is_recorded_once(connection: Connection) -> None:
    ((quote_id,),) = rows(connection, "SELECT quote_id FROM pricing.quote('ann', 'tea')")
    for _ in range(2):
        rows(connection, "SELECT pricing.record_outcome(%s, true, 2)", quote_id)
    assert rows(connection, "SELECT purchased, quantity FROM pricing.outcomes") == [(True, 2.0)]
    with pytest.raises(psycopg2.errors.UniqueViolation, match="another outcome"):
        rows(connection, "SELECT pricing.record_outcome(%s, false, 1)", quote_id)


def test_an_outcome_of_an_unknown_quote_is_refused(connection: Connection) -> None:
    with pytest.raises(psycopg2.errors.NoDataFound, match="is unknown"):
        rows(connection, "SELECT pricing.record_outcome(%s, true)", str(uuid4()))


def test_an_event_told_twice_counts_once(connection: Connection) -> None:
    publish(connection, "3.5")
    tell = f"SELECT pricing.record_event(%s, %s, 'tea', event_id => '{uuid4()}') AS event_id"
    (first,), (again,) = rows(connection, tell, "ann", "view"), rows(connection, tell, "ann", "view")
    assert first == again
    assert len(rows(connection, "SELECT FROM pricing.events")) == 1
    assert len(rows(connection, "SELECT FROM pricing.reprice_queue WHERE user_id = 'ann'")) == 1
    for other in (("eve", "view"), ("ann", "cart")):
        with pytest.raises(psycopg2.errors.UniqueViolation, match="is another one already"):
            rows(connection, "SAVEPOINT s; " + tell, *other)
        rows(connection, "ROLLBACK TO s; SELECT 1")


def test_an_event_is_recorded(connection: Connection) -> None:
    rows(connection, "SELECT pricing.record_event('ann', 'view', 'tea', dwell_seconds => 3)")
    assert rows(connection, "SELECT user_id, kind, product_id, dwell_seconds FROM pricing.events") == [
        ("ann", "view", "tea", 3.0)
    ]
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="dwell_seconds"):
        rows(connection, "SELECT pricing.record_event('ann', 'view', dwell_seconds => -1)")


def test_before_any_book_is_live_no_event_is_taken(database_url: str) -> None:
    migrate(database_url)
    refused = pytest.raises(psycopg2.errors.NoDataFound, match="no price book is live yet")
    with transaction(database_url) as connection, refused:
        rows(connection, "SELECT pricing.record_event('ann', 'view')")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM pricing.personal_prices",
        "SELECT * FROM pricing.live_prices",
        "SELECT * FROM data.users",
        "SELECT * FROM pricing.ledger",
        "UPDATE pricing.live SET book_id = 1",
        "SELECT pricing.make_live(1, 'publish')",
        "SELECT pricing.book_content_hash(1)",
        "COPY pricing.quotes TO STDOUT",
        "CREATE TABLE pricing.mine (a text)",
    ],
)
def test_the_storefront_role_may_call_three_functions_and_nothing_else(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE pricing_storefront")
    assert quote(connection, "ann", "tea")[2] == "personal"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows(connection, statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE pricing.ledger SET actor = 'me'", "DELETE FROM pricing.ledger", "TRUNCATE pricing.ledger"]
)
def test_the_ledger_is_append_only(connection: Connection, statement: str) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match="append-only"):
        rows(connection, statement)


TAMPERING = {
    "its content was changed": "UPDATE pricing.ledger SET actor = 'somebody' WHERE entry_id = 1",
    "an entry before it is missing": "DELETE FROM pricing.ledger WHERE entry_id = 1",
    "the prices of live book": "UPDATE pricing.personal_prices SET price = 3.1 WHERE user_id = 'ann'",
}


@pytest.mark.parametrize(("found", "tampering"), TAMPERING.items(), ids=list(TAMPERING))
def test_tampering_is_found(url: str, monkeypatch: pytest.MonkeyPatch, found: str, tampering: str) -> None:
    monkeypatch.setenv("PRICING_DATABASE_URL", url)
    with transaction(url) as connection:
        second = publish(connection, "3.6")
    assert verify_ledger().entries == 2
    assert verify_ledger().live_book_id == second
    with transaction(url) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE pricing.ledger DISABLE TRIGGER ledger_is_append_only")
        cursor.execute(tampering)
    with pytest.raises(LedgerError, match=found):
        verify_ledger()


def test_a_book_goes_live_whole_or_not_at_all(url: str) -> None:
    with transaction(url) as reader:
        before = quote(reader, "ann", "tea")
        with pytest.raises(psycopg2.errors.DivisionByZero), transaction(url) as writer:
            publish(writer, "3.2")
            assert quote(writer, "ann", "tea")[0] == Decimal("3.2")
            assert quote(reader, "ann", "tea") == before  # a reader is not held up and sees the old book
            rows(writer, "SELECT 1 / 0")
        assert quote(reader, "ann", "tea") == before
        assert rows(reader, "SELECT count(*) FROM pricing.ledger") == [(1,)]


def test_a_book_that_is_live_or_dropped_cannot_go_live(connection: Connection) -> None:
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="live already"):
        rows(connection, "SELECT pricing.make_live(1, 'rollback')")


def test_lineage_leads_from_a_price_to_its_data(connection: Connection) -> None:
    lineage = rows(
        connection,
        "SELECT model_version, run_id, snapshot_id, dataset FROM pricing.price_lineage WHERE user_id = 'ann'",
    )
    assert lineage == [(1, "r", "s", "shop")]


def test_a_user_under_a_pseudonym_is_quoted_and_forgotten_by_the_id_they_came_with(database_url: str) -> None:
    migrate(database_url)
    begin_pseudonyms(database_url)
    with transaction(database_url) as connection:
        with connection.cursor() as cursor:
            cursor.execute(BOOKS)
            cursor.execute("UPDATE data.users SET user_id = pricing.stored_user_id(user_id)")
        publish(connection, "3.5")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pricing.personal_prices SET user_id = pricing.stored_user_id(user_id)")
            cursor.execute("SELECT price, source FROM pricing.quote('ann', 'tea')")
            assert cursor.fetchone() == (Decimal("3.5"), "personal")
            cursor.execute("SELECT count(*) FROM pricing.quotes WHERE user_id = 'ann'")
            assert cursor.fetchone() == (0,)
            cursor.execute("SELECT sum(row_count) FROM pricing.forget_user('ann')")
            assert cursor.fetchone() == (3,)
