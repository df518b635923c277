"""A storefront whose quotes do not wait for the disk: what a crash takes, and what it tells of it afterwards."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url

import sql
from tasks.data.pseudonyms import begin_pseudonyms
from tasks.database import migrate, read_rows, transaction
from tasks.servers.postgres import ensure_running
from tests.crash import cut_power
from tests.sql.tea_shop import open_shop, rows
from tests.waiting import until

QUOTE = "SELECT quote_id::text FROM pricing.quote('ann', 'tea')"
BY_ID = "SELECT pricing.record_outcome(%s, true)"
IN_FULL = "SELECT pricing.record_outcome(%s, %s, 1, %s, %s, %s)"
LOGGED = (
    "SELECT user_id, product_id, price, list_price, uniform_price, source, reasons, randomised, propensity, lower,"
    " book_id, model_version FROM pricing.quotes"
)
AS_TOLD = (
    "ann",
    "tea",
    Decimal("3.5"),
    Decimal("4"),
    Decimal("3.8"),
    "told",
    ["exposure_lost"],
    False,
    None,
    None,
    1,
    1,
)


@pytest.fixture
def url(database_url: str) -> str:
    open_shop(database_url)
    return database_url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with transaction(url) as connection:
        yield connection


@contextmanager
def impatient(url: str) -> Iterator[Connection]:
    """A connection that does not wait for the disk, as a storefront's may be; every statement is a transaction."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain, options="-c synchronous_commit=off")) as connection:
        connection.autocommit = True
        yield connection


