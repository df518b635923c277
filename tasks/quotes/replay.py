"""Replay: a past quote computed again to the digit, from what was stored with it when it was given."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from itertools import dropwhile
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from psycopg2.extensions import connection as Connection

import sql
from models.errors import PricingError
from tasks.books.candidates import pair
from tasks.data.snapshots import Snapshot, SnapshotNotFoundError, latest_snapshot
from tasks.database import database_url, read_rows, transaction
from tasks.quotes.stored_inputs import DEMAND_TOLERANCE, BookInputs, demand_difference, inputs_of
from tasks.registry.versions import VersionNotFoundError, version_of
from tasks.settings import Settings

WHY_NOT_PERSONAL = ("no_personal_price", "no_consent", "market_moved")  # what `pricing.quote` adds, and what follows it


class ReplayError(PricingError):
    """A past quote cannot be computed again, or another price comes out."""


@dataclass(frozen=True)
class Replay:
    """A past quote that came out again: each figure as logged and as computed, and what the price came from."""

    figures: dict[str, tuple[Any, Any]]
    origin: dict[str, str]
    notes: tuple[str, ...]


def replay(quote_id: str) -> Replay:
    """Compute a logged quote again: its stored demand curve, the book's policy and multipliers, the same pricing code.

    As a second line the book's model is asked for the curve once more, where model and data are still there.

    Raises:
        ReplayError: the quote is unknown, was lost in a crash or given before its inputs were kept, or a figure comes
            out otherwise.
    """
    url = database_url(Settings())
    with transaction(url) as connection:
        quote = _read(connection, quote_id)
        figures = {name: (quote[name], computed) for name, computed in _computed(quote).items()}
        if quote["kept_price"] is not None:
            figures["price in the book"] = (quote["kept_price"], figures["price"][1])
        differing = [
            f"{name} was {logged} and is now {computed}" for name, (logged, computed) in figures.items()
            if logged != computed
        ]  # fmt: skip
        if differing:
            raise ReplayError(
                f"quote {quote_id} does not come out again: {'; '.join(differing)}. Its row in pricing.quotes or its "
                "book was changed, or the pricing code is another: try `pricing verify`, and the code of that day"
            )
        notes = (*_ledger_notes(quote), *_curve_notes(connection, url, quote))
    return Replay(figures, _origin(quote), notes)


def _read(connection: Connection, quote_id: str) -> dict[str, Any]:
    try:
        parameters = {"quote_id": str(UUID(quote_id))}
    except ValueError:
        raise ReplayError(f"{quote_id!r} is no quote's id: give the quote_id that pricing.quote returned") from None
    found = read_rows(connection, sql.query("quote_origin"), parameters)
    if not found:
        raise ReplayError(f"quote {quote_id} is unknown: pricing.quotes lists those that were given")
    (quote,) = found
    if quote["source"] == "told":
        raise ReplayError(
            f"quote {quote_id} cannot be computed again: a crash lost its exposure, and the storefront's word for its "
            "price, told with the outcome, is all there is"
        )
    if quote["source"] != "list" and quote["uniform_sensitivity"] is None:
        raise ReplayError(
            f"quote {quote_id} is from book {quote['book_id']}, which was made before inputs were kept with prices: "
            "quotes of later books can be computed again"
        )
    return quote


def _computed(quote: dict[str, Any]) -> dict[str, Any]:
    """What the pricing code gives for a quote's inputs now, as it was logged then."""
    given = inputs_of(quote)
    if quote["source"] == "list":  # no model set it: it is whatever the list said, within the product's own limits
        price = quote["list_price"]
        if "floor" in given:
            price = max(price, _decimal(given["floor"]))
        if "ceiling" in given:
            price = min(price, _decimal(given["ceiling"]))
        return {"price": price, "uniform_price": price}
    book = BookInputs.of(quote)
    row = pd.DataFrame([given | {name: quote[name] for name in ("user_id", "product_id", "list_price")}])
    prices = book.personal_prices(row) if quote["source"] == "personal" else book.uniform_prices(row)
    return _as_logged(prices.iloc[0], quote)


