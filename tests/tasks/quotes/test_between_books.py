"""Every price set since the live book comes out again from what it was set from."""

from typing import Any

import pytest

from models.pricing.policy import Exploration, Guardrails, PricingPolicy
from tasks.quotes.between_books import UnfoundedPriceError, verify_between_books
from tasks.quotes.reprice import reprice_all

POLICY = PricingPolicy(
    guardrails=Guardrails(minimum_margin=0.05, maximum_markup=0.0, maximum_step=0.2),
    exploration=Exploration(share=0.3, dither=0.02),
)


@pytest.fixture
def repriced(book_shop: Any) -> Any:
    """Prices of two users who have acted, and of everybody for a product whose cost has risen."""
    book_shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity) VALUES ('shop', 'some', 'p05', 10)"
    )
    book_shop.published(POLICY)
    assert verify_between_books() == 0
    for user in ("u001", "u002"):
        book_shop.run(f"SELECT pricing.record_event('{user}', 'view', 'p03')")
    book_shop.run("UPDATE data.products SET unit_cost = unit_cost * 1.2 WHERE product_id IN ('p04', 'p05')")
    reprice_all(book_shop.url, 100, demands=lambda version: book_shop.demand)
    return book_shop


def test_prices_since_the_book_come_out_again(repriced: Any) -> None:
    counted = repriced.rows(
        "SELECT (SELECT count(*) FROM pricing.repriced_personal) + (SELECT count(*) FROM pricing.repriced_uniform) AS n"
    )["n"].iloc[0]
    assert verify_between_books() == counted > 100
    drawn = repriced.rows("SELECT FROM pricing.repriced_personal WHERE randomised")
    assert len(drawn)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "personal SET price = price + 0.01 WHERE user_id = 'u001'",
            "the price of product .* for user u001.*: price is",
        ),
        ("personal SET propensity = propensity / 2 WHERE user_id = 'u002'", "propensity is"),
        ("personal SET live_price = live_price * 1.05 WHERE product_id = 'p04'", "p04"),
        ("uniform SET price = price * 0.9 WHERE product_id = 'p04'", "the uniform price of product p04.*: price is"),
        ("uniform SET unit_cost = 0.01 WHERE product_id = 'p04'", "p04"),
        ("uniform SET bid_price = 5 WHERE product_id = 'p05'", "p05"),
    ],
)
def test_a_price_that_its_inputs_do_not_give_is_found(repriced: Any, change: str, told: str) -> None:
    repriced.run(f"UPDATE pricing.repriced_{change}")
    with pytest.raises(UnfoundedPriceError, match=told):
        verify_between_books()
