"""A person who is forgotten leaves no row behind, and what was published still verifies."""

from typing import Any

import pytest

from tasks.books.history import LedgerError, LedgerProof, verify_ledger
from tasks.quotes.forget import UnknownUserError, forget


def everything(shop: Any) -> list[str]:
    """Every value of every table of the platform, as text."""
    tables = shop.rows(
        "SELECT format('%I.%I', schemaname, tablename) AS t FROM pg_tables WHERE schemaname IN ('data', 'pricing')"
    )
    return [str(row) for table in tables["t"] for row in shop.rows(f"SELECT t::text FROM {table} AS t")["t"]]


def test_nothing_is_left_of_a_person_and_the_ledger_verifies(book_shop: Any, settings: Any) -> None:
    book_shop.published()
    book_shop.published(book_shop.policy.model_copy(update={"satisfaction_weight": 0.1}))
    book_shop.run(
        "SELECT pricing.record_outcome(quote_id, true) FROM pricing.quote('u001', 'p03');"
        "SELECT pricing.record_event('u001', 'view', 'p03')"
    )
    cached = [settings.home / name for name in ("features", "candidates", "fits")]
    for folder in cached:
        (folder / "of a snapshot").mkdir(parents=True)
    assert any("u001" in row for row in everything(book_shop))
    found = forget("u001")
    assert {"data.users", "data.offers", "pricing.personal_prices", "pricing.quotes", "pricing.events"} <= set(
        found.rows
    )
    assert not any("u001" in row for row in everything(book_shop))
    assert not any(folder.exists() for folder in cached)
    assert verify_ledger() == LedgerProof(entries=2, live_book_id=2, book_id_before=1)
    with pytest.raises(UnknownUserError, match="'u001' is in no table"):
        forget("u001")


@pytest.mark.parametrize("order", [["u149", "u000", "u075", "u076", "u074"], ["u001", "u000", "u002", "u148", "u149"]])
def test_whoever_is_forgotten_in_whatever_order_the_rest_is_still_proved(
    book_shop: Any, settings: Any, order: list[str]
) -> None:
    book_shop.run("UPDATE data.users SET personalisation_consent = true")
    book_shop.published()
    for user in order:
        forget(user)
        verify_ledger()
    book_shop.run("UPDATE pricing.personal_prices SET price = lower WHERE user_id = 'u077'")
    with pytest.raises(LedgerError, match="not those that were published"):
        verify_ledger()


def test_what_a_forgotten_person_bought_stays_sold(book_shop: Any, settings: Any) -> None:
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'p03s', 'p03', 9);"
        "UPDATE data.offers SET pool_id = 'p03s', purchased = offer_id IN (SELECT min(offer_id) FROM data.offers"
        " WHERE product_id = 'p03' AND user_id IN ('u001', 'u002') GROUP BY user_id) WHERE product_id = 'p03'"
    )
    book_shop.published()
    for user in ("u001", "u002"):
        book_shop.run(f"SELECT pricing.record_outcome(quote_id, true, 3) FROM pricing.quote('{user}', 'p03')")
    book_shop.run(  # one of the two has been collected
        "INSERT INTO data.offers (dataset, offer_id, user_id, product_id, offered_at, price, purchased, quantity,"
        " pool_id) SELECT 'shop', quote_id, user_id, product_id, quoted_at, price, purchased, quantity,"
        " outcomes.pool_id FROM pricing.outcomes JOIN pricing.quotes USING (quote_id) WHERE user_id = 'u001'"
    )
    sold = "SELECT pricing.units_sold('shop', 'p03s') AS units"
    assert book_shop.rows(sold)["units"].tolist() == [8.0]
    for user in ("u001", "u002"):
        forget(user)
        assert book_shop.rows(sold)["units"].tolist() == [8.0]
    assert not any("u001" in row for row in everything(book_shop))


def test_to_remove_a_person_otherwise_is_found(book_shop: Any, settings: Any) -> None:
    book_shop.published()
    book_shop.run("DELETE FROM pricing.personal_prices WHERE user_id = 'u001'")
    with pytest.raises(LedgerError, match="not those that were published"):
        verify_ledger()
