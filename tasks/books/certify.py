"""Certify: check a staged book against its suite and, straight from the tables, against its guardrails."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect import task
from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection

import sql
from models.errors import PricingError
from models.pricing.certificate import Certificate as OptimumCertificate
from tasks.books.book import PRICE_TABLES, Book
from tasks.books.price import PricedBook
from tasks.database import database_url, read_blocks, read_rows, transaction
from tasks.registry.promote import Promotion
from tasks.retries import RETRIED
from tasks.settings import Settings

log = logging.getLogger("pricing.certify")

SUITES = {"personal_prices": "prices", "uniform_prices": "uniform_prices"}


class UncertifiedBookError(PricingError):
    """A staged book breaks a rule it should keep; it is not published and the live book stays."""


@dataclass(frozen=True)
class Certificate:
    """What was checked of a book before it went live; JSON-able.

    `guardrails` counts the prices and the breaches of each rule, `expectations` those of the book's suite,
    `binding` the prices each reason holds, and `refused` the pairs left without a price, by reason.
    `optimum` states the portfolio's constraints and the duality gap, `parity` the prices between groups.
    """

    guardrails: dict[str, int]
    binding: dict[str, int]
    refused: dict[str, int]
    expectations: dict[str, int]
    optimum: dict[str, Any]
    parity: dict[str, Any]


@task(**RETRIED)
def certify(priced: PricedBook, promotion: Promotion) -> Certificate:
    """Check every price of a staged book.

    Raises:
        UncertifiedBookError: a price breaks a guardrail or an expectation; the message names rule and count.
    """
    with transaction(database_url(Settings())) as connection:
        certificate = Certificate(
            guardrails=_guardrail_breaches(connection, priced.book, promotion),
            binding=_binding_reasons(connection, priced.book),
            refused=priced.refused,
            expectations=_suite_results(connection, priced.book),
            optimum=priced.optimum.to_dict(),
            parity=priced.parity,
        )
    checked = certificate.guardrails | certificate.expectations
    prices = checked.pop("prices")
    broken = {rule: count for rule, count in checked.items() if count}
    if broken:
        raise UncertifiedBookError(f"book {priced.book.book_id} is not published; prices that break a rule: {broken}")
    if not priced.optimum.is_certified:
        raise UncertifiedBookError(
            f"book {priced.book.book_id} is not published: {_shortfall(priced.optimum)}. "
            "Loosen the limit or the guardrails"
        )
    log.info("%s prices checked, no breach", f"{prices:,}")
    if scarce := [str(state.pool_id) for state in priced.optimum.constraints if state.runs_out]:
        log.warning("sold out early at any price that the guardrails allow: %s", listed(scarce))
    return certificate


def listed(pools: list[str], most: int = 5) -> str:
    """Some of these names, and how many more there are."""
    more = f" and {len(pools) - most:,} more" if len(pools) > most else ""
    return f"{', '.join(pools[:most])}{more}"


def _shortfall(optimum: OptimumCertificate) -> str:
    """What keeps a book from being certified."""
    if not optimum.violated:
        return f"its duality gap is {optimum.duality_gap:.1e}, above {optimum.gap_tolerance:.1e}"
    return "; ".join(
        f"{state.name}{f' of pool {state.pool_id}' if state.pool_id else ''} is {state.achieved:,.6g}, "
        f"the limit {state.limit:,.6g}"
        for state in optimum.violated
    )


def _guardrail_breaches(connection: Connection, book: Book, promotion: Promotion) -> dict[str, int]:
    rails = promotion.policy.guardrails
    checked = ("minimum_margin", "maximum_markup", "maximum_discount", "maximum_step", "above_uniform")
    limits = {name: getattr(rails, name) for name in checked}
    query = of_book(connection, "guardrail_breaches", book)
    (counts,) = read_rows(connection, query, limits | {"dataset": promotion.snapshot.dataset})
    return counts


def _suite_results(connection: Connection, book: Book) -> dict[str, int]:
    """Rows of the staged prices, personal and uniform, that break each expectation."""
    from tasks.data.suites import Suites  # Great Expectations takes seconds to import

    suites = Suites(latest=datetime.now(UTC))
    found: dict[str, int] = {}
    for parent, suite in SUITES.items():
        blocks = read_blocks(connection, book.table(parent), suites.columns(suite))
        found |= suites.run(suite, (block.to_pandas() for block in blocks)).rules
    return found


def _binding_reasons(connection: Connection, book: Book) -> dict[str, int]:
    counts = read_rows(connection, of_book(connection, "binding_reasons", book))
    return {row["reason"]: row["prices"] for row in counts}


def of_book(connection: Connection, query: str, book: Book) -> str:
    """The text of a named query with {personal} and {uniform} replaced by the staged tables."""
    tables = {parent.removesuffix("_prices"): names.Identifier(*book.table(parent)) for parent in PRICE_TABLES}
    return names.SQL(sql.query(query)).format(**tables).as_string(connection)
