"""Past quotes computed again, digit by digit, whatever kind of price they were."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

import tasks.books.publish
import tasks.quotes.replay
from models.demand.demand_curve import DemandCurve
from models.features.content import NO_ENCODERS
from models.features.decisions import Decisions
from models.pricing.policy import Exploration, Guardrails, Portfolio, PricingPolicy
from tasks.books.book import Book, discard_book
from tasks.books.certify import certify
from tasks.books.choose import choose_candidates
from tasks.books.price import price
from tasks.books.publish import publish
from tasks.books.score import score_candidates
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.data.snapshots import latest_snapshot, take_snapshot
from tasks.database import database_url, transaction
from tasks.quotes.quote import quote
from tasks.quotes.replay import ReplayError, replay
from tasks.registry.promote import Promotion
from tasks.registry.versions import RegisteredDemand
from tasks.settings import Settings

Tables = dict[str, pd.DataFrame]
Query = Callable[[str], list[tuple[Any, ...]]]
RAILS = Guardrails(
    minimum_margin=0.05, maximum_markup=0.0, maximum_discount=0.4, maximum_step=0.08, above_uniform=False
)
POLICIES = {
    "explored": PricingPolicy(guardrails=RAILS, exploration=Exploration(share=0.4, dither=0.02)),
    "with a budget": PricingPolicy(
        guardrails=RAILS, exploration=Exploration(share=0.1), portfolio=Portfolio(discount_budget=1200.0)
    ),
}  # fmt: skip


class UnevenDemand:
    """A demand of its own for each pair, with digits that no shorter number has."""

    encoders = NO_ENCODERS
    shift = 0.0

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        frame = decisions.frame
        own = np.sqrt(frame["pair_product_events"].fillna(0).to_numpy("float64")) / 7 * (decisions.consent & personal)
        return DemandCurve(np.full(len(frame), 5 + 1 / 3) - own / 3, 0.9 - own / 11 + self.shift)


class Registered(RegisteredDemand):
    def demand(self) -> Any:
        return UnevenDemand()


@pytest.fixture
def url(settings: Settings, migrated: None, learnable_shop: Tables, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shop of which a snapshot was taken."""
    monkeypatch.setattr(tasks.books.publish, "align_champion", lambda live: None)
    monkeypatch.setattr(tasks.quotes.replay, "version_of", lambda version: Registered(int(version), "run", "shop"))
    url = database_url(settings)
    with transaction(url) as connection:
        for name, frame in learnable_shop.items():
            rows = conform(frame, TABLES[name], name, first_row=1)
            copy_frame(connection, ["data", name], rows.assign(dataset="shop"))
    snap(url)
    return url


def snap(url: str) -> None:
    with transaction(url) as connection, connection.cursor() as cursor:
        snapshot = take_snapshot(connection, "shop", "EUR", {}, pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime())
        cursor.execute(
            "INSERT INTO data.loads (dataset, currency, state, row_counts, validation)"
            " VALUES ('shop', 'EUR', 'merged', '{}', jsonb_build_object('snapshot_id', %s::text))",
            [snapshot.snapshot_id],
        )


def put_live(url: str, policy: PricingPolicy) -> Book:
    promotion = Promotion(
        Registered(1, "run", "shop"), latest_snapshot(url, "shop"), policy, cold_start=False, gates=()
    )
    priced = price.fn(promotion, [score_candidates.fn(block, promotion) for block in choose_candidates.fn(promotion)])
    publish.fn(priced, certify.fn(priced, promotion))
    return priced.book


