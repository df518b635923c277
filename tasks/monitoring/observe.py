"""Observe: what was quoted, what came of it, and what users and the market do, in the last windows of time."""

import json
import math
from dataclasses import dataclass, fields
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
MOST_ROWS = 100_000  # of each feature table, in each window and in the reference; of more, a share is drawn
REFERENCE = timedelta(days=28)  # before the snapshot that the model learnt from

# By their queries monitored_*: what users do, what the market does, who is offered a price, and in which context.
FEATURES = ("behaviour", "market", "users", "offers")


@dataclass(frozen=True)
class Freshness:
    """How old things are: the longest wait for a price, the book, what its model learnt from, and the newest data.

    ``life_spent`` is a share of the book's life. Data are as old as the collection that first had a row as new as
    ``newest_row``, so that a history of long ago is not old, and a source that brings nothing new is.
    """

    queue_seconds: float
    life_spent: float
    model_days: float
    data_days: float
    newest_row: datetime


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
    """The live book and what the windows hold: ``quotes`` and the tables of ``current`` have the column ``window``.

    ``reference`` holds the same tables, without that column, from before the data that the model learnt from end: a
    snapshot is a hash and not a copy, so they are today's rows of that time. Windows are numbered from 0, the oldest.
    ``sampled_users`` is the share of users whose quotes were read.
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
    freshness: Freshness
    sampled_users: float

    @property
    def answered(self) -> pd.DataFrame:
        """The quotes of which the outcome, and what the model promised, are known."""
        return self.quotes.dropna(subset=["purchased", "sensitivity", "valuation", "unit_cost"])


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
        current, reference, Freshness(**{field.name: live[field.name] for field in fields(Freshness)}), sampled,
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
    rows, _ = _sampled(connection, f"monitored_{table}", parameters, MOST_ROWS)
    return _in_columns(rows["attributes"]) if "attributes" in rows else rows


def _sampled(
    connection: Connection, query: str, parameters: dict[str, object], most: int
) -> tuple[pd.DataFrame, float]:
    """About `most` rows of a query at the most, drawn by its own `every`, and the share that was drawn."""
    text = sql.query(query)
    counting = f"SELECT count(*) FROM ({text}) AS rows"  # noqa: S608 - the text is ours, its parameters are bound
    (counted,) = read_rows(connection, counting, parameters | {"every": 1})
    every = max(1, math.ceil(counted["count"] / most))
    return read_arrow(connection, text, parameters | {"every": every}).to_pandas(), 1 / every


def _in_columns(attributes: pd.Series) -> pd.DataFrame:
    """One column for each attribute that any row has, from their JSON."""
    return pd.DataFrame.from_records([json.loads(text) for text in attributes])
