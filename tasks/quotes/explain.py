"""Explain: how the live price of one user and product came about, step by step, and what made it so."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from psycopg2.extensions import connection as Connection

import sql
from models.features.decisions import Decisions
from models.pricing.decide import price_decisions
from models.pricing.explanation import PricedUnder, PriceReasons, price_reasons
from tasks.books.candidates import ACTIVE_DAYS, PRODUCTS_PER_USER, decided_at, pair, remaining_stock
from tasks.data.pseudonyms import stored_user_ids
from tasks.data.snapshots import Snapshot, latest_snapshot
from tasks.database import database_url, read_rows, transaction
from tasks.quotes.quote import Quote
from tasks.quotes.stored_inputs import DEMAND_TOLERANCE, PRODUCT_TERMS, BookInputs, demand_difference, inputs_of
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
    shown; it is None where the price is the list's. ``reasons`` are None where the model's view of the pair cannot be
    told again, which ``notes`` say.
    """

    waterfall: dict[str, float] | None
    reasons: PriceReasons | None
    notes: tuple[str, ...]


def explain_quote(answer: Quote, user_id: str, product_id: str) -> Explanation:
    """Price the pair again from the inputs logged with the quote, and ask the book's model what made its demand.

    Raises:
        VersionNotFoundError: the registry no longer has the book's model.
    """
    url = database_url(Settings())
    with transaction(url) as connection:
        (stored_id,) = stored_user_ids(connection, pd.Series([user_id]))
        quoted = _QuotedPair.read(connection, answer, stored_id, product_id)
        notes = [*quoted.fallback(), *quoted.moment_notes(connection, stored_id)]
    if answer.source == "list" or "uniform_sensitivity" not in quoted.given:  # a book of before inputs were kept
        return Explanation(None, None, tuple(notes))
    steps = quoted.steps()
    waterfall = {STEPS.get(str(step), str(step).replace("_", " ")): float(price) for step, price in steps.items()}
    if not quoted.is_known_demand:
        return Explanation(waterfall, None, (*notes, _disagreement(url, quoted.snapshot, answer.book_id)))
    reasons = price_reasons(quoted.under, quoted.of_price, steps, float(answer.uniform_price))
    return Explanation(waterfall, reasons, tuple(notes))


@dataclass(frozen=True)
class _QuotedPair:
    """A quote's pair as it was when its price was set; ``given`` is what was logged of that."""

    answer: Quote
    given: dict[str, Any]
    book: BookInputs
    under: PricedUnder
    snapshot: Snapshot
    decision: Decisions
    live: pd.DataFrame
    is_sold_out: bool

    @classmethod
    def read(cls, connection: Connection, answer: Quote, user_id: str, product_id: str) -> "_QuotedPair":
        (origin,) = read_rows(connection, sql.query("quote_origin"), {"quote_id": answer.quote_id})
        snapshot = Snapshot.of_row(origin)
        demand, given = version_of(str(origin["model_version"])).demand(), inputs_of(origin)
        decision = pair(connection, snapshot, demand.encoders, user_id, product_id, origin["repriced_as_of"])
        # Book 0 never was: where none was live, nothing counts from what is live now.
        live = live_prices(connection, snapshot.dataset, decision.frame["decision_id"], origin["priced_against"] or 0)
        pool = str(decision.frame["pool_id"].iloc[0])
        left = remaining_stock(connection, snapshot.dataset, decided_at(snapshot), [pool]).get(pool, np.inf)
        book = BookInputs.of(origin)
        under = PricedUnder(demand, book.policy, book.terms)
        if answer.source != "list":  # costs may have changed since
            stored = {name: given[name] for name in PRODUCT_TERMS if name in given}
            stored["list_price"] = float(answer.list_price)
            decision = replace(decision, frame=decision.frame.assign(**stored))
        return cls(answer, given, book, under, snapshot, decision, live, left <= 0)

    @property
    def of_price(self) -> Decisions:
        """The decision behind the price quoted: a uniform price is what a stranger would get."""
        return self.decision if self.answer.source == "personal" else _of_a_stranger(self.decision)

    @property
    def is_known_demand(self) -> bool:
        """Whether the model still gives the demand that the price was set from."""
        personal = self.answer.source == "personal"
        return demand_difference(self.under.demand, self.decision, self.given, personal) <= DEMAND_TOLERANCE

    def steps(self) -> pd.Series:
        """The waterfall of the price quoted."""
        frame = self.decision.frame[["user_id", "product_id"]]
        row = frame.assign(**self.given | {"list_price": float(self.answer.list_price)})
        made = self.book.personal_steps if self.answer.source == "personal" else self.book.uniform_steps
        return made(row).iloc[0]

    def moment_notes(self, connection: Connection, user_id: str) -> Iterator[str]:
        """When the price was set, where it was since its book, and what the user has done since."""
        moment = self.snapshot.as_of
        if "repriced_as_of" in self.given:
            moment = self.given["repriced_as_of"]
            yield f"Set since book {self.answer.book_id} went live, by what was known on {_spelt(moment)}."
        parameters = {"dataset": self.snapshot.dataset, "user_id": user_id, "moment": moment}
        (newer,) = read_rows(connection, sql.query("events_after"), parameters)
        if newer["events"]:
            yield (
                f"{newer['events']:,} events of this user are newer than the price, which knows what was known on "
                f"{_spelt(moment)}: `pricing reprice` or the next book reads them."
            )

    def fallback(self) -> Iterator[str]:
        """Why the price is not a personal one, where it is not."""
        answer, reasons = self.answer, list(self.answer.reasons)
        if answer.source == "list" and answer.price != answer.list_price:
            yield f"The list price, {answer.list_price}, is beyond the product's own {reasons.pop()}, {answer.price}."
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
        elif answer.source == "list":
            yield f"The product's price was withdrawn since the book: {', '.join(reasons).replace('_', ' ')}."

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
        demand, book = self.under.demand, self.book
        priced = price_decisions(
            decision.frame, demand.curve(self.decision), demand.curve(self.decision, personal=False),
            book.policy, book.currency, live_price=self.live["price"], live_uniform_price=self.live["uniform_price"],
            live_propensity=self.live["propensity"], exploration_period=book.period, terms=book.terms,
        )  # fmt: skip
        refused = priced["refused"].iloc[0]
        return None if refused is None else str(refused).replace("_", " ")


def _of_a_stranger(decision: Decisions) -> Decisions:
    return replace(decision, frame=decision.frame.assign(consent=False))


def _spelt(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _disagreement(url: str, snapshot: Snapshot, book_id: int) -> str:
    """Why the model does not give the same demand again."""
    if latest_snapshot(url, snapshot.dataset).snapshot_id != snapshot.snapshot_id:
        return (
            f"The data have changed since book {book_id} was priced, so what made this demand cannot be told again. "
            "The price stays what it is; the next book can be explained."
        )
    return (
        "What made this demand cannot be told from today's tables: something it was computed from has changed or gone. "
        "The price stays what it is."
    )
