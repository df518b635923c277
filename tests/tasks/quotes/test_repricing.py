"""Prices between two books, on a real database: what users do and what the market does reaches the live price."""

import os
import signal
import threading
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest

import sql
import tasks.quotes.replay
import tasks.quotes.reprice
import tasks.quotes.repricing
from models.pricing.policy import Exploration, Guardrails, PricingPolicy
from tasks.books.candidates import remaining_stock
from tasks.database import transaction
from tasks.markdown import GAP
from tasks.quotes.between_books import UnfoundedPriceError, verify_between_books
from tasks.quotes.explain import explain_quote
from tasks.quotes.quote import quote
from tasks.quotes.replay import replay
from tasks.quotes.reprice import RepriceTally, reprice_all, reprice_until, reprice_waiting
from tasks.quotes.repricing import continued_book, reprice_products, reprice_users
from tasks.registry.versions import VersionNotFoundError
from tasks.training.features import read_decisions

FREE = PricingPolicy(guardrails=Guardrails(minimum_margin=0.05, maximum_markup=0.0))  # nothing counts from before
USER, PRODUCT = "u001", "p03"


def record(shop: Any, user: str = USER, product: str | None = PRODUCT, kind: str = "view", times: int = 1) -> None:
    at = "(SELECT as_of FROM data.snapshots JOIN pricing.books USING (snapshot_id) JOIN pricing.live USING (book_id))"
    given = "NULL" if product is None else f"'{product}'"
    for number in range(times):
        shop.run(
            f"SELECT pricing.record_event('{user}', '{kind}', {given},"
            f" occurred_at => {at} + interval '{number + 1} seconds')"
        )


def reprice(shop: Any) -> RepriceTally:
    return reprice_all(shop.url, 100, demands=lambda version: shop.demand)


def personal(shop: Any, user: str = USER) -> pd.DataFrame:
    found: pd.DataFrame = shop.rows(
        "SELECT product_id, price::double precision, lower::double precision, upper::double precision, sensitivity,"
        " valuation, randomised, propensity, reasons FROM pricing.current_personal"
        f" WHERE user_id = '{user}' AND price IS NOT NULL ORDER BY product_id"
    )
    return found.set_index("product_id")


def waiting(shop: Any) -> int:
    return int(shop.rows("SELECT count(*) AS entries FROM pricing.reprice_queue")["entries"].iloc[0])


def test_real_time_finds_the_features_and_the_price_that_a_batch_finds(book_shop: Any) -> None:
    book_shop.published(FREE)
    before = personal(book_shop)
    record(book_shop, times=30)
    live = features(book_shop, recorded=True)
    tally = reprice(book_shop)
    now = personal(book_shop)
    assert (tally.entries, tally.prices) == (30, len(now))
    assert now.loc[PRODUCT, "price"] < before.loc[PRODUCT, "price"] * 0.99

    book_shop.run(  # the same history by way of a collection
        "INSERT INTO data.behaviour SELECT dataset, event_id::text, user_id, occurred_at, kind, product_id, category,"
        " dwell_seconds FROM pricing.events; UPDATE pricing.events SET collected = true"
    )
    book_shop.published(FREE)
    pd.testing.assert_frame_equal(personal(book_shop), now, check_exact=True)
    batch = features(book_shop, recorded=False)
    pd.testing.assert_frame_equal(live.frame, batch.frame, check_exact=True)
    pd.testing.assert_frame_equal(live.events, batch.events, check_exact=True)
    assert live.frame["events_end"].iloc[0] - live.frame["events_start"].iloc[0] > 30


def features(shop: Any, recorded: bool) -> Any:
    with transaction(shop.url) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql.query("decisions_empty"))
            cursor.execute(
                "INSERT INTO decision (decision_id, user_id, product_id, decided_at) SELECT '1', user_id, product_id,"
                " max(occurred_at) + interval '1 microsecond' FROM pricing.events GROUP BY user_id, product_id"
            )
        return read_decisions(connection, "shop", recorded=recorded)


def test_however_often_somebody_acts_the_price_stays_within_a_step_of_the_published_one(book_shop: Any) -> None:
    step = 0.01
    rails = FREE.guardrails.model_copy(update={"maximum_step": step})
    book_shop.published(FREE.model_copy(update={"guardrails": rails}))
    before = personal(book_shop)
    for _ in range(3):
        record(book_shop, times=30)
        reprice(book_shop)
    moved = personal(book_shop)["price"] / before["price"] - 1
    assert moved[PRODUCT] == pytest.approx(-step, abs=0.001)
    assert moved.abs().max() <= step * (1 + 1e-9)
    prices = personal(book_shop)
    assert prices["price"].between(prices["lower"], prices["upper"]).all()


