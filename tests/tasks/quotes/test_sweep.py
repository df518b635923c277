"""What waits without anybody having said so, on a real database."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.database import transaction
from tasks.quotes.quote import quote
from tasks.quotes.sweep import LONGEST_BLOCK, SECONDS, Sweep, queue_left_behind, queue_switched_pools
from tests.tasks.quotes.test_repricing import FREE, PRODUCT, USER, only_products, record, reprice, waiting


def left_behind(shop: Any) -> None:
    """A pair as if it had been met just as its product was priced anew, and had not been seen."""
    shop.published(FREE)
    record(shop)
    reprice(shop)
    shop.run(f"UPDATE data.products SET unit_cost = 0.9 * list_price WHERE product_id = '{PRODUCT}'")
    only_products(shop)
    shop.run("DELETE FROM pricing.reprice_queue")
    assert quote(USER, PRODUCT).reasons[-1] == "market_moved"


def test_a_pair_that_its_product_left_behind_follows(book_shop: Any) -> None:
    left_behind(book_shop)
    with transaction(book_shop.url) as connection:
        assert queue_left_behind(connection) == 1
    reprice(book_shop)
    assert quote(USER, PRODUCT).source == "personal"
    with transaction(book_shop.url) as connection:
        assert queue_left_behind(connection) == 0


def test_products_priced_anew_before_the_last_look_are_not_looked_at_again(book_shop: Any) -> None:
    left_behind(book_shop)
    now = datetime.now(UTC)
    with transaction(book_shop.url) as connection:
        assert queue_left_behind(connection, now + timedelta(minutes=1)) == 0
        assert queue_left_behind(connection, now - LONGEST_BLOCK) == 1


def pool_of(shop: Any) -> Any:
    """The pool that a sale of the product is counted in."""
    asked = quote(USER, PRODUCT).quote_id
    (found,) = shop.rows(f"SELECT pool_id FROM pricing.quotes WHERE quote_id = '{asked}'")["pool_id"]
    return found


def let_days_pass(shop: Any) -> None:
    """Stock as it is two days later, when nobody has touched a table."""
    shop.run(
        "UPDATE data.inventory SET sells_from = sells_from - interval '2 days',"
        " sells_until = sells_until - interval '2 days'; DELETE FROM pricing.reprice_queue"
    )


def test_a_pool_follows_another_without_any_table_changing(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity, sells_from, sells_until) VALUES"
        f" ('shop', 'this week', '{PRODUCT}', 900, NULL, now() + interval '1 day'),"
        f" ('shop', 'next week', '{PRODUCT}', 900, now() + interval '1 day', now() + interval '8 days')"
    )
    reprice(book_shop)
    assert pool_of(book_shop) == "this week"
    with transaction(book_shop.url) as connection:
        assert queue_switched_pools(connection) == 0
    let_days_pass(book_shop)
    with transaction(book_shop.url) as connection:
        assert queue_switched_pools(connection) == 1
    reprice(book_shop)
    assert pool_of(book_shop) == "next week"
    with transaction(book_shop.url) as connection:
        assert queue_switched_pools(connection) == 0


def test_a_pool_that_nothing_follows_stays(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity, sells_until)"
        f" VALUES ('shop', 'the last week', '{PRODUCT}', 900, now() + interval '1 day')"
    )
    reprice(book_shop)
    let_days_pass(book_shop)
    with transaction(book_shop.url) as connection:
        assert queue_switched_pools(connection) == 0


def test_a_worker_looks_once_a_minute(book_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind(book_shop)
    sweep, began = Sweep(), time.monotonic()
    with transaction(book_shop.url) as connection:
        sweep.while_idle(connection)
        sweep.by_the_clock(connection)
        assert waiting(book_shop) == 0
        monkeypatch.setattr(time, "monotonic", lambda: began + SECONDS + 1)
        sweep.while_idle(connection)
        assert waiting(book_shop) == 1
        sweep.while_idle(connection)
        assert waiting(book_shop) == 1
