"""Candidates: the decisions a price book is made of, with their demand curves and live prices."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow as pa
from psycopg2.extensions import connection as Connection

import sql
from models.demand.demand_curve import DemandCurve
from models.demand.fitted import FittedDemand
from models.features.content import Encoders
from models.features.decisions import Decisions
from tasks.copying import copy_frame
from tasks.data.snapshots import Snapshot
from tasks.database import read_arrow, read_rows
from tasks.training.features import live_prices, read_decisions

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
    live = live_prices(reading, snapshot.dataset, decisions.frame["decision_id"])
    return Candidates(terms, demand.curve(decisions, personal=False), live.assign(price=live["uniform_price"]))


def choose_pairs(reading: Connection, snapshot: Snapshot) -> int:
    """Choose the top products of every active user who consents; returns the number of users.

    The pairs are in the temporary table `candidate`, and what is asked of them while stock lasts in `to_come`; of both
    `candidates_of` reads.
    """
    parameters: dict[str, object] = {
        "dataset": snapshot.dataset,
        "decided_at": decided_at(snapshot),
        "weeks": timedelta(days=ACTIVE_DAYS),
        "active_since": snapshot.as_of - timedelta(days=ACTIVE_DAYS),
        "products_per_user": PRODUCTS_PER_USER,
    }
    with reading.cursor() as cursor:
        cursor.execute(sql.query("candidates"), parameters)
        cursor.execute("CREATE INDEX ON candidate (user_number)")
        cursor.execute(sql.query("selling_pools"), parameters)
        cursor.execute(sql.query("requests_to_come"), parameters)
    (chosen,) = read_rows(reading, "SELECT coalesce(max(user_number) + 1, 0) AS users FROM candidate")
    return int(chosen["users"])


def candidates_of(reading: Connection, block: int) -> pa.Table:
    """The (user_id, product_id, quantity) of one block of users, in their order; quantity is null where it is one."""
    users = {"first_user": block * USERS_PER_BLOCK, "users": USERS_PER_BLOCK}
    return read_arrow(reading, sql.query("candidates_of_block"), users)


def decide_pairs(reading: Connection, snapshot: Snapshot, encoders: Encoders, pairs: pd.DataFrame) -> Decisions:
    """The decisions about pairs of (user_id, product_id, quantity), with features as of the book's moment."""
    columns = "user_id text, product_id text, quantity double precision"
    with reading.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE candidate ({columns}) ON COMMIT DROP")
    copy_frame(reading, ["candidate"], pairs)
    return _decide(reading, snapshot, encoders, "decide_candidates")


def live_prices_of_pairs(reading: Connection, snapshot: Snapshot, pairs: pd.DataFrame) -> pd.DataFrame:
    """What pairs of (decision_id, user_id, product_id) are quoted now, as `live_prices` tells it."""
    with reading.cursor() as cursor:
        cursor.execute(sql.query("decisions_empty"))
    asked = pairs[["decision_id", "user_id", "product_id"]].assign(decided_at=decided_at(snapshot))
    copy_frame(reading, ["decision"], asked)
    return live_prices(reading, snapshot.dataset, asked["decision_id"])


def pair(
    reading: Connection,
    snapshot: Snapshot,
    encoders: Encoders,
    user_id: str,
    product_id: str,
    repriced_as_of: datetime | None = None,
) -> Decisions:
    """One user and product as a book of this snapshot decided for them, or as they were priced since, at a moment."""
    asked: dict[str, object] = {"user_id": user_id, "product_id": product_id}
    if repriced_as_of is not None:
        asked["decided_at"] = repriced_as_of
    return _decide(reading, snapshot, encoders, "decide_pair", recorded=repriced_as_of is not None, **asked)


def decided_at(snapshot: Snapshot) -> datetime:
    """The moment a book is priced for: just after the newest fact of its snapshot."""
    return snapshot.as_of + timedelta(microseconds=1)


def exploration_period(snapshot: Snapshot) -> date:
    """The time in which a user and product keep one draw: the day of the snapshot's newest fact, UTC."""
    return snapshot.as_of.astimezone(UTC).date()


def remaining_stock(
    reading: Connection, dataset: str, moment: datetime, pools: list[str] | None = None
) -> dict[str, float]:
    """Units that some pools have left, or all that sell at a moment; without a pool a product is not limited."""
    parameters = {"dataset": dataset, "decided_at": moment, "pools": pools}
    rows = read_rows(reading, sql.query("remaining_stock"), parameters)
    return {row["pool_id"]: row["remaining"] for row in rows}


def pools_with_an_end(reading: Connection, dataset: str, moment: datetime) -> frozenset[str]:
    """The pools whose stock perishes at a known time, such as a hotel's rooms."""
    parameters = {"dataset": dataset, "decided_at": moment}
    return frozenset(row["pool_id"] for row in read_rows(reading, sql.query("pools_with_an_end"), parameters))


def groups_of_users(reading: Connection, dataset: str, group: str, users: pd.Series) -> pd.Series:
    """The group of each row's user, which parity compares; no price is set from it.

    `group` is protected_group or the name of an attribute, `attr_*`.
    """
    parameters = {"dataset": dataset, "group": group, "users": users.unique().tolist()}
    rows = read_rows(reading, sql.query("groups_of_users"), parameters)
    return users.map({row["user_id"]: row["user_group"] for row in rows}).reset_index(drop=True)


def _decide(
    reading: Connection,
    snapshot: Snapshot,
    encoders: Encoders,
    query: str,
    recorded: bool = False,
    **parameters: object,
) -> Decisions:
    """The decisions that a query fills in, as the model reads them; by default as of the book's moment."""
    parameters = {"dataset": snapshot.dataset, "decided_at": decided_at(snapshot)} | parameters
    with reading.cursor() as cursor:
        cursor.execute(sql.query("decisions_empty"))
        cursor.execute(sql.query("selling_pools"), parameters)
        cursor.execute(sql.query(query), parameters)
    return read_decisions(reading, snapshot.dataset, encoders, recorded)
