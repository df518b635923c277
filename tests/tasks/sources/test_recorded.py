"""What a storefront records comes back through a collection: once, whole, and on the dataset's own timeline."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

from tasks.data.collect import OVERLAP, Load, collect_from
from tasks.data.validate import validate


@dataclass
class Unchanging:
    """A source that always has the same tables."""

    rows: dict[str, pd.DataFrame]
    name: str = "shop"
    currency: str = "EUR"
    asked: dict[str, datetime | None] = field(default_factory=dict)
    version: str = "the same"

    def fingerprint(self) -> str | None:
        return self.version

    def tables(self) -> frozenset[str]:
        return frozenset(self.rows)

    def origin(self, table: str) -> str:
        return f"{table} of the shop"

    def batches(self, table: str, since: datetime | None = None) -> Iterator[pd.DataFrame]:
        self.asked[table] = since
        yield self.rows[table]


@pytest.fixture
def collected(book_shop: Any, learnable_shop: dict[str, pd.DataFrame]) -> Any:
    """Collects, validates and returns the load."""

    def collect() -> Load:
        load = collect_from(Unchanging(learnable_shop), book_shop.url)
        validate.fn(load)
        return load

    return collect


def at_the_end_of_the_log(shop: Any, after: str = "1 hour") -> None:
    """As if all that was recorded had happened a little after the newest fact."""
    newest = f"(SELECT max(occurred_at) + interval '{after}' FROM data.behaviour)"
    shop.run(f"UPDATE pricing.events SET occurred_at = {newest}; UPDATE pricing.quotes SET quoted_at = {newest}")


def quote(shop: Any, user: str, product: str, purchased: bool | None) -> str:
    quote_id = str(shop.rows(f"SELECT quote_id::text AS id FROM pricing.quote('{user}', '{product}')")["id"].iloc[0])
    if purchased is not None:
        shop.run(f"SELECT pricing.record_outcome('{quote_id}', {purchased}, 2)")
    return quote_id


def test_events_and_outcomes_become_behaviour_and_offers_once(book_shop: Any, collected: Any) -> None:
    first = collected()
    book_shop.published()
    (drawn,) = book_shop.rows("SELECT * FROM pricing.live_prices WHERE randomised ORDER BY 1, 2 LIMIT 1").itertuples()
    sold, kept = quote(book_shop, drawn.user_id, drawn.product_id, True), quote(book_shop, "u001", "p02", False)
    untold = quote(book_shop, "u001", "p03", None)
    book_shop.run("SELECT pricing.record_event('u001', 'view', 'p03'), pricing.record_event('nobody', 'view', 'p03')")
    at_the_end_of_the_log(book_shop)
    second = collected()
    assert second.row_counts["behaviour"] == first.row_counts["behaviour"] + 1
    assert second.row_counts["offers"] == first.row_counts["offers"] + 2

    offers = book_shop.rows("SELECT * FROM data.offers").set_index("offer_id")
    assert untold not in offers.index
    assert offers.loc[sold, ["purchased", "randomised"]].tolist() == [True, True]
    assert offers.loc[[sold, kept], "quantity"].isna().all()  # two were bought, of one that was at stake
    assert offers.loc[sold, "price"] == float(drawn.price)
    assert offers.loc[sold, "propensity"] == drawn.propensity
    assert not offers.loc[kept, "purchased"]
    (event,) = book_shop.rows(
        "SELECT * FROM data.behaviour WHERE event_id IN (SELECT event_id::text FROM pricing.events)"
    ).itertuples()
    assert (event.user_id, event.product_id, event.kind) == ("u001", "p03", "view")
    flags = book_shop.rows("SELECT user_id, collected FROM pricing.events").set_index("user_id")["collected"]
    assert flags.to_dict() == {"u001": True, "nobody": False}

    assert collected().unchanged  # nothing was recorded since
    book_shop.run("SELECT pricing.record_event('u002', 'view', 'p03')")
    at_the_end_of_the_log(book_shop)
    third = collected()
    assert third.row_counts["behaviour"] == first.row_counts["behaviour"] + 1  # of those recorded, the new one alone
    assert third.row_counts["offers"] == first.row_counts["offers"]


def test_a_quote_that_a_crash_lost_becomes_an_offer_without_a_density(book_shop: Any, collected: Any) -> None:
    collected()
    book_shop.published()
    lost = uuid4()
    terms = "'u001', 'p03', (SELECT 0.9 * list_price FROM data.products WHERE product_id = 'p03')::numeric"
    book_shop.run(f"SELECT pricing.record_outcome('{lost}', true, 2, {terms})")
    at_the_end_of_the_log(book_shop)
    collected()
    (offer,) = book_shop.rows(f"SELECT * FROM data.offers WHERE offer_id = '{lost}'").itertuples()
    assert (offer.user_id, offer.product_id, offer.price) == ("u001", "p03", pytest.approx(0.9 * offer.list_price))
    assert (offer.purchased, offer.randomised) == (True, False)
    assert pd.isna([offer.propensity, offer.quantity]).all()
    assert offer.unit_cost > 0
    assert book_shop.rows("SELECT FROM pricing.outcomes WHERE NOT collected").empty


def test_what_was_bought_at_a_quote_is_gone_from_its_pool_before_and_after_its_collection(
    book_shop: Any, collected: Any
) -> None:
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'shelf', 'p03', 900)"
    )
    collected()
    book_shop.published()
    for user, purchased in (("u001", True), ("u002", False), ("u003", True)):
        quote(book_shop, user, "p03", purchased)
    left = "SELECT pricing.units_sold('shop', 'shelf')::integer AS sold"
    before = book_shop.rows(left)["sold"].tolist()
    at_the_end_of_the_log(book_shop)
    collected()
    assert book_shop.rows("SELECT FROM pricing.outcomes WHERE NOT collected").empty
    assert before == book_shop.rows(left)["sold"].tolist() == [4]
    book_shop.run("UPDATE data.offers SET quantity = 2 WHERE pool_id = 'shelf'")  # as an earlier version had it
    assert book_shop.rows(left)["sold"].tolist() == [4]


def test_an_event_that_the_shops_own_tables_tell_as_well_counts_once(
    book_shop: Any, collected: Any, learnable_shop: dict[str, pd.DataFrame]
) -> None:
    first = collected()
    book_shop.published()
    known, new = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))
    behaviour = learnable_shop["behaviour"]
    behaviour.loc[behaviour.index[-1], "event_id"] = known
    validate.fn(collect_from(Unchanging(learnable_shop | {"behaviour": behaviour}, version="another"), book_shop.url))
    before = book_shop.rows(f"SELECT * FROM data.behaviour WHERE event_id = '{known}'")
    for event_id in (known, new):
        book_shop.run(f"SELECT pricing.record_event('u001', 'cart', 'p07', event_id => '{event_id}')")
    at_the_end_of_the_log(book_shop)
    told = behaviour.tail(1).assign(event_id=new, user_id="u001", kind="cart", product_id="p07")
    both = Unchanging(learnable_shop | {"behaviour": pd.concat([behaviour, told])}, version="a third")
    validate.fn(collect_from(both, book_shop.url))
    rows = book_shop.rows("SELECT * FROM data.behaviour")
    assert len(rows) == first.row_counts["behaviour"] + 2  # the last one under its new id, and the new one
    pd.testing.assert_frame_equal(book_shop.rows(f"SELECT * FROM data.behaviour WHERE event_id = '{known}'"), before)
    assert book_shop.rows("SELECT collected FROM pricing.events")["collected"].all()


def test_what_is_recorded_in_another_age_stays_where_it_is(
    book_shop: Any, collected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = collected()
    book_shop.published()
    quote(book_shop, "u001", "p02", True)
    book_shop.run(
        "SELECT pricing.record_event('u001', 'view', 'p03');"
        "UPDATE pricing.events SET occurred_at = occurred_at + interval '90 days';"
        "UPDATE pricing.quotes SET quoted_at = quoted_at + interval '90 days'"
    )
    caplog.set_level("WARNING", "pricing.collect")
    assert collected().unchanged
    assert "2 events and outcomes were recorded more than 28 days after" in caplog.text
    assert (
        not book_shop.rows("SELECT collected FROM pricing.events UNION ALL SELECT collected FROM pricing.outcomes")
        .any()
        .any()
    )
    kept = book_shop.rows("SELECT count(*) AS offers FROM data.offers")["offers"].iloc[0]
    assert kept == first.row_counts["offers"]


def test_a_recorded_row_that_breaks_a_rule_is_quarantined_once(book_shop: Any, collected: Any) -> None:
    collected()
    book_shop.published()
    book_shop.run("SELECT pricing.record_event('u001', 'view', 'no such product')")
    at_the_end_of_the_log(book_shop)
    collected()
    assert book_shop.rows("SELECT collected FROM pricing.events")["collected"].tolist() == [True]
    assert collected().unchanged


def test_recorded_rows_that_break_a_rule_do_not_refuse_the_load(
    book_shop: Any, learnable_shop: dict[str, pd.DataFrame]
) -> None:
    few = learnable_shop | {"behaviour": learnable_shop["behaviour"].tail(40)}
    validate.fn(collect_from(Unchanging(few, "few"), book_shop.url))
    book_shop.published()
    book_shop.run("SELECT pricing.record_event('u001', 'view', 'no such product') FROM generate_series(1, 6)")
    at_the_end_of_the_log(book_shop)
    book_shop.run("UPDATE pricing.events SET dataset = 'few'")
    snapshot = validate.fn(collect_from(Unchanging(few, "few"), book_shop.url))
    assert snapshot.quarantined == {"behaviour": 6}
    assert book_shop.rows("SELECT collected FROM pricing.events")["collected"].all()


def test_a_recorded_row_that_fits_no_table_holds_nothing_up(
    book_shop: Any, collected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = collected()
    book_shop.published()
    book_shop.run("SELECT pricing.record_event('u001', 'view', 'p0' || number) FROM generate_series(1, 3) AS number")
    at_the_end_of_the_log(book_shop)
    book_shop.run("UPDATE pricing.events SET product_id = repeat('p', 300) WHERE product_id = 'p01'")
    caplog.set_level("WARNING", "pricing.collect")
    assert collected().row_counts["behaviour"] == first.row_counts["behaviour"] + 2
    assert "pricing.events, column product_id, row" in caplog.text and "an id has 1 to 256 characters" in caplog.text
    assert sorted(book_shop.rows("SELECT collected FROM pricing.events")["collected"]) == [False, True, True]
    assert collected().unchanged
    book_shop.run("UPDATE data.loads SET fingerprint = 'another'")
    assert collected().row_counts == first.row_counts  # nothing but that row is left to collect


def test_what_was_recorded_hides_no_late_row_of_the_source(
    book_shop: Any, collected: Any, learnable_shop: dict[str, pd.DataFrame]
) -> None:
    collected()
    book_shop.published()
    quote(book_shop, "u001", "p02", True)
    book_shop.run("SELECT pricing.record_event('u001', 'view', 'p03')")
    at_the_end_of_the_log(book_shop, "9 days")
    collected()
    book_shop.run("UPDATE data.loads SET fingerprint = 'another'")
    source = Unchanging(learnable_shop)
    collect_from(source, book_shop.url)
    times = {"behaviour": "occurred_at", "market": "observed_at", "offers": "offered_at"}
    for table, time in times.items():
        assert source.asked[table] == learnable_shop[table][time].max() - OVERLAP


def test_as_many_rows_as_were_forgotten_are_still_something_new(book_shop: Any, collected: Any) -> None:
    book_shop.published()
    book_shop.run("SELECT pricing.record_event('u001', 'view', 'p03')")
    at_the_end_of_the_log(book_shop)
    first = collected()
    book_shop.run("DELETE FROM pricing.events; SELECT pricing.record_event('u002', 'view', 'p03')")
    at_the_end_of_the_log(book_shop, after="2 hours")
    assert not first.unchanged
    assert not collected().unchanged