def test_a_drawn_price_stays_drawn_and_its_density_known(book_shop: Any) -> None:
    book_shop.published(FREE.model_copy(update={"exploration": Exploration(share=0.5)}))
    before = personal(book_shop)
    record(book_shop, times=20)
    reprice(book_shop)
    now, drawn = personal(book_shop), before["randomised"]
    assert 0 < drawn.sum() < len(before)
    pd.testing.assert_series_equal(now["randomised"], drawn)
    pd.testing.assert_series_equal(now["price"][drawn], before["price"][drawn])
    np.testing.assert_allclose(now["propensity"][drawn], before["propensity"][drawn])
    assert (now["price"][~drawn] != before["price"][~drawn]).any()


def test_a_worker_that_dies_loses_nothing_and_nothing_is_priced_twice(book_shop: Any) -> None:
    book_shop.published(FREE)
    before = personal(book_shop)
    record(book_shop, times=5)

    class Dying:
        encoders = book_shop.demand.encoders

        def curve(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        reprice_all(book_shop.url, 100, demands=lambda version: Dying())
    assert waiting(book_shop) == 5
    pd.testing.assert_frame_equal(personal(book_shop), before)
    assert reprice(book_shop).entries == 5
    assert reprice(book_shop).entries == 0


def test_several_workers_share_the_queue(book_shop: Any) -> None:
    book_shop.published(FREE)
    users = [f"u{number:03d}" for number in range(30)]
    for turn in range(3):
        for user in users:
            record(book_shop, user, f"p{turn:02d}")
    tallies = [RepriceTally() for _ in range(3)]

    def work(tally: RepriceTally) -> None:
        nothing_waits = lambda: waiting(book_shop) == 0  # noqa: E731
        reprice_until(nothing_waits, book_shop.url, 7, tally.add, demands=lambda version: book_shop.demand)

    workers = [threading.Thread(target=work, args=[tally]) for tally in tallies]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(tally.entries for tally in tallies) == 90
    priced = book_shop.rows("SELECT * FROM pricing.repriced_personal ORDER BY user_id, product_id")
    book_shop.run("INSERT INTO pricing.reprice_queue (user_id) SELECT DISTINCT user_id FROM pricing.repriced_personal")
    reprice(book_shop)
    again = book_shop.rows("SELECT * FROM pricing.repriced_personal ORDER BY user_id, product_id")
    pd.testing.assert_frame_equal(priced.drop(columns="repriced_at"), again.drop(columns="repriced_at"))


@pytest.fixture
def fitted(book_shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The shop with its model as the registered one."""
    monkeypatch.setattr(tasks.quotes.repricing, "_loaded_demand", lambda version: book_shop.demand)
    monkeypatch.setattr(tasks.quotes.reprice.torch, "set_num_threads", lambda threads: None)  # the other tests' too
    book_shop.published(FREE)
    for number in range(30):
        record(book_shop, f"u{number:03d}")
    return book_shop


def test_the_transactions_of_a_worker_share_the_queue_until_its_time_is_over(fitted: Any) -> None:
    tally = reprice_waiting.fn(0.05, 4, 2)
    assert tally.entries == 30
    page = tally.page().replace(GAP, "")
    assert "| entries of the queue | 30 |" in page and f"| prices set | {tally.prices:,} |" in page
    assert 0 < tally.longest < 600
    assert waiting(fitted) == 0


@pytest.mark.parametrize(("helps_from", "left"), [(31, 30), (20, 18)])
def test_a_further_transaction_helps_where_many_wait(
    fitted: Any, monkeypatch: pytest.MonkeyPatch, helps_from: int, left: int
) -> None:
    looks = iter([False] * 6)
    monkeypatch.setattr(tasks.quotes.reprice, "HELP_SECONDS", 0.0)
    reprice_until(lambda: next(looks, True), fitted.url, 4, lambda repriced: None, helps_from=helps_from)
    assert waiting(fitted) == left


def test_a_worker_that_is_asked_to_stop_ends_its_transactions(fitted: Any) -> None:
    threading.Timer(2.0, os.kill, [os.getpid(), signal.SIGTERM]).start()
    assert reprice_waiting.fn(None, 4, 2).entries == 30


def test_one_transaction_that_fails_ends_the_others_with_its_error(
    fitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 3:
            raise VersionNotFoundError("it is gone")
        return reprice_users(*arguments, **options)

    monkeypatch.setattr(tasks.quotes.reprice, "reprice_users", failing)
    with pytest.raises(VersionNotFoundError, match="it is gone"):
        reprice_waiting.fn(None, 4, 2)
    assert waiting(fitted) > 0


def test_a_cost_that_rises_lifts_everybodys_price_of_the_product(book_shop: Any) -> None:
    book_shop.published(FREE)
    before = book_shop.rows("SELECT * FROM pricing.live_prices WHERE product_id = 'p03'")
    book_shop.run("UPDATE data.products SET unit_cost = 0.9 * list_price WHERE product_id = 'p03'")
    reprice(book_shop)
    after = book_shop.rows(
        "SELECT live.*, unit_cost FROM pricing.live_prices AS live JOIN data.products USING (product_id)"
        " WHERE product_id = 'p03'"
    )
    assert len(after) == len(before) > 50
    floor = (after["unit_cost"] * 1.05).iloc[0]
    assert before["price"].astype(float).min() < floor
    assert after["price"].astype(float).min() >= floor
    assert after["uniform_price"].astype(float).min() > before["uniform_price"].astype(float).max()
    others = book_shop.rows("SELECT count(*) AS n FROM pricing.repriced_personal WHERE product_id <> 'p03'")
    assert others["n"].iloc[0] == 0


def test_no_personal_price_outlives_the_terms_of_its_product(book_shop: Any) -> None:
    book_shop.published(FREE)
    record(book_shop)
    reprice(book_shop)
    assert quote(USER, PRODUCT).source == quote("u002", PRODUCT).source == "personal"
    for cost in (0.8, 0.95):  # twice, with nothing new of the market between
        book_shop.run(f"UPDATE data.products SET unit_cost = {cost} * list_price WHERE product_id = '{PRODUCT}'")
        only_products(book_shop)
        for user in (USER, "u002"):  # priced between the books, and by the book
            answer = quote(user, PRODUCT)
            assert (answer.source, answer.reasons[-1]) == ("uniform", "market_moved")
            assert answer.price == answer.uniform_price
            assert replay(answer.quote_id).figures["reasons"][0] == answer.reasons
            listed = book_shop.rows(f"SELECT product_id FROM pricing.live_prices WHERE user_id = '{user}'")
            assert len(listed) and PRODUCT not in set(listed["product_id"])
        assert "have just changed" in explain_quote(answer, "u002", PRODUCT).notes[0]
        reprice(book_shop)
        answer = quote("u002", PRODUCT)
        assert (answer.source, replay(answer.quote_id).figures["price"][0]) == ("personal", answer.price)


def test_a_personal_price_that_keeps_todays_limits_stands_until_its_pair_is_priced_anew(book_shop: Any) -> None:
    step = 0.01
    stepping = FREE.model_copy(update={"guardrails": FREE.guardrails.model_copy(update={"maximum_step": step})})
    book_shop.published(stepping)
    listed = "SELECT user_id, price, uniform_price FROM pricing.live_prices WHERE product_id = 'p03' ORDER BY user_id"
    first = before = book_shop.rows(listed)
    assert len(before) > 50 and (before["price"] < before["uniform_price"]).any()
    quotes = []
    for _ in range(2):  # beside a price of the book, and beside one of between the books
        book_shop.run("UPDATE data.products SET unit_cost = 1.05 * unit_cost WHERE product_id = 'p03'")
        only_products(book_shop)
        pd.testing.assert_frame_equal(book_shop.rows(listed), before)
        for user, price, uniform_price in before.head(3).itertuples(index=False):
            answer = quote(user, PRODUCT)
            assert (answer.source, answer.price, answer.uniform_price) == ("personal", price, uniform_price)
            quotes.append(answer)
        explained = explain_quote(answer, user, PRODUCT)
        assert explained.waterfall is not None and list(explained.waterfall.values())[-1] == float(price)
        verify_between_books()
        reprice(book_shop)
        before = book_shop.rows(listed)
        assert (before["price"].astype(float) / first["price"].astype(float) - 1).abs().max() <= step * (1 + 1e-9)
    assert quote("nobody", PRODUCT).uniform_price == before["uniform_price"].iloc[0] > quotes[0].uniform_price
    for answer in quotes:
        assert replay(answer.quote_id).figures["price"][0] == answer.price
    assert len(book_shop.rows("SELECT FROM pricing.superseded_uniform")) == 1
    for weight in (0.1, 0.2):
        book_shop.published(stepping.model_copy(update={"satisfaction_weight": weight}))
    book_shop.run("SELECT pricing.drop_prices(1)")
    assert book_shop.rows("SELECT FROM pricing.superseded_uniform").empty


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE data.products SET list_price = 1.01 * list_price WHERE product_id = 'p03'",
        "UPDATE data.products SET ceiling = 0.6 * list_price WHERE product_id = 'p03'",
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'new', 'p03', 1000)",
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'new', 'p03', 0)",
    ],
    ids=["list price", "ceiling", "pool", "sold out"],
)
def test_beside_other_limits_stock_or_list_price_no_personal_price_stands(book_shop: Any, change: str) -> None:
    book_shop.published(FREE)
    book_shop.run(change)
    only_products(book_shop)
    assert quote(USER, PRODUCT).reasons[-1] == "market_moved"
    assert PRODUCT not in set(book_shop.rows("SELECT product_id FROM pricing.live_prices")["product_id"])


@pytest.mark.parametrize("cost", [0.55, 0.9], ids=["stand", "wait"])
def test_the_steps_of_the_next_book_count_from_what_is_quoted_while_pairs_wait(book_shop: Any, cost: float) -> None:
    book_shop.published(FREE)
    book_shop.run(f"UPDATE data.products SET unit_cost = {cost} * list_price WHERE product_id = '{PRODUCT}'")
    only_products(book_shop)
    quoted = book_shop.quotes()
    stepping = FREE.guardrails.model_copy(update={"maximum_step": 0.05})
    book_shop.published(FREE.model_copy(update={"guardrails": stepping, "satisfaction_weight": 0.3}))
    book = book_shop.rows("SELECT user_id, product_id, live_price FROM pricing.personal_prices_2")
    counted = book.set_index(["user_id", "product_id"])["live_price"]
    pd.testing.assert_series_equal(counted, quoted[counted.index], check_names=False)


def test_limits_that_let_a_price_stand_beyond_a_rule_are_found(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run("UPDATE data.products SET unit_cost = 0.9 * list_price WHERE product_id = 'p03'")
    only_products(book_shop)
    verify_between_books()
    book_shop.run("UPDATE pricing.repriced_uniform SET personal_lower = 0.01")
    with pytest.raises(UnfoundedPriceError, match=r"personal prices of product p03 stand from 0\.01 to "):
        verify_between_books()


def only_products(shop: Any) -> None:
    """What a worker does before it comes to the pairs."""
    with transaction(shop.url) as connection:
        live = continued_book(connection, demands=lambda version: shop.demand)
        assert live is not None
        assert reprice_products(connection, live).prices == 1


def test_a_pair_is_priced_by_its_products_own_terms_until_those_are_set_anew(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run(f"UPDATE data.products SET unit_cost = 0.9 * list_price WHERE product_id = '{PRODUCT}'")
    record(book_shop)
    with transaction(book_shop.url) as connection:  # the pair first
        live = continued_book(connection, demands=lambda version: book_shop.demand)
        assert live is not None
        assert reprice_users(connection, live, 10).prices > 0
    answer = quote(USER, PRODUCT)
    assert (answer.source, replay(answer.quote_id).figures["price"][0]) == ("personal", answer.price)
    reprice(book_shop)
    after = quote(USER, PRODUCT)
    assert (after.source, after.price > answer.price) == ("personal", True)


@pytest.mark.parametrize("lift", [0.7, 1.4], ids=["the uniform price fell a step", "rose a step"])
def test_pairs_are_bounded_by_the_uniform_price_that_is_quoted(book_shop: Any, lift: float) -> None:
    stepping = FREE.guardrails.model_copy(update={"maximum_step": 0.05, "above_uniform": False})
    book_shop.published(FREE.model_copy(update={"satisfaction_weight": 0.9 if lift > 1 else 0.0}))
    # so different that the second book cannot come all the way
    book_shop.published(PricingPolicy(guardrails=stepping, satisfaction_weight=0.0 if lift > 1 else 0.9))
    record(book_shop, times=20)
    reprice(book_shop)
    held = book_shop.rows(
        "SELECT user_id, product_id, price, uniform_price FROM pricing.live_prices WHERE repriced_at IS NOT NULL"
    )
    assert len(held) > 5
    assert (held["price"] <= held["uniform_price"]).all()
    for row in held.itertuples():
        answer = quote(str(row.user_id), str(row.product_id))
        assert replay(answer.quote_id).figures["upper"][0] is not None
    assert verify_between_books() == len(held)


def test_an_event_of_after_the_transaction_began_is_seen_by_it(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run("DELETE FROM pricing.reprice_queue")
    with transaction(book_shop.url) as connection:
        live = continued_book(connection, demands=lambda version: book_shop.demand)
        assert live is not None
        book_shop.run(f"SELECT pricing.record_event('{USER}', 'view', '{PRODUCT}')")
        assert len(reprice_users(connection, live, 10).queued_at) == 1
    decided = book_shop.rows(
        "SELECT max(decided_at) > max(occurred_at) AS seen FROM pricing.repriced_personal, pricing.events"
    )
    assert decided["seen"].iloc[0]


def test_a_clock_that_is_ahead_hides_no_event(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run(
        f"SELECT pricing.record_event('{USER}', 'view', '{PRODUCT}', occurred_at => now() + interval '30 seconds')"
    )
    reprice(book_shop)
    seen = book_shop.rows("SELECT decided_at > occurred_at AS seen FROM pricing.repriced_personal, pricing.events")
    assert seen["seen"].all()


def test_a_price_that_no_rule_admits_any_more_is_withdrawn(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run("UPDATE data.products SET unit_cost = 2 * list_price WHERE product_id = 'p03'")
    reprice(book_shop)
    (quote,) = book_shop.rows("SELECT * FROM pricing.quote('u001', 'p03')").itertuples()
    assert quote.source == "list"
    assert len(quote.reasons) == 1 and "minimum_margin" in quote.reasons[0]


def test_what_is_sold_out_since_has_no_personal_price(book_shop: Any) -> None:
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) SELECT 'shop', 'all of p03', 'p03',"
        " 1e6 + sum(purchased::integer) FROM data.offers WHERE product_id = 'p03';"
        "UPDATE data.offers SET pool_id = 'all of p03' WHERE product_id = 'p03'"
    )
    book_shop.published(FREE.model_copy(update={"exploration": Exploration(share=0.2, dither=0.01)}))
    assert PRODUCT in personal(book_shop).index
    book_shop.run("UPDATE data.inventory SET capacity = capacity - 1e6")
    reprice(book_shop)
    assert PRODUCT not in personal(book_shop).index
    answer = quote(USER, PRODUCT)
    assert (answer.source, answer.reasons[-2:]) == ("uniform", ["no_personal_price", "sold_out"])
    assert replay(answer.quote_id).figures["reasons"][0] == answer.reasons
    assert explain_quote(answer, USER, PRODUCT).notes[0] == "No personal price: it was withdrawn since (sold out)."
    withdrawn = book_shop.rows("SELECT randomised, propensity FROM pricing.repriced_personal WHERE price IS NULL")
    assert len(withdrawn) and not withdrawn["randomised"].any() and withdrawn["propensity"].isna().all()


@pytest.mark.parametrize("sells_from", ["NULL", "now() - interval '1 minute'"])
def test_stock_that_came_after_the_book_is_honoured(book_shop: Any, sells_from: str) -> None:
    book_shop.published(FREE)
    assert PRODUCT in personal(book_shop).index
    stock = (
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity, sells_from)"
        f" VALUES ('shop', '{{}}', '{PRODUCT}', {{}}, {sells_from})"
    )
    book_shop.run(stock.format("the rest", 0))
    reprice(book_shop)
    assert PRODUCT not in personal(book_shop).index
    answer = quote(USER, PRODUCT)
    assert (answer.source, answer.reasons[-2:]) == ("uniform", ["no_personal_price", "sold_out"])
    assert replay(answer.quote_id).figures["price"][0] == answer.price
    book_shop.run(stock.format("a new delivery", 2))  # which comes first
    reprice(book_shop)
    answer = quote(USER, PRODUCT)
    assert (answer.source, replay(answer.quote_id).figures["price"][0]) == ("personal", answer.price)
    book_shop.run(f"SELECT pricing.record_outcome('{answer.quote_id}', true, 2)")
    reprice(book_shop)
    assert quote(USER, PRODUCT).reasons[-1] == "sold_out"
    verify_between_books()


def test_the_last_unit_that_a_storefront_sells_withdraws_the_personal_prices(book_shop: Any) -> None:
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity)"
        " SELECT 'shop', 'the last of p03', 'p03', 3 + count(*) FROM data.offers"
        " WHERE product_id = 'p03' AND purchased;"
        "UPDATE data.offers SET pool_id = 'the last of p03' WHERE product_id = 'p03'"
    )
    scarce = Guardrails(minimum_margin=0.05, maximum_markup=50.0)  # so that three units are enough for everybody
    book_shop.published(PricingPolicy(guardrails=scarce))
    assert PRODUCT in personal(book_shop).index
    quotes = [quote(f"u{number:03d}", PRODUCT) for number in range(1, 5)]
    sell = "SELECT pricing.record_outcome('{}', true, {})"
    book_shop.run(sell.format(quotes[0].quote_id, 2))
    book_shop.run(f"SELECT pricing.record_outcome('{quotes[1].quote_id}', false)")
    assert waiting(book_shop) == 0
    book_shop.run(sell.format(quotes[2].quote_id, 1))
    assert waiting(book_shop) == 1
    book_shop.run(sell.format(quotes[2].quote_id, 1))  # told again
    book_shop.run(sell.format(quotes[3].quote_id, 1))  # one more than there was: its product is waiting already
    assert waiting(book_shop) == 1
    only_products(book_shop)
    assert quote(USER, PRODUCT).reasons[-1] == "market_moved"
    reprice(book_shop)
    assert quote(USER, PRODUCT).reasons[-2:] == ["no_personal_price", "sold_out"]
    listed = book_shop.rows(f"SELECT product_id FROM pricing.live_prices WHERE user_id = '{USER}'")
    assert len(listed) and PRODUCT not in set(listed["product_id"])
    with transaction(book_shop.url) as connection:
        assert remaining_stock(connection, "shop", pd.Timestamp.now("UTC")) == {"the last of p03": -1}
    book_shop.run(  # a collection brings them in, and they are not counted twice
        "INSERT INTO data.offers"
        " (dataset, offer_id, user_id, product_id, offered_at, price, purchased, quantity, pool_id)"
        " SELECT 'shop', quote_id, user_id, product_id, quoted_at, price, purchased, quantity, outcomes.pool_id"
        " FROM pricing.outcomes JOIN pricing.quotes USING (quote_id); UPDATE pricing.outcomes SET collected = true"
    )
    with transaction(book_shop.url) as connection:
        assert remaining_stock(connection, "shop", pd.Timestamp.now("UTC")) == {"the last of p03": -1}


def test_the_bid_price_follows_sales_and_requests(book_shop: Any) -> None:
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'what p03 has', 'p03', 10)"
    )
    scarce = Guardrails(minimum_margin=0.05, maximum_markup=3.0)
    book_shop.published(PricingPolicy(guardrails=scarce))
    before = personal(book_shop)["price"]
    (book,) = book_shop.rows("SELECT terms -> 'bid_prices' AS bids FROM pricing.books")["bids"]
    assert book["what p03 has"] > 0
    quotes = [quote(f"u{number:03d}", PRODUCT) for number in range(1, 11)]

    def sold(units: int) -> float:
        """The bid price when so many more are sold at once."""
        book_shop.run(f"SELECT pricing.record_outcome('{quotes.pop().quote_id}', true, {units})")
        assert waiting(book_shop) == 1
        assert reprice(book_shop).prices > 50
        (bid,) = book_shop.rows("SELECT bid_price FROM pricing.repriced_uniform")["bid_price"]
        return float(bid)

    faster = sold(5)  # of ten, and hardly anybody has asked
    assert faster > book["what p03 has"] * 1.05
    after = personal(book_shop)["price"]
    assert after[PRODUCT] > before[PRODUCT]
    pd.testing.assert_series_equal(after.drop(PRODUCT), before.drop(PRODUCT))
    for user in (USER, "somebody else"):
        answer = quote(user, PRODUCT)
        assert replay(answer.quote_id).figures["price"][0] == answer.price
    book_shop.run(  # whoever the book has a price for has asked by now
        "SELECT pricing.quote(user_id, product_id) FROM pricing.personal_prices WHERE product_id = 'p03'"
    )
    assert sold(1) < faster
    book_shop.run("UPDATE data.inventory SET capacity = 1000")
    reprice(book_shop)
    (bid,) = book_shop.rows("SELECT bid_price FROM pricing.repriced_uniform")["bid_price"]
    assert bid == 0


def test_sales_of_plentiful_stock_move_nobodys_price(book_shop: Any) -> None:
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'plenty', 'p03', 60)"
    )
    book_shop.published(PricingPolicy(guardrails=Guardrails(minimum_margin=0.05, maximum_markup=3.0)))
    quotes = [quote(f"u{number:03d}", PRODUCT) for number in range(1, 10)]
    sell = "SELECT pricing.record_outcome('{}', true, {})"
    book_shop.run(sell.format(quotes.pop().quote_id, 30))  # some 13 would be sold in all
    assert waiting(book_shop) == 0
    book_shop.run(sell.format(quotes.pop().quote_id, 25))
    assert waiting(book_shop) == 1
    reprice(book_shop)
    assert book_shop.rows("SELECT bid_price FROM pricing.repriced_uniform")["bid_price"].iloc[0] > 0


@pytest.mark.parametrize("capacity", [0.47, 3.26, 3.33, 20])
def test_the_last_of_any_stock_is_noticed(book_shop: Any, capacity: float) -> None:
    book_shop.run(
        f"INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'kg', 'p03', {capacity})"
    )
    book_shop.published(PricingPolicy(guardrails=Guardrails(minimum_margin=0.05, maximum_markup=50.0)))
    quotes = [quote(f"u{number:03d}", PRODUCT) for number in range(1, 4)]
    book_shop.run(f"SELECT pricing.record_outcome('{quotes[0].quote_id}', true, {0.97 * capacity})")
    book_shop.run("DELETE FROM pricing.reprice_queue")
    book_shop.run(
        f"SELECT pricing.record_outcome('{quotes[1].quote_id}', true, capacity - pricing.units_sold('shop', 'kg'))"
        " FROM data.inventory"
    )
    assert waiting(book_shop) == 1


def test_a_dropped_book_leaves_no_bid_prices(book_shop: Any) -> None:
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'some', 'p03', 20)"
    )
    for markup in (3.0, 2.0, 1.0):
        book_shop.published(PricingPolicy(guardrails=Guardrails(maximum_markup=markup)))
    assert len(book_shop.rows("SELECT FROM pricing.bid_price_curves")) == 3
    book_shop.run("SELECT pricing.drop_prices(1)")
    assert len(book_shop.rows("SELECT FROM pricing.bid_price_curves")) == 2


def test_a_market_observation_is_seen(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run(
        "INSERT INTO data.market (dataset, product_id, observed_at, competitor_price)"
        " SELECT 'shop', 'p05', max(observed_at) + interval '30 days', 1 FROM data.market"
    )
    assert waiting(book_shop) == 1
    reprice(book_shop)
    (uniform,) = book_shop.rows("SELECT * FROM pricing.repriced_uniform").itertuples()
    newest = book_shop.rows("SELECT max(observed_at) AS at FROM data.market WHERE product_id = 'p05'")["at"].iloc[0]
    assert (uniform.product_id, uniform.decided_at) == ("p05", newest + pd.Timedelta("1us"))


def test_who_gave_no_consent_gets_no_personal_price(book_shop: Any) -> None:
    book_shop.published(FREE)
    book_shop.run("UPDATE data.users SET personalisation_consent = false WHERE user_id = 'u001'")
    record(book_shop, times=3)
    record(book_shop, user="nobody")
    assert reprice(book_shop).entries == 4
    assert book_shop.rows("SELECT FROM pricing.repriced_personal").empty


def test_the_next_book_is_told_what_it_has_not_seen(book_shop: Any) -> None:
    book_shop.published(FREE)
    record(book_shop, times=9)
    reprice(book_shop)
    expected = personal(book_shop)["price"]
    book_shop.run("UPDATE data.products SET unit_cost = unit_cost * 1.1 WHERE product_id = 'p07'")
    book_shop.published(FREE.model_copy(update={"satisfaction_weight": 0.001}))
    entries = book_shop.rows("SELECT user_id, product_id FROM pricing.reprice_queue")
    assert entries["user_id"].dropna().tolist() == [USER]
    reprice(book_shop)
    assert abs(personal(book_shop)["price"][PRODUCT] / expected[PRODUCT] - 1) < 0.01


@pytest.mark.parametrize("change", ["market", "cost"])
def test_a_book_from_older_data_is_told_what_the_market_did_since(book_shop: Any, change: str) -> None:
    changes = {
        "market": "INSERT INTO data.market (dataset, product_id, observed_at, competitor_price)"
        " SELECT 'shop', 'p05', as_of + interval '9 hours', 1 FROM data.snapshots",
        "cost": "UPDATE data.products SET unit_cost = unit_cost * 1.1 WHERE product_id = 'p05'",
    }
    _, promotion, _ = book_shop.published(FREE)
    book_shop.run("UPDATE data.snapshots SET created_at = now() - interval '1 day'")
    book_shop.run(changes[change])
    reprice(book_shop)
    book_shop.run("UPDATE pricing.repriced_uniform SET repriced_at = now() - interval '6 hours'")
    book_shop.published_from(promotion, FREE.model_copy(update={"satisfaction_weight": 0.001}))
    assert book_shop.rows("SELECT product_id FROM pricing.reprice_queue")["product_id"].tolist() == ["p05"]


def test_an_expired_book_is_not_continued(book_shop: Any) -> None:
    book_shop.published(FREE)
    record(book_shop)
    book_shop.run("UPDATE pricing.books SET expires_at = now()")
    assert reprice(book_shop).entries == 0
    assert waiting(book_shop) == 1


def test_a_price_beyond_a_rule_is_withdrawn_and_nobody_else_waits_for_it(
    book_shop: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    book_shop.published(FREE)
    record(book_shop, times=20)
    monkeypatch.setattr(
        tasks.quotes.repricing,
        "violations",  # what an independent reading of the rules would say
        lambda terms, *_: pd.DataFrame({"floor": terms["product_id"] == PRODUCT, "ceiling": False}),
    )
    reprice(book_shop)
    assert waiting(book_shop) == 0
    assert PRODUCT not in personal(book_shop).index
    assert len(personal(book_shop)) > 5
    assert quote(USER, PRODUCT).reasons[-2:] == ["no_personal_price", "beyond_a_rule"]
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told == "1 prices that continue book 1 break a rule and are withdrawn: {'floor': 1}"


def test_a_repriced_quote_is_explained_by_what_was_known_when_it_was_set(book_shop: Any) -> None:
    book_shop.published(FREE)
    record(book_shop, times=12)
    book_shop.run(f"UPDATE data.products SET unit_cost = unit_cost * 1.05 WHERE product_id = '{PRODUCT}'")
    reprice(book_shop)
    book_shop.run(f"SELECT pricing.record_event('{USER}', 'view', '{PRODUCT}')")
    book_shop.run(f"UPDATE data.products SET unit_cost = unit_cost * 1.3 WHERE product_id = '{PRODUCT}'")
    for user, source in ((USER, "personal"), ("nobody", "uniform")):
        answer = quote(user, PRODUCT)
        explained = explain_quote(answer, user, PRODUCT)
        assert answer.source == source
        assert explained.waterfall is not None and explained.reasons is not None
        assert list(explained.waterfall.values())[-1] == float(answer.price)
        assert any(note.startswith("Set since book 1 went live, by what was known on") for note in explained.notes)
        if source == "personal":
            effects = sum(reason.effect for reason in explained.reasons.personal)
            assert effects == pytest.approx(float(answer.price - answer.uniform_price), abs=0.02)
            assert "1 events of this user are newer" in explained.notes[-1]


def test_a_repriced_quote_is_replayed(book_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(version: str) -> Any:
        raise VersionNotFoundError(version)

    monkeypatch.setattr(tasks.quotes.replay, "version_of", missing)
    book_shop.published()
    record(book_shop, times=12)
    reprice(book_shop)
    record(book_shop, times=1)
    quotes = book_shop.rows(f"SELECT quote_id::text FROM pricing.quote('{USER}', '{PRODUCT}')")["quote_id"]
    reprice(book_shop)  # the price quoted then is gone by now
    found = replay(quotes.iloc[0])
    assert found.figures["price"][0] == found.figures["price"][1]
    assert any("between two books" in note for note in found.notes)


@pytest.mark.parametrize("at", ["now() + interval '1 hour'", "NULL", "'infinity'"])
def test_an_event_of_the_future_is_refused(book_shop: Any, at: str) -> None:
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="occurred_at must be a time of the past"):
        book_shop.run(f"SELECT pricing.record_event('u001', 'view', occurred_at => {at})")


@pytest.mark.parametrize("amount", ["0", "-1", "'NaN'", "'Infinity'"])
def test_a_product_cannot_lose_the_list_price_that_its_prices_are_a_share_of(book_shop: Any, amount: str) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation, match="list_price_above_0"):
        book_shop.run(f"UPDATE data.products SET list_price = {amount} WHERE product_id = '{PRODUCT}'")


def test_a_cost_that_is_none_stops_nobody_elses_prices(book_shop: Any) -> None:
    book_shop.published(FREE)
    before = personal(book_shop, "u002")
    book_shop.run(f"UPDATE data.products SET unit_cost = -1 WHERE product_id = '{PRODUCT}'")
    record(book_shop, "u002", "p04", times=20)
    reprice(book_shop)
    assert waiting(book_shop) == 0
    after = personal(book_shop, "u002")
    assert PRODUCT not in after.index
    assert after.loc["p04", "price"] != before.loc["p04", "price"]
