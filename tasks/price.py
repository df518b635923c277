"""Price: every active user's top products and every product's uniform price, into a staged book."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter

import pandas as pd
from prefect import task
from psycopg2.extensions import connection as Connection

import sql
from models.decisions import Decisions
from models.demand_curve import DemandCurve
from models.errors import PricingError
from models.fitted import FittedDemand
from models.pricing import price_decisions
from tasks.book import StagedBook, complete_book, stage_book
from tasks.database import database_url, transaction
from tasks.features import live_prices, read_decisions
from tasks.promote import Promotion
from tasks.settings import Settings
from tasks.snapshots import Snapshot

log = logging.getLogger("pricing.price")

ACTIVE_DAYS = 28  # a user with an event in these last days gets personal prices
PRODUCTS_PER_USER = 20
USERS_PER_BLOCK = 4_000

PERSONAL_COLUMNS = [
    "user_id", "product_id", "price", "lower", "upper", "purchase_probability", "elasticity", "reasons",
    "randomised", "propensity",
]  # fmt: skip
UNIFORM_COLUMNS = ["product_id", "price", "lower", "upper", "list_price", "reasons"]


class NothingToPriceError(PricingError):
    """No product of the dataset can be given a price."""


@dataclass(frozen=True)
class PricedBook:
    """A staged book and how many prices it holds; `refused` counts the pairs left without a price, by reason."""

    book: StagedBook
    personal_rows: int
    uniform_rows: int
    refused: dict[str, int]


@dataclass(frozen=True)
class UniformPrices:
    """The price of every product without personal data, and the population's demand curve behind it."""

    prices: pd.DataFrame
    curve: DemandCurve
    products: pd.Index

    def curve_of(self, product_ids: pd.Series) -> DemandCurve:
        """The population's curve of each row's product, the very one its uniform price was set from."""
        return self.curve.take(self.products.get_indexer(product_ids))


@task
def price(promotion: Promotion) -> PricedBook:
    """Price the current snapshot under a promoted model and its policy, in blocks of bounded memory.

    Raises:
        NothingToPriceError: not one product has an admissible price.
    """
    started = perf_counter()
    url = database_url(Settings())
    book = stage_book(url, promotion.book_description())
    demand = promotion.demand()
    refused: Counter[str] = Counter()
    with transaction(url) as reading, transaction(url) as writing:
        uniform = _uniform_prices(reading, promotion, demand)
        uniform_rows = _write(writing, book, "uniform_prices", uniform.prices, UNIFORM_COLUMNS, refused)
        if not uniform_rows:
            raise NothingToPriceError(f"no product of {promotion.snapshot.dataset} can be priced: {dict(refused)}")
        personal_rows = 0
        for prices in _personal_prices(reading, promotion, demand, uniform):
            personal_rows += _write(writing, book, "personal_prices", prices, PERSONAL_COLUMNS, refused)
            log.info("%s personal prices so far", f"{personal_rows:,}")
        complete_book(writing, book)
    log.info(
        "book %d: %s personal and %s uniform prices in %.1f s",
        book.book_id, f"{personal_rows:,}", f"{uniform_rows:,}", perf_counter() - started,
    )  # fmt: skip
    return PricedBook(book, personal_rows, uniform_rows, dict(refused))


def _uniform_prices(reading: Connection, promotion: Promotion, demand: FittedDemand) -> UniformPrices:
    decisions = _decide(reading, promotion, "decide_products")
    frame = decisions.frame.assign(consent=True)  # nobody is asked, and nobody's data is read
    curve = demand.curve(decisions, personal=False)
    live_price = live_prices(reading, promotion.snapshot.dataset, decisions)["uniform_price"]
    prices = price_decisions(
        frame, curve, curve, promotion.policy, promotion.snapshot.currency,
        live_price=live_price, live_uniform_price=live_price,
    )  # fmt: skip
    prices = prices.join(frame[["product_id", "list_price"]])
    return UniformPrices(prices, curve, pd.Index(frame["product_id"]))


def _personal_prices(
    reading: Connection, promotion: Promotion, demand: FittedDemand, uniform: UniformPrices
) -> Iterator[pd.DataFrame]:
    """Prices of all active users, a block of users at a time."""
    snapshot = promotion.snapshot
    for first_user in range(0, _choose_candidates(reading, snapshot), USERS_PER_BLOCK):
        decisions = _decide(
            reading, promotion, "decide_candidates", first_user=first_user, users=USERS_PER_BLOCK
        )
        frame = decisions.frame
        live = live_prices(reading, snapshot.dataset, decisions)
        prices = price_decisions(
            frame, demand.curve(decisions), uniform.curve_of(frame["product_id"]), promotion.policy, snapshot.currency,
            live_price=live["price"], live_uniform_price=live["uniform_price"],
            exploration_period=snapshot.as_of.date().isoformat(),
        )  # fmt: skip
        yield prices.join(frame[["user_id", "product_id"]])


def _choose_candidates(reading: Connection, snapshot: Snapshot) -> int:
    """Fill the temporary table `candidate`; returns the number of users in it."""
    with reading.cursor() as cursor:
        cursor.execute(
            sql.query("candidates"),
            {
                "dataset": snapshot.dataset,
                "active_since": snapshot.as_of - timedelta(days=ACTIVE_DAYS),
                "products_per_user": PRODUCTS_PER_USER,
            },
        )
        cursor.execute("SELECT coalesce(max(user_number) + 1, 0) FROM candidate")
        (users,) = cursor.fetchone() or (0,)
    return int(users)


def _decide(reading: Connection, promotion: Promotion, query: str, **parameters: object) -> Decisions:
    """The decisions that a query fills in, with features as of just after the newest fact of the snapshot."""
    snapshot = promotion.snapshot
    moment = {"dataset": snapshot.dataset, "decided_at": snapshot.as_of + timedelta(microseconds=1)}
    with reading.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS decision")
        cursor.execute(sql.query("decisions_empty"))
        cursor.execute(sql.query(query), moment | parameters)
    return read_decisions(reading, snapshot.dataset)


def _write(
    writing: Connection, book: StagedBook, table: str, prices: pd.DataFrame, columns: list[str], refused: Counter[str]
) -> int:
    """COPY the rows that have a price; count the others by the reason they have none."""
    refused.update(prices["refused"].dropna())
    kept = prices.loc[prices["refused"].isna(), columns]
    return book.append(writing, table, kept.assign(reasons=kept["reasons"].map(_text_array)))


def _text_array(reasons: list[str]) -> str:
    return "{" + ",".join(reasons) + "}"
