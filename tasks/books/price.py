"""Price: every active user's top products and every product's uniform price, into a staged book."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from time import perf_counter
from typing import Any

import pandas as pd
from prefect import task
from psycopg2.extensions import connection as Connection

from models.errors import PricingError
from models.pricing.book_request import BookRequest
from models.pricing.book_sample import BookSample
from models.pricing.certificate import Certificate
from models.pricing.decide import price_decisions
from models.pricing.price_book import SettledBook, settle_book
from models.pricing.shadow_prices import BookTerms
from tasks.books.blocks import Block
from tasks.books.book import Book, complete_book, stage_book, write_bid_prices, write_prices
from tasks.books.candidates import (
    TERMS,
    Candidates,
    decided_at,
    exploration_period,
    groups_of_users,
    live_prices_of_pairs,
    pools_with_an_end,
    population,
    remaining_stock,
)
from tasks.books.price_stream import PriceStream, as_rows
from tasks.books.score import ScoredPairs
from tasks.books.spare_core import sparing_a_core
from tasks.books.spool import spooled
from tasks.data.snapshots import require_unchanged
from tasks.database import database_url, transaction
from tasks.registry.promote import Promotion
from tasks.settings import Settings

log = logging.getLogger("pricing.price")

UNIFORM_COLUMNS = [
    "product_id", "price", "lower", "upper", "list_price", "reasons", "sensitivity", "valuation", "live_price",
    "unit_cost", "floor", "ceiling", "pool_id",
]  # fmt: skip


class NothingToPriceError(PricingError):
    """No product of the dataset can be given a price."""


@dataclass(frozen=True)
class PricedBook:
    """A staged book: how many prices it holds, the evidence of how they were set, and parity between groups.

    `refused` counts the pairs and products left without a price, by reason. `sample` holds some of the personal
    prices with all they were set from.
    """

    book: Book
    personal_rows: int
    uniform_rows: int
    refused: dict[str, int]
    optimum: Certificate
    parity: dict[str, Any]
    sample: BookSample


@task
def price(promotion: Promotion, blocks: list[Block]) -> PricedBook:
    """Price scored blocks of pairs under a promoted model's policy, from demand to staged rows block by block.

    Where limits tie the rows together they go to a file of PRICING_HOME first, and come from it as often as needed.
    The blocks' files are removed when the book is staged.

    Raises:
        NothingToPriceError: not one product has an admissible price.
        DataChangedError: the dataset is not the promotion's snapshot any more.
    """
    started = perf_counter()
    url = database_url(Settings())
    with transaction(url) as reading, transaction(url) as writing, sparing_a_core(writing):
        reading.set_session(isolation_level="REPEATABLE READ")  # every step counts from one and the same live book
        require_unchanged(reading, promotion.snapshot)
        products = population(reading, promotion.snapshot, promotion.demand())
        books = _settled(promotion, _requests(reading, promotion, products, blocks))
        first = next(books)
        uniform = _uniform_prices(promotion, products, first.terms)
        terms = {"terms": json.dumps(asdict(first.terms)), "priced_against": blocks[0].live_book}
        staged = stage_book(writing, promotion.book_description() | terms)
        if first.terms.bid_prices:
            write_bid_prices(writing, staged, list(first.bid_price_curves()))
        stream = PriceStream(chain([first], books), seed=staged.book_id)
        personal_rows = write_prices(writing, staged, "personal_prices", stream.rows(staged))
        uniform_rows = write_prices(writing, staged, "uniform_prices", [as_rows(uniform, UNIFORM_COLUMNS, staged)])
        complete_book(writing, staged)
    shutil.rmtree(blocks[0].folder, ignore_errors=True)
    log.info(
        "book %d: %s personal and %s uniform prices in %.1f s",
        staged.book_id, f"{personal_rows:,}", f"{uniform_rows:,}", perf_counter() - started,
    )  # fmt: skip
    refused = stream.refused + Counter[str](uniform["refused"].dropna())
    return PricedBook(
        staged, personal_rows, uniform_rows, dict(refused), stream.certificate(), stream.parity(), stream.sample()
    )


def _requests(
    reading: Connection, promotion: Promotion, products: Candidates, blocks: list[Block]
) -> Iterator[BookRequest]:
    snapshot, group = promotion.snapshot, promotion.policy.fairness.group
    remaining = remaining_stock(reading, snapshot.dataset, decided_at(snapshot))
    may_run_out = pools_with_an_end(reading, snapshot.dataset, decided_at(snapshot))
    numbers = pd.Index(products.terms["product_id"])
    for scored in map(ScoredPairs.read, blocks):
        live = live_prices_of_pairs(reading, snapshot, scored.terms)
        product_rows = numbers.get_indexer(pd.Index(scored.terms["product_id"]))
        yield BookRequest(
            decisions=scored.terms[TERMS],
            curve=scored.curve,
            uniform_curve=products.curve.take(product_rows),  # the very curve that sets the product's uniform price
            policy=promotion.policy,
            currency=snapshot.currency,
            live_price=live["price"],
            live_uniform_price=live["uniform_price"],
            live_propensity=live["propensity"],
            exploration_period=exploration_period(snapshot),
            remaining=remaining,
            may_run_out=may_run_out,
            group=groups_of_users(reading, snapshot.dataset, group, scored.terms["user_id"]),
        )


def _settled(promotion: Promotion, requests: Iterator[BookRequest]) -> Iterator[SettledBook]:
    """One book of all requests where stock or a limit ties them together, else one of each, as they come."""
    first = next(requests)
    if promotion.policy.binds_whole_book or first.remaining:
        with spooled(chain([first], requests)) as kept:
            yield settle_book(kept)
    else:
        for request in chain([first], requests):
            yield settle_book([request])


def _uniform_prices(promotion: Promotion, products: Candidates, terms: BookTerms) -> pd.DataFrame:
    prices = price_decisions(
        products.terms, products.curve, products.curve, promotion.policy.of_uniform_prices, promotion.snapshot.currency,
        live_price=products.live["price"], live_uniform_price=products.live["uniform_price"], terms=terms,
    )  # fmt: skip
    if prices["refused"].notna().all():
        refused = prices["refused"].value_counts().to_dict()
        raise NothingToPriceError(f"no product of {promotion.snapshot.dataset} can be priced: {refused}")
    given = products.terms[["product_id", "list_price", "unit_cost", "floor", "ceiling", "pool_id"]]
    curve, live = products.curve, products.live["uniform_price"].to_numpy()
    return prices.join(given).assign(sensitivity=curve.sensitivity, valuation=curve.valuation, live_price=live)
