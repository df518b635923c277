"""Price: every active user's top products and every product's uniform price, into a staged book."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import pandas as pd
from prefect import task
from psycopg2.extensions import connection as Connection

from models.certificate import Certificate
from models.errors import PricingError
from models.fairness import price_parity
from models.frontier import BookSample
from models.price_book import BookRequest, PriceBook, price_book
from models.pricing import price_decisions
from tasks.book import StagedBook, complete_book, stage_book
from tasks.candidates import (
    Candidates,
    decided_at,
    exploration_period,
    groups_of_users,
    personal_candidates,
    population,
    remaining_stock,
)
from tasks.database import database_url, transaction
from tasks.promote import Promotion
from tasks.settings import Settings

log = logging.getLogger("pricing.price")

ROWS_PER_BLOCK = 100_000
SAMPLE_ROWS = 10_000  # of personal prices, for the book's plots
PERSONAL_COLUMNS = [
    "user_id", "product_id", "price", "lower", "upper", "purchase_probability", "elasticity", "reasons",
    "randomised", "propensity",
]  # fmt: skip
UNIFORM_COLUMNS = ["product_id", "price", "lower", "upper", "list_price", "reasons"]


class NothingToPriceError(PricingError):
    """No product of the dataset can be given a price."""


@dataclass(frozen=True)
class PricedBook:
    """A staged book: how many prices it holds, the evidence of how they were set, and parity between groups.

    `refused` counts the pairs and products left without a price, by reason. `sample` holds some of the personal
    prices with all they were set from.
    """

    book: StagedBook
    personal_rows: int
    uniform_rows: int
    refused: dict[str, int]
    optimum: Certificate
    parity: dict[str, Any]
    sample: BookSample


@task
def price(promotion: Promotion) -> PricedBook:
    """Price the current snapshot under a promoted model and its policy, all decisions together.

    Raises:
        NothingToPriceError: not one product has an admissible price.
    """
    started = perf_counter()
    url = database_url(Settings())
    demand, snapshot = promotion.demand(), promotion.snapshot
    with transaction(url) as reading:
        products = population(reading, snapshot, demand)
        candidates = personal_candidates(reading, snapshot, demand)
        group = promotion.policy.fairness.group
        groups = groups_of_users(reading, snapshot.dataset, group, candidates.terms["user_id"])
        request = _request(reading, promotion, candidates, products, groups)
    book = price_book(request)
    uniform = _uniform_prices(promotion, products, book)
    personal = book.prices.join(candidates.terms[["user_id", "product_id"]])
    refused = Counter[str](personal["refused"].dropna()) + Counter[str](uniform["refused"].dropna())
    if uniform["refused"].notna().all():
        raise NothingToPriceError(f"no product of {snapshot.dataset} can be priced: {dict(refused)}")

    staged = stage_book(url, promotion.book_description() | {"terms": json.dumps(asdict(book.terms))})
    with transaction(url) as writing:
        uniform_rows = _write(writing, staged, "uniform_prices", uniform, UNIFORM_COLUMNS)
        personal_rows = _write(writing, staged, "personal_prices", personal, PERSONAL_COLUMNS)
        complete_book(writing, staged)
    log.info(
        "book %d: %s personal and %s uniform prices in %.1f s",
        staged.book_id, f"{personal_rows:,}", f"{uniform_rows:,}", perf_counter() - started,
    )  # fmt: skip
    parity = price_parity(book.prices, candidates.terms["user_id"], groups).to_dict()
    sample = BookSample.draw(request, book, SAMPLE_ROWS, seed=staged.book_id)
    return PricedBook(staged, personal_rows, uniform_rows, dict(refused), book.certificate, parity, sample)


def _request(
    reading: Connection, promotion: Promotion, candidates: Candidates, products: Candidates, groups: pd.Series
) -> BookRequest:
    snapshot = promotion.snapshot
    product_rows = pd.Index(products.terms["product_id"]).get_indexer(pd.Index(candidates.terms["product_id"]))
    return BookRequest(
        decisions=candidates.terms,
        curve=candidates.curve,
        uniform_curve=products.curve.take(product_rows),  # the very curve that sets the product's uniform price
        policy=promotion.policy,
        currency=snapshot.currency,
        live_price=candidates.live["price"],
        live_uniform_price=candidates.live["uniform_price"],
        live_propensity=candidates.live["propensity"],
        exploration_period=exploration_period(snapshot),
        remaining=remaining_stock(reading, snapshot.dataset, decided_at(snapshot)),
        group=groups,
    )


def _uniform_prices(promotion: Promotion, products: Candidates, book: PriceBook) -> pd.DataFrame:
    # Held to itself a price is not above uniform, and should not say that this rule holds it.
    rails = promotion.policy.guardrails.model_copy(update={"above_uniform": True})
    policy = promotion.policy.model_copy(update={"guardrails": rails})
    prices = price_decisions(
        products.terms, products.curve, products.curve, policy, promotion.snapshot.currency,
        live_price=products.live["price"], live_uniform_price=products.live["uniform_price"], terms=book.terms,
    )  # fmt: skip
    return prices.join(products.terms[["product_id", "list_price"]])


def _write(writing: Connection, book: StagedBook, table: str, prices: pd.DataFrame, columns: list[str]) -> int:
    """COPY the rows that have a price; returns how many."""
    kept = prices.loc[prices["refused"].isna(), columns]
    return sum(book.append(writing, table, block) for block in _as_text(kept))


def _as_text(prices: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Blocks with the reasons as Postgres writes an array."""
    for start in range(0, len(prices), ROWS_PER_BLOCK):
        block = prices.iloc[start : start + ROWS_PER_BLOCK]
        yield block.assign(reasons=["{" + ",".join(reasons) + "}" for reasons in block["reasons"]])
