"""Prices set since the live book, proved: each comes out again from what it was set from, under the book's policy."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from psycopg2.extensions import connection as Connection

import sql
from models.errors import PricingError
from models.pricing.guardrails import Interval
from tasks.database import database_url, read_arrow, read_rows, transaction
from tasks.quotes.stored_inputs import BookInputs
from tasks.settings import Settings

PROVED = ("price", "lower", "upper", "randomised", "propensity")
ROWS_AT_ONCE = 200_000


class UnfoundedPriceError(PricingError):
    """A price set between two books is not what its inputs give."""


def verify_between_books() -> int:
    """Compute every price that is quoted before the live book's own again; returns how many there are.

    Raises:
        UnfoundedPriceError: one comes out otherwise, so it was not set by the pricing code, or was changed.
    """
    with transaction(database_url(Settings())) as connection:
        connection.set_session(isolation_level="REPEATABLE READ")  # a pair and its product of one moment
        found = read_rows(connection, sql.query("reprice_live_book"))
        if not found:
            return 0
        book, book_id = BookInputs.of(found[0]), found[0]["book_id"]
        uniform = read_arrow(connection, sql.query("repriced_uniform"), {"book_id": book_id}).to_pandas()
        _require_known_bids(uniform)
        _require_equal(uniform, book.uniform_prices(uniform), "the uniform price")
        _require_limits(uniform, book.standing_interval(uniform))
        count = len(uniform)
        for personal in _personal(connection, book_id):
            _require_equal(personal, book.personal_prices(personal), "the price")
            count += len(personal)
    return count


def _personal(connection: Connection, book_id: int) -> Iterator[pd.DataFrame]:
    counting = "SELECT count(*) AS rows FROM pricing.repriced_personal WHERE book_id = %(book_id)s"
    (counted,) = read_rows(connection, counting, {"book_id": book_id})
    parts = 1 + counted["rows"] // ROWS_AT_ONCE
    for part in range(parts):
        parameters = {"book_id": book_id, "part": part, "parts": parts}
        yield read_arrow(connection, sql.query("repriced_personal"), parameters).to_pandas()


def _require_known_bids(uniform: pd.DataFrame) -> None:
    """A unit is worth nothing that the book did not find for some stock."""
    unknown = uniform["bid_price"].notna() & ~(uniform["bid_price"] <= uniform["highest_bid"])
    if unknown.any():
        row = uniform[unknown].iloc[0]
        raise UnfoundedPriceError(
            f"the uniform price of product {row['product_id']} was set by a bid price of {row['bid_price']:g}, "
            f"which the live book knows for no stock of pool {row['pool_id']}"
        )


def _require_limits(uniform: pd.DataFrame, kept: Interval) -> None:
    """No personal price of before stands beyond today's limits."""
    lower, upper = (uniform[name].to_numpy("float64") for name in ("personal_lower", "personal_upper"))
    beyond = np.flatnonzero((lower < kept.lower) | (upper > kept.upper))
    if len(beyond):
        row = uniform.iloc[beyond[0]]
        raise UnfoundedPriceError(
            f"personal prices of product {row['product_id']} stand from {row['personal_lower']} to "
            f"{row['personal_upper']}, and its limits are {kept.lower[beyond[0]]:g} and {kept.upper[beyond[0]]:g}"
        )


def _require_equal(stored: pd.DataFrame, computed: pd.DataFrame, what: str) -> None:
    for name in PROVED:
        if name not in stored:
            continue
        was, is_now = stored[name].to_numpy("float64"), computed[name].to_numpy("float64")
        differs = np.flatnonzero(~((was == is_now) | (np.isnan(was) & np.isnan(is_now))))
        if len(differs):
            row = stored.iloc[differs[0]]
            whose = f" for user {row['user_id']}" if isinstance(row["user_id"], str) else ""
            raise UnfoundedPriceError(
                f"{what} of product {row['product_id']}{whose}, set since the live book, is not what its inputs give: "
                f"{name} is {was[differs[0]]:g} and should be {is_now[differs[0]]:g}; {len(differs):,} prices differ"
            )
