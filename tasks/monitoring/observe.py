"""Observe: what was quoted, what came of it, and what users and the market do, in the last windows of time."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd
from prefect import task
from psycopg2.extensions import connection as Connection

import sql
from models.pricing.policy import PricingPolicy
from tasks.books.candidates import groups_of_users
from tasks.database import database_url, read_arrow, read_rows, transaction
from tasks.retries import RETRIED
from tasks.settings import Settings

MOST_QUOTES = 1_000_000  # of all windows; of more, whole users are drawn
MOST_ROWS = 100_000  # of behaviour or of the market, in each window and in the reference; of more, a share is drawn
REFERENCE = timedelta(days=28)  # before the snapshot that the model learnt from

FEATURES = {"behaviour": ("kind", "category", "dwell_seconds"),
            "market": ("competitor_price_to_list", "demand_index", "supply_index")}  # fmt: skip


@dataclass(frozen=True)
class Windows:
    """So many windows of so many hours, the newest of which ends now."""

    hours: float
    count: int

    def ends(self, now: datetime) -> list[datetime]:
        """The end of each, oldest first."""
        return [now - number * timedelta(hours=self.hours) for number in reversed(range(self.count))]


@dataclass(frozen=True)
class Observation:
    """The live book and what the windows hold: ``quotes``, ``behaviour`` and ``market`` have the column ``window``.

    ``reference`` holds behaviour and market as the model learnt from them, by table. Windows are numbered from 0, the
    oldest. ``sampled_users`` is the share of users whose quotes were read.
    """

    book_id: int
    dataset: str
    model_version: int
    policy: PricingPolicy
    currency: str
    ends: list[datetime]
    quotes: pd.DataFrame
    current: dict[str, pd.DataFrame]
    reference: dict[str, pd.DataFrame]
    queue_seconds: float
    life_spent: float
    sampled_users: float


@task(**RETRIED)
def observe(windows: Windows) -> Observation | None:
    """Read what the windows hold of the live model's quotes, and of behaviour and the market; None: no book is live."""
    return observed_at(datetime.now(UTC), windows, database_url(Settings()))


def observed_at(now: datetime, windows: Windows, url: str) -> Observation | None:
    """What the task does, as if it were `now`."""
    ends = windows.ends(now)
    length = timedelta(hours=windows.hours)
    period = {"since": ends[0] - length, "until": ends[-1]}
    with transaction(url) as connection:
        rows = read_rows(connection, sql.query("monitored_book"), {"now": now})
        if not rows:
            return None
        live = rows[0]
        policy = PricingPolicy.from_mapping(live["policy"], origin=f"book {live['book_id']}")
        quotes, sampled = _quotes(connection, period | {"model_version": live["model_version"]})
        group = policy.fairness.group
        quotes["group"] = groups_of_users(connection, live["dataset"], group, quotes["user_id"])
        learnt = {"since": live["as_of"] - REFERENCE, "until": live["as_of"]}
        current = {name: _by_window(connection, name, live["dataset"], ends, length) for name in FEATURES}
        reference = {name: _rows(connection, name, learnt | {"dataset": live["dataset"]}) for name in FEATURES}
    quotes["window"] = ((quotes["quoted_at"] - period["since"]) // length).astype("int64")
    return Observation(
        live["book_id"], live["dataset"], live["model_version"], policy, live["currency"], ends, quotes,
        current, reference, live["queue_seconds"], live["life_spent"], sampled,
    )  # fmt: skip


def _quotes(connection: Connection, parameters: dict[str, object]) -> tuple[pd.DataFrame, float]:
    return _sampled(connection, "monitored_quotes", parameters, MOST_QUOTES)


def _by_window(
    connection: Connection, table: str, dataset: str, ends: list[datetime], length: timedelta
) -> pd.DataFrame:
    """A table's rows with their ``window``; each window is sampled for itself, so that a busy one empties no other."""
    windows = (
        _rows(connection, table, {"dataset": dataset, "since": end - length, "until": end}).assign(window=number)
        for number, end in enumerate(ends)
    )
    return pd.concat(windows, ignore_index=True)


def _rows(connection: Connection, table: str, parameters: dict[str, object]) -> pd.DataFrame:
    return _sampled(connection, f"monitored_{table}", parameters, MOST_ROWS)[0]


def _sampled(
    connection: Connection, query: str, parameters: dict[str, object], most: int
) -> tuple[pd.DataFrame, float]:
    """About `most` rows of a query at the most, drawn by its own `every`, and the share that was drawn."""
    text = sql.query(query)
    counting = f"SELECT count(*) FROM ({text}) AS rows"  # noqa: S608 - the text is ours, its parameters are bound
    (counted,) = read_rows(connection, counting, parameters | {"every": 1})
    every = max(1, math.ceil(counted["count"] / most))
    return read_arrow(connection, text, parameters | {"every": every}).to_pandas(), 1 / every