def _as_logged(price: pd.Series, quote: dict[str, Any]) -> dict[str, Any]:
    """The figures in the types of pricing.quotes; money to its last digit."""
    computed = {name: _decimal(price[name]) for name in ("price", "uniform_price", "lower", "upper")}
    reasons = list(price["reasons"])
    if quote["source"] == "uniform":
        computed["uniform_price"] = computed["price"]
        reasons += dropwhile(lambda reason: reason not in WHY_NOT_PERSONAL, quote["reasons"])
    drawn = price["propensity"]
    propensity = None if np.isnan(drawn) else float(drawn)
    return computed | {"randomised": bool(price["randomised"]), "propensity": propensity, "reasons": reasons}


def _decimal(amount: float) -> Decimal:
    return Decimal(repr(float(amount)))


def _origin(quote: dict[str, Any]) -> dict[str, str]:
    certificate = quote["certificate"] or {}
    checked = certificate.get("guardrails", {}).get("prices")
    return {
        "quote": f"{quote['quote_id']}, {quote['quoted_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {quote['source']}",
        "book": f"{quote['book_id']}, content {str(quote['content_hash'])[:12]}, ledger entry {quote['entry_id']}",
        "model": f"version {quote['model_version']}, run {quote['run_id']}",
        "data": f"{quote['dataset']}, snapshot {quote['snapshot_id'][:12]}",
        "policy": f"satisfaction weight {quote['policy']['satisfaction_weight']:g}; {_limits(quote['terms'])}",
        "certificate": "none" if checked is None else f"{checked:,} prices checked, no breach",
        "approver": str(quote["approver"]),
    }


def _limits(terms: dict[str, Any]) -> str:
    """What the limits on the whole book added to this price, by their multipliers."""
    binding = {name.replace("_", " "): value for name, value in terms.items() if value}
    return ", ".join(f"{name} {value}" for name, value in binding.items()) or "no limit on the whole book binds"


def _ledger_notes(quote: dict[str, Any]) -> Iterator[str]:
    """Where the ledger tells another story than the quote."""
    if quote["live_book_id"] != quote["book_id"]:
        yield f"The ledger says that book {quote['live_book_id']} was live then, not {quote['book_id']}."
    elif quote["details"]["content_hash"] != quote["content_hash"]:
        yield f"The content of book {quote['book_id']} is not the one that the ledger recorded: run `pricing verify`."


def _curve_notes(connection: Connection, url: str, quote: dict[str, Any]) -> Iterator[str]:
    """Whether the stored model still gives the stored curve."""
    if quote["source"] == "list":
        yield "It is the list price of its day, within the product's own limits: no model and no policy set it."
        return
    snapshot, given = Snapshot.of_row(quote), inputs_of(quote)
    if "repriced_as_of" in given:
        yield (
            f"It was priced between two books, as of {given['repriced_as_of'].astimezone(UTC)}; the stored demand is "
            "that of this moment, and the model was not asked again."
        )
        return
    try:
        if latest_snapshot(url, snapshot.dataset).snapshot_id != snapshot.snapshot_id:
            yield "The data have changed since, so the model was not asked again."
            return
        demand = version_of(str(quote["model_version"])).demand()
    except (SnapshotNotFoundError, VersionNotFoundError) as error:
        yield f"The model was not asked again: {error}"
        return
    is_personal = quote["source"] == "personal"
    decision = pair(connection, snapshot, demand.encoders, quote["user_id"] if is_personal else "", quote["product_id"])
    difference = demand_difference(demand, decision, given, is_personal)
    if difference > DEMAND_TOLERANCE:
        raise ReplayError(
            f"version {quote['model_version']} now gives demand {difference:.1e} apart from what was stored: the "
            f"model's files or the data of snapshot {snapshot.snapshot_id[:12]} were changed"
        )
    yield f"The stored model gives the stored demand again, to {max(difference, 1e-16):.0e}."