def quoted(query: Query, where: str, limit: int = 12) -> list[str]:
    """Quotes of some live pairs, each logged as a storefront's is."""
    pairs = query(f"SELECT user_id, product_id FROM pricing.live_prices WHERE {where} ORDER BY 1, 2 LIMIT {limit}")
    return [str(quote(user, product).quote_id) for user, product in pairs]


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_every_kind_of_price_comes_out_again(url: str, query: Query, policy: PricingPolicy) -> None:
    put_live(url, policy)
    put_live(url, policy.model_copy(update={"satisfaction_weight": 0.2}))  # steps count from the first
    quotes = quoted(query, "true")
    quotes += quoted(query, "randomised") + quoted(query, "reasons <> '{}' AND NOT randomised")
    quotes += [str(quote(user, "p03").quote_id) for user in ("u000", "stranger")]
    for quote_id in quotes:
        replayed = replay(quote_id)
        assert replayed.notes[-1].startswith("The stored model gives the stored demand again")
    assert len(quotes) > 24
    figures = replayed.figures
    assert figures["price"][0] == figures["price"][1] == figures["uniform_price"][1]
    assert replayed.origin["approver"] == "automatic"
    if policy.binds_whole_book:
        assert query("SELECT max((terms ->> 'discount_charge')::float) > 0 FROM pricing.books") == [(True,)]
    assert replayed.origin["book"].startswith("2, content ")


def test_quotes_outlive_their_book(url: str, query: Query) -> None:
    book = put_live(url, POLICIES["explored"])
    (kept,) = quoted(query, "randomised", 1)
    for weight in (0.1, 0.2):
        put_live(url, POLICIES["explored"].model_copy(update={"satisfaction_weight": weight}))
    discard_book(url, book)
    assert "price in the book" not in replay(kept).figures


def test_a_list_price_is_said_to_be_one(url: str, query: Query) -> None:
    put_live(url, POLICIES["explored"])
    query("UPDATE pricing.books SET expires_at = now() - interval '1 day'")
    listed = quote("u001", "p03")
    assert "no model and no policy" in replay(str(listed.quote_id)).notes[-1]
    query("UPDATE data.products SET ceiling = list_price / 3 WHERE product_id = 'p03'")
    capped = quote("u001", "p03")
    query("UPDATE data.products SET ceiling = NULL")
    assert capped.price < listed.price == capped.list_price
    assert replay(str(capped.quote_id)).figures["price"] == (capped.price, capped.price)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE pricing.quotes SET price = price + 0.01",
        "UPDATE pricing.quotes SET propensity = propensity * 1.0000001",
        "UPDATE pricing.quotes SET reasons = '{}'",
        "UPDATE pricing.quotes SET valuation = 0.7",
        "UPDATE pricing.personal_prices SET price = lower WHERE price > lower",
        "SET session_replication_role = replica;"
        "UPDATE pricing.books SET terms = jsonb_set(terms, '{volume_bonus}', '3')",
    ],
)
def test_what_was_changed_since_does_not_come_out(url: str, query: Query, tampering: str) -> None:
    put_live(url, POLICIES["explored"])
    (quote_id,) = quoted(query, "randomised AND price > lower", 1)
    replay(quote_id)
    query(tampering)
    with pytest.raises(ReplayError, match=r"and is now|now gives demand"):
        replay(quote_id)


def test_another_model_under_the_same_number_is_found(url: str, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    put_live(url, POLICIES["explored"])
    (quote_id,) = quoted(query, "true", 1)
    monkeypatch.setattr(UnevenDemand, "shift", 1e-4)
    with pytest.raises(ReplayError, match="version 1 now gives demand"):
        replay(quote_id)


def test_changed_data_are_no_objection(url: str, query: Query) -> None:
    put_live(url, POLICIES["explored"])
    (quote_id,) = quoted(query, "true", 1)
    query("DELETE FROM data.behaviour WHERE user_id = 'u001'")
    snap(url)
    assert replay(quote_id).notes[-1] == "The data have changed since, so the model was not asked again."


def test_a_quote_that_a_crash_lost_has_nothing_to_be_computed_from(url: str, query: Query) -> None:
    put_live(url, POLICIES["explored"])
    lost = str(uuid4())
    query(
        f"SELECT pricing.record_outcome('{lost}', true, 1, 'u001', 'p03', list_price::numeric) FROM data.products"
        " WHERE product_id = 'p03'"
    )
    with pytest.raises(ReplayError, match="a crash lost its exposure, and the storefront's word for its price"):
        replay(lost)


@pytest.mark.parametrize("quote_id", ["7", "00000000-0000-0000-0000-000000000000"])
def test_a_quote_that_never_was_is_named(url: str, quote_id: str) -> None:
    with pytest.raises(ReplayError, match=quote_id):
        replay(quote_id)
