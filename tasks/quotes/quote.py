"""Quote: the live price of one user and product, by the same SQL function the storefront calls."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import psycopg2

from models.errors import PricingError
from tasks.database import database_url, read_rows, transaction
from tasks.settings import Settings


class QuoteError(PricingError):
    """There is no price for this user and product."""


@dataclass(frozen=True)
class Quote:
    """The row that pricing.quote returns."""

    price: Decimal
    currency: str
    uniform_price: Decimal
    list_price: Decimal
    source: str
    reasons: list[str]
    disclosure: str | None
    expires_at: datetime
    book_id: int
    quote_id: str


def quote(user_id: str, product_id: str) -> Quote:
    """The live price of a product for a user; it is logged as every quote is.

    Raises:
        QuoteError: no book is live, the product is unknown, or an id cannot be one.
    """
    with transaction(database_url(Settings())) as connection:
        try:
            asked = {"user_id": user_id, "product_id": product_id}
            (row,) = read_rows(connection, "SELECT * FROM pricing.quote(%(user_id)s, %(product_id)s)", asked)
        except (psycopg2.errors.NoDataFound, psycopg2.errors.InvalidParameterValue) as error:
            raise QuoteError(str(error.diag.message_primary)) from error
    return Quote(**row)
