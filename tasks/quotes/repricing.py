"""Repricing: what waits in the queue, priced as the live book would have priced it, in one transaction a block."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2.extensions import connection as Connection

import sql
from models.demand.demand_curve import DemandCurve
from models.demand.fitted import FittedDemand
from models.evidence.price_checks import violations
from models.features.decisions import Decisions
from models.pricing.bid_prices import BidPriceCurve
from models.pricing.decide import price_decisions
from models.pricing.policy import PricingPolicy
from models.pricing.row_prices import standing_interval
from models.pricing.shadow_prices import BookTerms
from tasks.books.book import Book
from tasks.books.candidates import TERMS, exploration_period, remaining_stock
from tasks.books.price import UNIFORM_COLUMNS
from tasks.books.price_stream import PERSONAL_COLUMNS, array_texts
from tasks.copying import copy_frame
from tasks.data.snapshots import Snapshot
from tasks.database import read_frame, read_rows
from tasks.registry.versions import version_of
from tasks.training.features import read_decisions

log = logging.getLogger("pricing.reprice")

PRODUCTS_LOCK = 7_265_002  # any number, the same in every process: one worker at a time sets uniform prices

PRODUCT_TERMS = ["list_price", "unit_cost", "floor", "ceiling", "bid_price"]
STANDING_LIMITS = ["personal_lower", "personal_upper"]

Demands = Callable[[int], FittedDemand]


@dataclass(frozen=True)
class ContinuedBook:
    """The live book with all that later prices are set by as its own were."""

    book: Book
    snapshot: Snapshot
    demand: FittedDemand
    policy: PricingPolicy
    terms: BookTerms


@dataclass(frozen=True)
class Repriced:
    """What one transaction took from the queue, and how many prices it set; `queued_at` (entries,)."""

    queued_at: tuple[datetime, ...] = ()
    prices: int = 0


_loading = Lock()


def registered_demand(model_version: int) -> FittedDemand:
    """The model of a version, loaded once while it is in use."""
    with _loading:
        return _loaded_demand(model_version)


@lru_cache(maxsize=2)  # a rollback goes back and forth
def _loaded_demand(model_version: int) -> FittedDemand:
    return version_of(str(model_version)).demand()


def continued_book(connection: Connection, demands: Demands = registered_demand) -> ContinuedBook | None:
    """The live book while it is quoted, with its model; None where there is none to continue.

    It stays the live one until this transaction ends: another goes live only when nobody writes prices that continue
    this one. Its model is loaded before that, since MLflow may be slow to answer.
    """
    for row in read_rows(connection, sql.query("reprice_live_book")):
        demands(row["model_version"])
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE pricing.repriced_personal IN ROW EXCLUSIVE MODE")
    found = read_rows(connection, sql.query("reprice_live_book"))
    if not found:
        return None
    (row,) = found
    policy = PricingPolicy.from_mapping(row["policy"], origin=f"book {row['book_id']}")
    demand = demands(row["model_version"])
    return ContinuedBook(Book(row["book_id"]), Snapshot.of_row(row), demand, policy, BookTerms(**row["terms"]))


def reprice_products(connection: Connection, live: ContinuedBook) -> Repriced:
    """Set the uniform price of every waiting product anew, and queue the pairs that have a personal price of it."""
    (lock,) = read_rows(connection, "SELECT pg_try_advisory_xact_lock(%(lock)s) AS held", {"lock": PRODUCTS_LOCK})
    claimed = read_rows(connection, sql.query("reprice_claim_products")) if lock["held"] else []
    if not claimed:
        return Repriced()
    products = sorted({entry["product_id"] for entry in claimed})
    decisions = _decide(connection, live, "decide_products_anew", products=products)
    curve = live.demand.curve(decisions, personal=False)
    published = _published(connection, live, decisions)
    terms = decisions.frame[TERMS].assign(
        consent=True,  # nobody is asked, and nobody's data is read
        bid_price=_bid_prices(connection, live, decisions, published["bid_price"]),
    )
    policy = live.policy.of_uniform_prices
    prices = price_decisions(
        terms, curve, curve, policy, live.snapshot.currency,
        live_price=published["uniform_price"], live_uniform_price=published["uniform_price"], terms=live.terms,
    )  # fmt: skip
    _withdraw_beyond_rules(terms, prices, policy, live)
    rows = prices.join(terms[["product_id", *PRODUCT_TERMS, "pool_id"]]).assign(
        sensitivity=curve.sensitivity,
        valuation=curve.valuation,
        live_price=published["uniform_price"].to_numpy(),
        **_standing_limits(connection, live, decisions, terms, prices),
    )
    _store(connection, live, decisions, rows, "uniform", [*UNIFORM_COLUMNS, "bid_price", *STANDING_LIMITS])
    queued_at = tuple(entry["queued_at"] for entry in claimed)
    _execute(connection, live, "queue_pairs_of_products", products=products, queued_at=min(queued_at))
    return Repriced(queued_at, len(rows))


def reprice_users(connection: Connection, live: ContinuedBook, entries: int) -> Repriced:
    """Set the prices of the users who have waited longest, at most so many entries of the queue, and of some pairs.

    A few of the pairs that the market touched come along, or more where nobody has acted, so that they do not wait for
    ever and hardly hold up who acts.
    """
    claim = sql.query("reprice_claim_users")
    claimed = read_rows(connection, claim, {"entries": entries, "pairs": False})
    pairs = entries // (8 if claimed else 2)
    claimed += read_rows(connection, claim, {"entries": max(pairs, 1), "pairs": True})
    if not claimed:
        return Repriced()
    asked = {(entry["user_id"], entry["product_id"]) for entry in claimed}
    users, products = (list(column) for column in zip(*asked, strict=True))
    decisions = _decide(connection, live, "decide_pairs_anew", users=users, products=products)
    queued_at = tuple(entry["queued_at"] for entry in claimed)
    if not len(decisions):
        return Repriced(queued_at)
    rows = _personal_prices(connection, live, decisions)
    _store(connection, live, decisions, rows, "personal", [*PERSONAL_COLUMNS, "uniform_repriced_at"])
    return Repriced(queued_at, len(rows))


def _personal_prices(connection: Connection, live: ContinuedBook, decisions: Decisions) -> pd.DataFrame:
    """The prices of pairs with whose they are and what they were computed from.

    Costs, limits and bid price are those that the product's uniform price is set from now: where they have changed
    since, the product waits in the queue and its pairs follow it.
    """
    curve, published = live.demand.curve(decisions), _published(connection, live, decisions)
    terms = decisions.frame[TERMS].assign(**published[PRODUCT_TERMS])
    uniform_curve = DemandCurve(published["sensitivity"].to_numpy(), published["valuation"].to_numpy())
    prices = price_decisions(
        terms, curve, uniform_curve, live.policy, live.snapshot.currency,
        live_price=published["price"], live_uniform_price=published["uniform_live_price"],
        live_propensity=published["propensity"], exploration_period=exploration_period(live.snapshot), terms=live.terms,
    )  # fmt: skip
    _withdraw(prices, _sold_out(connection, live, decisions), "sold_out")
    _withdraw_beyond_rules(terms, prices, live.policy, live)
    return prices.assign(
        user_id=terms["user_id"],
        product_id=terms["product_id"],
        sensitivity=curve.sensitivity,
        valuation=curve.valuation,
        live_price=published["price"].to_numpy(),
        live_propensity=published["propensity"].to_numpy(),
        uniform_repriced_at=published["uniform_repriced_at"].to_numpy(),
    )


def _standing_limits(
    connection: Connection, live: ContinuedBook, decisions: Decisions, terms: pd.DataFrame, prices: pd.DataFrame
) -> dict[str, NDArray[np.float64]]:
    """Between which prices (rows,) a personal price of before stands until its pair is priced anew; NaN: none does."""
    band = live.terms.parity_band
    interval = standing_interval(terms, prices["price"], live.policy, live.snapshot.currency, band)
    stands = prices["refused"].isna() & ~interval.conflict & ~_sold_out(connection, live, decisions)
    ends = zip(STANDING_LIMITS, (interval.lower, interval.upper), strict=True)
    return {name: np.where(stands, end, np.nan) for name, end in ends}


def _bid_prices(connection: Connection, live: ContinuedBook, decisions: Decisions, in_force: pd.Series) -> pd.Series:
    """What a unit of each product's stock is worth now; NaN is the book's own. Where none is left it stays as it is."""
    pools = decisions.frame["pool_id"]
    if pools.isna().all():
        return in_force
    parameters = {
        "products": decisions.frame["product_id"].tolist(), "dataset": live.snapshot.dataset,
        "book_id": live.book.book_id, "as_of": live.snapshot.as_of,
    }  # fmt: skip
    rows = read_rows(connection, sql.query("scarcity"), parameters)
    bid = {row["pool_id"]: _curve(row).at(row["remaining"], row["to_come"]) for row in rows if row["remaining"] > 0}
    return pools.map(bid).astype("float64").fillna(in_force)


def _curve(row: dict[str, Any]) -> BidPriceCurve:
    return BidPriceCurve(row["pool_id"], row["requests"], np.array(row["units"]), np.array(row["bid_price"]))


def _sold_out(connection: Connection, live: ContinuedBook, decisions: Decisions) -> NDArray[np.bool_]:
    pools = decisions.frame["pool_id"]
    if pools.isna().all():
        return np.zeros(len(pools), bool)
    moment = decisions.frame["decided_at"].max().to_pydatetime()
    stock = remaining_stock(connection, live.snapshot.dataset, moment, pools.dropna().unique().tolist())
    return pools.isin({pool for pool, units in stock.items() if units <= 0}).to_numpy()


def _withdraw_beyond_rules(
    terms: pd.DataFrame, prices: pd.DataFrame, policy: PricingPolicy, live: ContinuedBook
) -> None:
    """Serve no price that an independent reading of the rules refuses, and say so: the pricing code is wrong then."""
    beyond = violations(terms, prices, policy, live.snapshot.currency)
    if beyond.any(axis=None):
        broken = {rule: int(rows.sum()) for rule, rows in beyond.items() if rows.any()}
        log.error(
            "%d prices that continue book %d break a rule and are withdrawn: %s",
            int(beyond.any(axis=1).sum()), live.book.book_id, broken,
        )  # fmt: skip
        _withdraw(prices, beyond.any(axis=1).to_numpy(), "beyond_a_rule")


def _withdraw(prices: pd.DataFrame, rows: NDArray[np.bool_], reason: str) -> None:
    if not rows.any():
        return
    prices.loc[rows, "refused"] = reason
    prices.loc[rows, ["randomised", "propensity"]] = [False, np.nan]  # a draw that nobody is shown


def _decide(connection: Connection, live: ContinuedBook, query: str, **parameters: object) -> Decisions:
    """The decisions that a query fills in, with what the storefront has recorded up to now."""
    with connection.cursor() as cursor:
        cursor.execute(sql.query("decisions_empty"))
    _execute(connection, live, query, as_of=live.snapshot.as_of, **parameters)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE decision")  # the queries that read it are planned for as many rows as it has
    return read_decisions(connection, live.snapshot.dataset, live.demand.encoders, recorded=True)


def _published(connection: Connection, live: ContinuedBook, decisions: Decisions) -> pd.DataFrame:
    parameters = {"book_id": live.book.book_id}
    found = read_frame(connection, sql.query("published_prices_of_decisions"), parameters).set_index("decision_id")
    amounts = found.columns.difference(["uniform_repriced_at"])
    found[amounts] = found[amounts].astype("float64")
    return found.loc[decisions.frame["decision_id"]].reset_index(drop=True)


def _store(
    connection: Connection,
    live: ContinuedBook,
    decisions: Decisions,
    rows: pd.DataFrame,
    which: str,
    columns: Sequence[str],
) -> None:
    """Serve these prices from the end of the transaction; those refused withdraw the book's, with the reason."""
    refused = rows["refused"]
    given = ["price", "lower", "upper", *(["purchase_probability", "elasticity"] if which == "personal" else [])]
    kept = rows[list(columns)].copy()
    kept.loc[refused.notna(), given] = np.nan
    reasons = rows["reasons"].where(refused.isna(), refused.map(lambda reason: [reason]))
    kept = kept.assign(
        reasons=array_texts(reasons), book_id=live.book.book_id, decided_at=decisions.frame["decided_at"].to_numpy()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE repriced (LIKE pricing.repriced_{which} INCLUDING DEFAULTS) ON COMMIT DROP"
        )
        copy_frame(connection, ["pg_temp", "repriced"], kept)
        cursor.execute(sql.query(f"store_repriced_{which}"))


def _execute(connection: Connection, live: ContinuedBook, query: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        known = {"book_id": live.book.book_id, "dataset": live.snapshot.dataset}
        cursor.execute(sql.query(query), known | parameters)