def hold_the_disk(connection: Connection) -> None:
    """From now on nothing goes to the disk but what a commit waits for."""
    ((writer,),) = rows(connection, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
    os.kill(int(str(writer)), signal.SIGSTOP)


def test_a_crash_takes_quotes_alone_and_their_outcomes_bring_them_back(used_home: Path) -> None:
    url = ensure_running(used_home)
    open_shop(url)
    with impatient(url) as shop:
        hold_the_disk(shop)
        ((bought,),) = rows(shop, QUOTE)
        rows(shop, BY_ID, bought)
        rows(shop, "SELECT pricing.record_event('ann', 'view', 'tea')")
        ((lost,),) = rows(shop, QUOTE)
        assert rows(shop, "SELECT count(*) FROM pricing.quotes") == [(2,)]
        cut_power(used_home)

    with impatient(ensure_running(used_home)) as shop:
        assert rows(shop, "SELECT quote_id::text, purchased FROM pricing.quotes LEFT JOIN pricing.outcomes USING"
                    " (quote_id)") == [(bought, True)]  # fmt: skip
        assert rows(shop, "SELECT kind FROM pricing.events") == [("view",)]
        with pytest.raises(psycopg2.errors.NoDataFound, match="where a crash lost it, give user_id, product_id and pr"):
            rows(shop, BY_ID, lost)
        hold_the_disk(shop)
        rows(shop, IN_FULL, lost, True, "ann", "tea", Decimal("3.5"))
        cut_power(used_home)

    with transaction(ensure_running(used_home)) as connection:
        assert rows(connection, LOGGED + " WHERE quote_id = %s", lost) == [AS_TOLD]
        offers = read_rows(connection, sql.query("recorded_offers"), {"dataset": "shop", "until": None})
        told = {offer["offer_id"]: offer for offer in offers}[lost]
        assert (told["user_id"], told["product_id"], told["price"], told["list_price"]) == ("ann", "tea", 3.5, 4.0)
        assert (told["purchased"], told["randomised"], told["propensity"], told["unit_cost"]) == (
            True,
            False,
            None,
            2.0,
        )
        near = "SELECT abs(extract(epoch FROM max(quoted_at) - min(quoted_at))) < 60 FROM pricing.quotes"
        assert rows(connection, near) == [(True,)]  # its id tells its time


@pytest.mark.parametrize(
    "tell",
    [
        "SELECT pricing.record_event('ann', 'view')",
        f"SELECT pricing.record_outcome(q::uuid, false) FROM ({QUOTE}) AS q(q)",
    ],
)
def test_what_is_told_waits_for_the_disk_until_its_transaction_ends(url: str, tell: str) -> None:
    with impatient(url) as shop:
        rows(shop, QUOTE)
        assert rows(shop, "SHOW synchronous_commit") == [("off",)]
        shop.autocommit = False
        rows(shop, tell)
        rows(shop, QUOTE)
        assert rows(shop, "SHOW synchronous_commit") == [("on",)]
        shop.commit()
        assert rows(shop, "SHOW synchronous_commit") == [("off",)]


@pytest.mark.parametrize("patience", ["on", "local", "remote_apply"])
def test_who_waits_already_is_left_alone(connection: Connection, patience: str) -> None:
    rows(connection, f"SET LOCAL synchronous_commit = {patience}; SELECT pricing.record_event('ann', 'view')")
    rows(connection, QUOTE)
    assert rows(connection, "SHOW synchronous_commit") == [(patience,)]


def test_a_lost_quote_is_recorded_once_however_often_its_outcome_is_told(connection: Connection) -> None:
    lost = str(uuid4())
    for _ in range(2):
        rows(connection, IN_FULL, lost, False, "ann", "tea", Decimal("3.50"))
    rows(connection, "SELECT pricing.record_outcome(%s, false)", lost)  # it is known now
    assert rows(connection, LOGGED) == [AS_TOLD]
    assert rows(connection, "SELECT purchased, quantity FROM pricing.outcomes") == [(False, 1.0)]
    with pytest.raises(psycopg2.errors.UniqueViolation, match="another outcome"):
        rows(connection, IN_FULL, lost, True, "ann", "tea", 3.5)


def test_two_who_tell_of_a_lost_quote_at_once_do_not_conflict(url: str) -> None:
    lost = str(uuid4())

    def tell(price: str) -> None:
        with transaction(url) as connection:
            rows(connection, IN_FULL, lost, True, "ann", "tea", Decimal(price))

    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ThreadPoolExecutor(2) as threads:
        with transaction(url) as first:
            rows(first, IN_FULL, lost, True, "ann", "tea", Decimal("3.5"))
            same, other = threads.submit(tell, "3.5"), threads.submit(tell, "3.6")
            with impatient(url) as onlooker:  # a transaction sees the activity of its first look
                until(lambda: len(rows(onlooker, waiting)) == 2, 10)
        same.result()
        with pytest.raises(psycopg2.errors.InvalidParameterValue, match=r"is not of price 3\.6"):
            other.result()
    with transaction(url) as connection:
        assert rows(
            connection, "SELECT price, purchased FROM pricing.quotes JOIN pricing.outcomes USING (quote_id)"
        ) == [(Decimal("3.5"), True)]


@pytest.mark.parametrize(
    ("told", "difference"),
    [
        (("eve", "tea", "3.5"), "user_id eve"),
        (("ann", "cup", "3.5"), "product_id cup"),
        (("ann", "tea", "3.51"), r"price 3\.51"),
        (("eve", None, None), "user_id eve"),
        ((None, None, "NaN"), "a number above 0 of at most 50 digits; got NaN"),
    ],
)
def test_what_is_told_of_a_known_quote_must_be_what_was_quoted(
    connection: Connection, told: tuple[str | None, ...], difference: str
) -> None:
    ((quote_id,),) = rows(connection, QUOTE)
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match=difference):
        rows(connection, "SAVEPOINT told; " + IN_FULL, quote_id, True, *told)
    rows(connection, "ROLLBACK TO told; " + IN_FULL, quote_id, True, "ann", "tea", "3.5")
    assert rows(connection, "SELECT source, purchased FROM pricing.quotes JOIN pricing.outcomes USING (quote_id)") == [
        ("personal", True)
    ]


@pytest.mark.parametrize("missing", range(4))
def test_a_lost_quote_is_told_whole_or_not_at_all(connection: Connection, missing: int) -> None:
    told: list[object] = [str(uuid4()), "ann", "tea", 3.5]
    told[missing] = None
    with pytest.raises(psycopg2.errors.NoDataFound, match="user_id, product_id and price"):
        rows(connection, "SELECT pricing.record_outcome(%s, true, 1, %s, %s, %s)", *told)


@pytest.mark.parametrize(
    ("product", "price", "why"),
    [
        ("tea", "350", r"ten times and a tenth of the list price of product tea, 4 EUR; got 350"),
        ("tea", "0.35", "a tenth of the list price"),
        ("tea", "0", "a number above 0"),
        ("tea", "-3.5", "a number above 0"),
        ("tea", "NaN", "a number above 0"),
        ("tea", "Infinity", "a number above 0"),
        ("tea", "3." + "5" * 10_000, r"at most 50 digits; got 3\.5{48}\n"),
        ("x" * 1_000_000, "3.5", r"product_id must be a text of 1 to 256 characters"),
    ],
)
def test_a_price_that_was_never_quoted_is_not_learnt(
    connection: Connection, product: str, price: str, why: str
) -> None:
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match=why):
        rows(connection, IN_FULL, str(uuid4()), True, "ann", product, Decimal(price))


