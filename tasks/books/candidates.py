"""Candidates: the decisions a price book is made of, with their demand curves and live prices."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd
from psycopg2.extensions import connection as Connection

import sql
from models.demand.demand_curve import DemandCurve
from models.demand.fitted import FittedDemand
from models.features.content import Encoders
from models.features.decisions import Decisions
from tasks.data.snapshots import Snapshot
from tasks.database import read_rows
from tasks.training.features import live_prices, read_decisions

log = logging.getLogger("pricing.candidates")

ACTIVE_DAYS = 28  # a user with an event in these last days gets personal prices
PRODUCTS_PER_USER = 20
USERS_PER_BLOCK = 4_000

TERMS = ["user_id", "product_id", "list_price", "unit_cost", "floor", "ceiling", "consent", "quantity", "pool_id"]


@dataclass(frozen=True)
class Candidates:
    """Decisions to be priced together: their terms, and beside them, row by row, demand and live prices.

    `live` has the columns price and uniform_price, NaN where nothing is live.
    """

    terms: pd.DataFrame
    curve: DemandCurve
    live: pd.DataFrame


def population(reading: Connection, snapshot: Snapshot, demand: FittedDemand) -> Candidates:
    """Every product for nobody in particular: what uniform prices are set from."""
    decisions = _decide(reading, snapshot, demand.encoders, "decide_products")
    terms = decisions.frame[TERMS].assign(consent=True)  # nobody is asked, and nobody's data is read
    live = live_prices(reading, snapshot.dataset, decisions)
    return Candidates(terms, demand.curve(decisions, personal=False), live.assign(price=live["uniform_price"]))


def personal_candidates(reading: Connection, snapshot: Snapshot, demand: FittedDemand) -> Iterator[Candidates]:
    """The top products of every active user who consents, a block of users at a time; at least one block, if empty."""
    users = _choose(reading, snapshot)
    for first_user in range(0, max(users, 1), USERS_PER_BLOCK):
        block = {"first_user": first_user, "users": USERS_PER_BLOCK}
        decisions = _decide(reading, snapshot, demand.encoders, "decide_candidates", **block)
        yield Candidates(
            decisions.frame[TERMS], demand.curve(decisions), live_prices(reading, snapshot.dataset, decisions)
        )
        log.info("demand of %s of %s users", f"{min(first_user + USERS_PER_BLOCK, users):,}", f"{users:,}")


def pair(reading: Connection, snapshot: Snapshot, encoders: Encoders, user_id: str, product_id: str) -> Decisions:
    """One user and product as a book of this snapshot decided for them."""
    return _decide(reading, snapshot, encoders, "decide_pair", user_id=user_id, product_id=product_id)


def decided_at(snapshot: Snapshot) -> datetime:
    """The moment a book is priced for: just after the newest fact of its snapshot."""
    return snapshot.as_of + timedelta(microseconds=1)


def exploration_period(snapshot: Snapshot) -> str:
    """The time in which a user and product keep one draw: the day of the snapshot's newest fact, UTC."""
    return snapshot.as_of.astimezone(UTC).date().isoformat()


def remaining_stock(reading: Connection, dataset: str, moment: datetime) -> dict[str, float]:
    """Units that each pool selling at a moment has left; a product without a pool is not limited."""
    rows = read_rows(reading, sql.query("remaining_stock"), {"dataset": dataset, "decided_at": moment})
    return {row["pool_id"]: row["remaining"] for row in rows}


def groups_of_users(reading: Connection, dataset: str, group: str, users: pd.Series) -> pd.Series:
    """The group of each row's user, which parity compares; no price is set from it.

    `group` is protected_group or the name of an attribute, `attr_*`.
    """
    parameters = {"dataset": dataset, "group": group, "users": users.unique().tolist()}
    rows = read_rows(reading, sql.query("groups_of_users"), parameters)
    return users.map({row["user_id"]: row["user_group"] for row in rows}).reset_index(drop=True)


def _choose(reading: Connection, snapshot: Snapshot) -> int:
    """Fill the temporary table `candidate`; returns the number of users in it."""
    parameters: dict[str, object] = {
        "dataset": snapshot.dataset,
        "active_since": snapshot.as_of - timedelta(days=ACTIVE_DAYS),
        "products_per_user": PRODUCTS_PER_USER,
    }
    with reading.cursor() as cursor:
        cursor.execute(sql.query("candidates"), parameters)
    (chosen,) = read_rows(reading, "SELECT coalesce(max(user_number) + 1, 0) AS users FROM candidate")
    return int(chosen["users"])


def _decide(reading: Connection, snapshot: Snapshot, encoders: Encoders, query: str, **parameters: object) -> Decisions:
    """The decisions that a query fills in, with features as of the book's moment, read as the model reads them."""
    moment = {"dataset": snapshot.dataset, "decided_at": decided_at(snapshot)}
    with reading.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS decision, selling_pool")
        cursor.execute(sql.query("decisions_empty"))
        cursor.execute(sql.query("selling_pools"), moment)
        cursor.execute(sql.query(query), moment | parameters)
    return read_decisions(reading, snapshot.dataset, encoders)
