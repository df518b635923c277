"""Explain: how the live price of one user and product came about, by pricing it again as its book did."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

import numpy as np
import pandas as pd
from psycopg2.extensions import connection as Connection

import sql
from models.demand.demand_curve import DemandCurve
from models.features.decisions import Decisions
from models.pricing.decide import explain, price_decisions
from models.pricing.explanation import PricedUnder, PriceReasons, price_reasons
from models.pricing.policy import PricingPolicy
from models.pricing.shadow_prices import BookTerms
from tasks.books.candidates import ACTIVE_DAYS, PRODUCTS_PER_USER, decided_at, exploration_period, pair, remaining_stock
from tasks.data.pseudonyms import stored_user_ids
from tasks.data.snapshots import Snapshot, latest_snapshot
from tasks.database import database_url, read_rows, transaction
from tasks.quotes.quote import Quote
from tasks.registry.versions import version_of
from tasks.settings import Settings
from tasks.training.features import live_prices

STEPS = {  # of the waterfall, where the rule's own name does not say it
    "optimum": "best price, before any rule",
    "above_uniform": "not above the uniform price",
    "rounded": "rounded to a price that can be paid",
    "shown": "shown, the random draw included",
}


@dataclass(frozen=True)
class Explanation:
    """How a quoted price came about; money in the quote's currency.

    ``waterfall`` holds the price after each step in words, from the list price and the best price to the one
    shown; it is None, and so are the ``reasons``, where the price quoted cannot be computed again, which ``notes`` say.
    """

    waterfall: dict[str, float] | None
    reasons: PriceReasons | None
    notes: tuple[str, ...]


def explain_quote(answer: Quote, user_id: str, product_id: str) -> Explanation:
    """Price the pair again under the book's model, policy and terms, with what was known when it was priced.

    Raises:
        VersionNotFoundError: the registry no longer has the book's model.
    """
    url = database_url(Settings())
    with transaction(url) as connection:
        (stored_id,) = stored_user_ids(connection, pd.Series([user_id]))
        repriced = _Repriced.read(connection, answer, stored_id, product_id)
        notes = [*repriced.fallback(), *_newer_events(connection, repriced.snapshot, stored_id)]
    if answer.source == "list":
        return Explanation(None, None, tuple(notes))
    steps, tick = repriced.steps(), repriced.tick
    difference = abs(steps["shown"] - float(answer.price))
    if not difference <= 1.5 * tick:  # a price that is refused now is NaN
        notes.append(_disagreement(url, repriced.snapshot, answer.book_id))
        return Explanation(None, None, tuple(notes))
    if difference > tick / 2:
        notes.append(f"Computed for this pair alone the price is {steps['shown']:g}: one tick off, by rounding.")
        steps["shown"] = float(answer.price)
    reasons = price_reasons(repriced.under, repriced.quoted, steps, float(answer.uniform_price))
    waterfall = {STEPS.get(str(step), str(step).replace("_", " ")): float(price) for step, price in steps.items()}
    return Explanation(waterfall, reasons, tuple(notes))


@dataclass(frozen=True)
class _Repriced:
    """One pair as its book saw it: what was known just after the snapshot, and what was live then."""

    answer: Quote
    under: PricedUnder
    snapshot: Snapshot
    decision: Decisions
    live: pd.DataFrame
    is_sold_out: bool

    @classmethod
    def read(cls, connection: Connection, answer: Quote, user_id: str, product_id: str) -> "_Repriced":
        (book,) = read_rows(connection, sql.query("book_origin"), {"book_id": answer.book_id})
        snapshot = Snapshot(
            **{name: book[name] for name in ("snapshot_id", "dataset", "currency", "row_counts", "as_of")}
        )
        demand = version_of(str(book["model_version"])).demand()
        decision = pair(connection, snapshot, demand.encoders, user_id, product_id)
        # Book 0 never was: where none was live, nothing counts from what is live now.
        live = live_prices(connection, snapshot.dataset, decision.frame["decision_id"], book["book_before"] or 0)
        remaining = remaining_stock(connection, snapshot.dataset, decided_at(snapshot))
        under = PricedUnder(
            demand,
            PricingPolicy.from_mapping(book["policy"], origin=f"book {answer.book_id}"),
            BookTerms(**book["terms"]),
        )
        left = remaining.get(str(decision.frame["pool_id"].iloc[0]), np.inf)
        return cls(answer, under, snapshot, decision, live, left <= 0)

    @property
    def tick(self) -> float:
        """Distance between neighbouring admissible prices, in money."""
        return self.under.policy.guardrails.price_grid(self.snapshot.currency).spacing

    @property
    def quoted(self) -> Decisions:
        """The decision behind the price quoted: a uniform price is what a stranger would get."""
        return self.decision if self.answer.source == "personal" else _of_a_stranger(self.decision)

    def steps(self) -> pd.Series:
        """The waterfall of the price quoted."""
        return explain(self.quoted.frame, *self._curves(), *self._policy, **self._given()).iloc[0]

    def fallback(self) -> Iterator[str]:
        """Why the price is not a personal one, where it is not."""
        answer, reasons = self.answer, self.answer.reasons
        if "book_expired" in reasons:
            yield f"Book {answer.book_id} expired on {answer.expires_at:%Y-%m-%d %H:%M %Z}: publish a new one."
        elif "product_not_in_book" in reasons:
            refused = self._refused(_of_a_stranger(self.decision))
            why = f"it was refused a price: {refused}" if refused else "it is newer than the book"
            yield f"Book {answer.book_id} has no price for the product: {why}."
        elif "no_consent" in reasons:
            yield "The user has not consented to personal prices, or is not known: nothing personal was used."
        elif "market_moved" in reasons:
            yield "Market, cost or stock of the product have just changed; the personal price follows in a moment."
        elif "no_personal_price" in reasons:
            yield f"No personal price: {self._missing()}."

    def _missing(self) -> str:
        reasons = self.answer.reasons
        if withdrawn := reasons[reasons.index("no_personal_price") + 1 :]:
            return f"it was withdrawn since ({', '.join(withdrawn).replace('_', ' ')})"
        frame = self.decision.frame
        idle = frame["activity_days_since_event"].to_numpy("float64", na_value=np.nan)[0]
        if not idle <= ACTIVE_DAYS:
            return f"the user did nothing in the {ACTIVE_DAYS} days before the book"
        if self.is_sold_out:
            return "the pool it is sold from is sold out"
        if refused := self._refused(self.decision):
            return f"it was refused: {refused}"
        return f"not among the {PRODUCTS_PER_USER} products the user was priced for, or never offered yet"

    def _refused(self, decision: Decisions) -> str | None:
        """Why the decision gets no price, in words."""
        priced = price_decisions(decision.frame, *self._curves(), *self._policy, **self._given())
        refused = priced["refused"].iloc[0]
        return None if refused is None else str(refused).replace("_", " ")

    @property
    def _policy(self) -> tuple[PricingPolicy, str]:
        return self.under.policy, self.snapshot.currency

    def _curves(self) -> tuple[DemandCurve, DemandCurve]:
        demand = self.under.demand
        return demand.curve(self.decision), demand.curve(self.decision, personal=False)

    def _given(self) -> dict[str, Any]:
        return {
            "live_price": self.live["price"],
            "live_uniform_price": self.live["uniform_price"],
            "live_propensity": self.live["propensity"],
            "exploration_period": exploration_period(self.snapshot),
            "terms": self.under.terms,
        }


def _of_a_stranger(decision: Decisions) -> Decisions:
    return replace(decision, frame=decision.frame.assign(consent=False))


def _newer_events(connection: Connection, snapshot: Snapshot, user_id: str) -> Iterator[str]:
    parameters = {"dataset": snapshot.dataset, "user_id": user_id, "moment": snapshot.as_of}
    (newer,) = read_rows(connection, sql.query("events_after"), parameters)
    if newer["events"]:
        yield (
            f"{newer['events']:,} events of this user are newer than the book, which knows what was known on "
            f"{snapshot.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC: the next book reads them."
        )


def _disagreement(url: str, snapshot: Snapshot, book_id: int) -> str:
    """Why the same price does not come out again."""
    if latest_snapshot(url, snapshot.dataset).snapshot_id != snapshot.snapshot_id:
        return (
            f"The data have changed since book {book_id} was priced, so this price cannot be computed again. It stays "
            "what it is; the next book can be explained."
        )
    return (
        "This price cannot be computed again from today's tables. It stays what it is; what it was priced from, such "
        "as the book before it, has changed or gone."
    )