@pytest.mark.parametrize("product", ["nothing", "car"])
def test_a_lost_quote_of_an_unknown_product_is_refused(connection: Connection, product: str) -> None:
    with pytest.raises(psycopg2.errors.NoDataFound, match=f"product {product} in the dataset of the live book"):
        rows(connection, IN_FULL, str(uuid4()), True, "ann", product, 3.5)


def test_a_limit_that_came_since_refuses_no_outcome(connection: Connection) -> None:
    rows(connection, "UPDATE data.products SET floor = 3.9 WHERE product_id = 'tea'; SELECT 1")
    rows(connection, IN_FULL, str(uuid4()), True, "ann", "tea", Decimal("3.5"))
    assert rows(connection, LOGGED) == [AS_TOLD]


@pytest.mark.parametrize(
    ("id_of", "expected"),
    [
        ("uuidv7(interval '-3 days')", "now() - interval '3 days'"),
        ("uuidv7(interval '1 hour')", "now()"),  # a clock that was ahead
        ("gen_random_uuid()", "now()"),
    ],
)
def test_a_lost_quote_is_dated_by_its_id_and_never_ahead(connection: Connection, id_of: str, expected: str) -> None:
    ((lost,),) = rows(connection, f"SELECT {id_of}::text")
    rows(connection, IN_FULL, lost, True, "ann", "tea", 3.5)
    dated = f"SELECT abs(extract(epoch FROM quoted_at - ({expected}))) < 30 AND quoted_at <= clock_timestamp()"
    assert rows(connection, dated + " FROM pricing.quotes") == [(True,)]


def test_a_quote_of_long_ago_is_not_recorded_again(connection: Connection) -> None:
    ((lost,),) = rows(connection, "SELECT uuidv7(interval '-29 days')::text")
    with pytest.raises(psycopg2.errors.NoDataFound, match="is recorded again for 28 days"):
        rows(connection, IN_FULL, lost, True, "ann", "tea", 3.5)


def test_beyond_the_book_a_lost_quote_is_beside_the_list_price(connection: Connection) -> None:
    rows(connection, "UPDATE data.products SET ceiling = 8 WHERE product_id = 'cup'; SELECT 1")
    rows(connection, IN_FULL, str(uuid4()), True, "stranger", "cup", 8)
    figures = "SELECT user_id, price, list_price, uniform_price, unit_cost FROM pricing.quotes"
    assert rows(connection, figures) == [("stranger", Decimal(8), Decimal(9), Decimal(8), 5.0)]


def test_what_was_bought_at_a_lost_quote_is_gone_from_its_pool(connection: Connection) -> None:
    rows(
        connection,
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'shelf', 'tea', 5);"
        "UPDATE pricing.uniform_prices SET pool_id = 'shelf'; DELETE FROM pricing.reprice_queue; SELECT 1",
    )
    rows(connection, "SELECT pricing.record_outcome(%s, true, 5, 'ann', 'tea', 3.5)", str(uuid4()))
    assert rows(connection, "SELECT pricing.units_sold('shop', 'shelf')") == [(5.0,)]
    assert rows(connection, "SELECT product_id FROM pricing.reprice_queue") == [("tea",)]
    rows(connection, "SELECT pricing.forget_user('ann')")
    assert rows(connection, "SELECT (SELECT count(*) FROM pricing.quotes), pricing.units_sold('shop', 'shelf')") == [
        (0, 5.0)
    ]


def test_a_pseudonym_is_told_by_the_id_it_came_with(database_url: str) -> None:
    migrate(database_url)
    begin_pseudonyms(database_url)
    open_shop(database_url)
    with transaction(database_url) as connection:
        ((known,),) = rows(connection, QUOTE)
        rows(connection, IN_FULL, known, True, "ann", "tea", "3.8")  # the book knows her by her name
        rows(connection, IN_FULL, str(uuid4()), True, "ann", "tea", 3.5)
        stored = "SELECT DISTINCT user_id = pricing.stored_user_id('ann') FROM pricing.quotes"
        assert rows(connection, stored) == [(True,)]
        with pytest.raises(psycopg2.errors.InvalidParameterValue, match="is not of user_id eve"):
            rows(connection, IN_FULL, known, True, "eve", "tea", 3.8)
