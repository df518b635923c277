"""A storefront in simulated time: visitors act, are quoted and answer through the functions that a real one calls.

Only the clock is the simulation's: the database dates a quote by its own, so each is put back to the visit's moment.
Prices, guardrail intervals and densities are those that the platform logged.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2.extensions import connection as Connection

from models.features.decisions import Decisions
from models.simulation.live_market import LiveMarket
from tasks.copying import copy_frame
from tasks.database import read_frame, transaction

ENTRIES_AT_ONCE = 20_000  # of the repricing queue: a whole round of visits
_EVENTS = {
    "user_id": "text", "kind": "text", "product_id": "text", "category": "text", "dwell_seconds": "double precision",
    "occurred_at": "timestamptz",
}  # fmt: skip
_RECORD_EVENTS = f"SELECT count(pricing.record_event({', '.join(_EVENTS)})) FROM happened"
_QUOTE = """
CREATE TEMPORARY TABLE given ON COMMIT DROP AS
SELECT asked.decision_id, asked.decided_at, quote.quote_id
FROM asked, pricing.quote(asked.user_id, asked.product_id) AS quote;
UPDATE pricing.quotes SET quoted_at = given.decided_at FROM given WHERE quotes.quote_id = given.quote_id
"""
_GIVEN = """
SELECT given.decision_id, quote_id::text, user_id, product_id, source, randomised, propensity, price::double precision,
       list_price::double precision, uniform_price::double precision, lower::double precision, upper::double precision,
       unit_cost, floor, ceiling, live_price
FROM given JOIN pricing.quotes USING (quote_id)
"""
_RECORD_OUTCOMES = "SELECT count(pricing.record_outcome(quote_id::uuid, purchased, quantity)::text) FROM told"


@dataclass(frozen=True)
class Storefront:
    """The storefront of a live market, on the database of a URL."""

    live: LiveMarket
    url: str

    def open(self, since: pd.Timestamp, until: pd.Timestamp) -> pd.DataFrame:
        """Serve all visits between two moments, visit after visit of each user; returns what each was quoted.

        Before each visit its user's prices follow what he has done, as the repricing worker makes them.
        """
        from tasks.quotes.reprice import reprice_all

        visits = self.live.visits(since, until)
        rounds = visit_rounds(visits.frame)
        events = self.live.events(since, until)
        event_rounds = rounds_of_events(events, visits.frame, rounds)
        quotes = []
        for number in range(rounds.max() + 1):
            self._record(events[event_rounds == number])
            reprice_all(self.url, ENTRIES_AT_ONCE)
            quotes.append(self._serve(visits.select(np.flatnonzero(rounds == number))))
        self._record(events[event_rounds > rounds.max()])
        return pd.concat(quotes).set_index("decision_id").loc[visits.frame["decision_id"]].reset_index()

    def _record(self, events: pd.DataFrame) -> None:
        with transaction(self.url) as connection:
            _fill(connection, "happened", events[list(_EVENTS)], ", ".join(map(" ".join, _EVENTS.items())))
            _run(connection, _RECORD_EVENTS)

    def _serve(self, visits: Decisions) -> pd.DataFrame:
        """Quote the offers of one visit of each user, let the users answer, and tell the platform."""
        frame = visits.frame
        with transaction(self.url) as connection:
            asked = frame[["decision_id", "user_id", "product_id", "decided_at"]]
            _fill(connection, "asked", asked, "decision_id text, user_id text, product_id text, decided_at timestamptz")
            _run(connection, _QUOTE)
            quotes = read_frame(connection, _GIVEN).set_index("decision_id").loc[frame["decision_id"]].reset_index()
            ratio = (quotes["price"] / quotes["list_price"]).to_numpy("float64")
            bought = self.live.answers(visits, ratio)
            told = quotes[["quote_id"]].assign(purchased=bought, quantity=frame["quantity"])
            _fill(connection, "told", told, "quote_id text, purchased boolean, quantity double precision")
            _run(connection, _RECORD_OUTCOMES)
        self._record(self.live.purchases(visits, bought))
        return quotes.assign(purchased=bought)


def visit_rounds(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return which of its user's visits each offer is made in (rows,), from 0."""
    rank = frame.groupby("user_id")["decided_at"].rank("dense")
    return rank.to_numpy("int64") - 1


def rounds_of_events(events: pd.DataFrame, visits: pd.DataFrame, rounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first round before whose offers each event has happened (events,); after the last round its number."""
    nothing = np.full(len(events), rounds.max(initial=-1) + 1)
    decided = visits[["user_id", "decided_at"]].assign(round=rounds).drop_duplicates(["user_id", "decided_at"])
    happened = events[["user_id", "occurred_at"]].assign(place=np.arange(len(events))).sort_values("occurred_at")
    found = pd.merge_asof(
        happened, decided.sort_values("decided_at"), left_on="occurred_at", right_on="decided_at", by="user_id",
        direction="forward", allow_exact_matches=False,
    )  # fmt: skip
    known = found["round"].notna().to_numpy()
    nothing[found["place"].to_numpy()[known]] = found["round"].to_numpy("float64")[known].astype("int64")
    return nothing


def _fill(connection: Connection, table: str, frame: pd.DataFrame, columns: str) -> None:
    _run(connection, f"CREATE TEMPORARY TABLE {table} ({columns}) ON COMMIT DROP")
    copy_frame(connection, ["pg_temp", table], frame.reset_index(drop=True))


def _run(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
