"""From tables to quotes and back to why, on a real database; only the demand model is made up."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from psycopg2.extensions import connection as Connection

import tasks.explain
import tasks.publish
from models.content import NO_ENCODERS
from models.decisions import Decisions
from models.demand_curve import DemandCurve
from models.explanation import BEHAVIOUR
from models.policy import Exploration, Guardrails, PricingPolicy
from tasks.book_plots import book_plots
from tasks.book_report import CAPTIONS, book_page
from tasks.certify import Certificate, UncertifiedBookError, certify
from tasks.conformity import conform
from tasks.contract import TABLES
from tasks.copying import copy_frame
from tasks.database import migrate, read_frame, transaction
from tasks.explain import Explanation, explain_quote
from tasks.price import PricedBook, price
from tasks.promote import Promotion
from tasks.publish import publish
from tasks.quote import Quote, quote
from tasks.recommend import NothingToRecommendError, recommend
from tasks.registry import RegisteredDemand
from tasks.review_page import price_changes, review_page
from tasks.settings import Settings
from tasks.snapshots import take_snapshot

Tables = dict[str, pd.DataFrame]
STEP = 0.08
POLICY = PricingPolicy(
    guardrails=Guardrails(
        minimum_margin=0.05, maximum_markup=0.0, maximum_discount=0.4, maximum_step=STEP, above_uniform=False
    ),
    exploration=Exploration(share=0.2, dither=0.01),
)


class DevotedDemand:
    """Who did more, and more with the product, is ready to pay less: prices that behaviour moves."""

    encoders = NO_ENCODERS

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        frame, known = decisions.frame, decisions.consent & personal
        own = -0.06 * frame["activity_events"].fillna(0) - 0.1 * frame["pair_product_events"].fillna(0)
        return DemandCurve(np.full(len(frame), 6.0), 0.8 + np.where(known, own, 0))


@dataclass(frozen=True)
class Registered(RegisteredDemand):
    def demand(self) -> Any:
        return DevotedDemand()


@dataclass(frozen=True)
class Shop:
    """A shop in the database, and the stations from its tables to live prices."""

    url: str

    def priced(self, policy: PricingPolicy = POLICY) -> tuple[PricedBook, Promotion]:
        with transaction(self.url) as connection:
            snapshot = take_snapshot(connection, "shop", "EUR", {}, datetime(2026, 1, 1, tzinfo=UTC))
        promotion = Promotion(Registered(1, "run", "shop"), snapshot, policy, cold_start=False, gates=())
        return price.fn(promotion), promotion

    def published(self, policy: PricingPolicy = POLICY) -> tuple[PricedBook, Promotion, Certificate]:
        priced, promotion = self.priced(policy)
        certificate = certify.fn(priced, promotion)
        publish.fn(priced, certificate)
        return priced, promotion, certificate

    def rows(self, statement: str) -> pd.DataFrame:
        with transaction(self.url) as connection:
            return read_frame(connection, statement)

    def run(self, statement: str) -> None:
        with transaction(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def quotes(self) -> pd.Series:
        """What every user would be quoted for every product now, by (user_id, product_id)."""
        found = self.rows(
            "SELECT users.user_id, products.product_id, quote.price::double precision, quote.source "
            "FROM data.users, data.products, pricing.quote(users.user_id, products.product_id) AS quote"
        )
        return found.set_index(["user_id", "product_id"])["price"]

    def add(self, table: str, frame: pd.DataFrame) -> None:
        with transaction(self.url) as connection:
            _fill(connection, {table: frame})


def _fill(connection: Connection, tables: Tables) -> None:
    for name, frame in tables.items():
        rows = conform(frame, TABLES[name], name, first_row=1)
        copy_frame(connection, ["data", name], rows.assign(dataset="shop"))


@pytest.fixture
def shop(settings: Settings, learnable_shop: Tables, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    migrate(url)
    with transaction(url) as connection:
        _fill(connection, learnable_shop)
    monkeypatch.setattr(tasks.publish, "align_champion", lambda live: None)
    monkeypatch.setattr(tasks.explain, "version_of", lambda version: Registered(int(version), "run", "shop"))
    yield Shop(url)


def busy_day(learnable_shop: Tables, day: str) -> pd.DataFrame:
    """Behaviour that changes who is ready to pay what: some users become very active on every product."""
    products = learnable_shop["products"]["product_id"]
    users = [f"u{number:03d}" for number in range(1, 40, 3)]
    at = pd.Timestamp(day, tz="UTC") + pd.Timedelta("10h")
    rows = [(user, product) for user in users for product in products for _ in range(9)]
    frame = pd.DataFrame(rows, columns=["user_id", "product_id"])
    return frame.assign(event_id=[f"{day}-{row}" for row in range(len(frame))], occurred_at=at, kind="view")


def test_the_protected_group_changes_no_price_on_the_whole_path(shop: Shop) -> None:
    policy = POLICY.model_copy(update={"exploration": Exploration(share=0.3, dither=0.02)})
    first, _ = shop.priced(policy)
    shop.run("UPDATE data.users SET protected_group = CASE protected_group WHEN 'a' THEN 'b' ELSE 'a' END")
    second, _ = shop.priced(policy)
    for table, key in (("personal_prices", "user_id, product_id"), ("uniform_prices", "product_id")):
        before, after = (
            shop.rows(f"SELECT * FROM pricing.{table}_{priced.book.book_id} ORDER BY {key}").drop(columns="book_id")
            for priced in (first, second)
        )
        pd.testing.assert_frame_equal(before, after)
    groups = [{g["group"]: g["mean"] for g in priced.parity["offered"]["groups"]} for priced in (first, second)]
    assert groups[0]["a"] == pytest.approx(groups[1]["b"])  # the report alone sees whose prices they are
    assert groups[0]["a"] != groups[1]["a"]


def test_no_quote_leaps_when_behaviour_changes(shop: Shop, learnable_shop: Tables) -> None:
    late = learnable_shop["behaviour"]["user_id"].isin(["u001", "u004", "u007"])
    shop.run("DELETE FROM data.behaviour WHERE user_id IN ('u001', 'u004', 'u007')")  # strangers until later
    assert late.any()
    shop.published()
    before, move = shop.quotes(), pd.Series(dtype="float64")
    for day in ("2026-04-02", "2026-04-03"):
        shop.add("behaviour", busy_day(learnable_shop, day))
        shop.published()
        after = shop.quotes()
        move = (after / before - 1).abs()
        assert move.max() <= STEP * (1 + 1e-9)
        before = after
    assert (move > 0.01).sum() > 50
    assert move.loc["u001"].max() > 0  # their first personal prices started from what they were quoted


def test_publishing_again_on_the_same_day_keeps_the_draws(shop: Shop, learnable_shop: Tables) -> None:
    shop.add("behaviour", busy_day(learnable_shop, "2026-04-02"))
    shop.published()
    drawn = "SELECT user_id, product_id, price, propensity FROM pricing.live_prices WHERE randomised ORDER BY 1, 2"
    first, quotes = shop.rows(drawn), shop.quotes()
    shop.published(POLICY.model_copy(update={"satisfaction_weight": 0.1}))
    again = shop.rows(drawn)
    assert len(first) > 100
    pairs = first[["user_id", "product_id"]].merge(again, how="left")
    kept = pairs["price"] == first["price"]
    lower_uniform = shop.rows("SELECT product_id, price AS uniform FROM pricing.live_prices").groupby("product_id")
    assert kept.mean() > 0.8, lower_uniform  # the others were above what the uniform price has become
    pd.testing.assert_series_equal(pairs["propensity"][kept], first["propensity"][kept])
    assert (shop.quotes() / quotes - 1).abs().max() <= STEP * (1 + 1e-9)


def test_a_price_that_leaps_is_not_certified(shop: Shop) -> None:
    shop.published(replace_exploration(0.0))
    priced, promotion = shop.priced(replace_exploration(0.0).model_copy(update={"satisfaction_weight": 0.2}))
    table = f"pricing.personal_prices_{priced.book.book_id}"
    shop.run(f"UPDATE {table} SET price = round(price * 0.85, 2), lower = 0 WHERE user_id = 'u001'")
    with pytest.raises(UncertifiedBookError, match="'maximum_step': 12"):
        certify.fn(priced, promotion)


def test_a_user_is_recommended_what_earns_most_at_its_live_price(shop: Shop) -> None:
    with pytest.raises(NothingToRecommendError):
        recommend("u001")
    shop.published(POLICY.model_copy(update={"satisfaction_weight": 0.3}))
    found = pd.DataFrame(recommend("u001", count=5))
    live = shop.rows(
        "SELECT product_id, live.price::double precision, live.list_price::double precision, purchase_probability,"
        " unit_cost FROM pricing.live_prices AS live JOIN pricing.uniform_prices USING (book_id, product_id)"
        " WHERE user_id = 'u001'"
    )
    ratio, probability = live["price"] / live["list_price"], live["purchase_probability"]
    profit = (live["price"] - live["unit_cost"]) * probability
    surplus = live["list_price"] / 6.0 * -np.log1p(-probability)  # the shop's demand has sensitivity 6
    best = live.assign(profit=profit, objective=profit + 0.3 * surplus).nlargest(5, "objective")
    assert len(live) > 5
    assert ratio.nunique() > 1
    assert found["product_id"].tolist() == best["product_id"].tolist()
    for name in ("price", "purchase_probability", "objective"):
        np.testing.assert_allclose(found[name], best[name], rtol=1e-9)
    np.testing.assert_allclose(found["expected_profit"], best["profit"], rtol=1e-9)
    assert set(found["source"]) == {"personal"}


def test_who_gave_no_consent_is_recommended_everybodys_prices(shop: Shop) -> None:
    shop.published()
    shop.run("UPDATE data.users SET personalisation_consent = false WHERE user_id = 'u001'")
    refused, stranger = (pd.DataFrame(recommend(user)) for user in ("u001", "nobody known"))
    pd.testing.assert_frame_equal(refused, stranger)
    assert set(refused["source"]) == {"uniform"}
    everybody = shop.rows("SELECT product_id, price::double precision FROM pricing.uniform_prices")
    np.testing.assert_array_equal(
        refused["price"], everybody.set_index("product_id")["price"].loc[refused["product_id"]].to_numpy()
    )


def replace_exploration(share: float) -> PricingPolicy:
    return POLICY.model_copy(update={"exploration": Exploration(share=share)})


def explained(user: str, product: str) -> tuple[Quote, Explanation]:
    answer = quote(user, product)
    return answer, explain_quote(answer, user, product)


def test_live_prices_are_explained(shop: Shop, learnable_shop: Tables) -> None:
    shop.published()
    shop.add("behaviour", busy_day(learnable_shop, "2026-04-02"))
    shop.published()  # so that steps count from a book that is not live any more
    live = shop.rows("SELECT user_id, product_id, reasons FROM pricing.live_prices ORDER BY md5(user_id || product_id)")
    for row in live.head(25).itertuples():
        answer, explanation = explained(str(row.user_id), str(row.product_id))
        assert explanation.waterfall is not None and explanation.reasons is not None
        assert list(explanation.waterfall)[-1].startswith("shown")
        assert list(explanation.waterfall.values())[-1] == float(answer.price)
        effects = sum(reason.effect for reason in explanation.reasons.personal)
        assert effects == pytest.approx(float(answer.price - answer.uniform_price), abs=0.02)
        assert explanation.notes == ()
    _, busy = explained("u001", "p01")
    assert busy.reasons is not None
    assert {reason.name: reason.effect for reason in busy.reasons.personal}[BEHAVIOUR] < 0


def test_a_price_without_personal_data_says_why(shop: Shop) -> None:
    shop.run("DELETE FROM data.behaviour WHERE user_id = 'u001'")
    shop.published()
    answer, explanation = explained("u000", "p01")
    assert answer.source == "uniform"
    assert "not consented" in explanation.notes[0]
    assert explanation.waterfall is not None and explanation.reasons is not None
    assert explanation.reasons.personal == ()
    assert "did nothing" in explained("u001", "p01")[1].notes[0]
    shop.run(
        "INSERT INTO data.products (dataset, product_id, list_price, unit_cost) VALUES ('shop', 'new', 5, 2), "
        "('shop', 'dear', 5, 9)"
    )
    assert "newer than the book" in explained("u002", "new")[1].notes[0]
    assert "minimum margin" in explained("u002", "dear")[1].notes[0]
    shop.run("UPDATE pricing.books SET expires_at = now() - interval '1 day'")
    assert "expired" in explained("u002", "p01")[1].notes[0]


def test_what_cannot_be_computed_again_is_said(shop: Shop, learnable_shop: Tables) -> None:
    shop.published(replace_exploration(0.0))
    shop.add("behaviour", busy_day(learnable_shop, "2026-04-02"))
    _, newer = explained("u001", "p01")
    assert newer.waterfall is not None  # later events change nothing of what was known then
    assert "108 events of this user are newer" in newer.notes[0]
    shop.add("behaviour", busy_day(learnable_shop, "2026-03-20"))  # they arrive late
    with transaction(shop.url) as connection:
        snapshot = take_snapshot(connection, "shop", "EUR", {}, datetime(2026, 1, 1, tzinfo=UTC))
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO data.loads (dataset, currency, state, row_counts, validation)"
                " VALUES ('shop', 'EUR', 'merged', '{}', jsonb_build_object('snapshot_id', %s::text))",
                [snapshot.snapshot_id],
            )
    _, changed = explained("u001", "p01")
    assert changed.waterfall is None
    assert "data have changed" in changed.notes[-1]


def test_the_book_s_page_and_plots(shop: Shop) -> None:
    priced, promotion, certificate = shop.published()
    page = book_page(priced, promotion, certificate)
    assert "# Book 1 of shop" in page
    assert "## Parity between groups (protected_group)" in page
    assert "| a | " in page and "as expected to be paid" in page
    assert "no bound is set" in page
    figures = book_plots(priced.sample, priced.parity)
    assert set(figures) == set(CAPTIONS)
    texts = {name: figure.axes[-1].get_xlabel() for name, figure in figures.items()}
    assert "EUR" in texts["price_response"] and "list price" in texts["price_distribution"]


def test_without_groups_the_page_says_so(shop: Shop) -> None:
    shop.run("UPDATE data.users SET protected_group = NULL")
    priced, promotion, certificate = shop.published()
    assert "Not measured: no priced user has a value of `protected_group`" in book_page(priced, promotion, certificate)
    assert "parity_by_group" not in book_plots(priced.sample, priced.parity)


def test_nobody_to_price_leaves_a_book_without_plots(shop: Shop) -> None:
    shop.run("UPDATE data.users SET personalisation_consent = false")
    priced, promotion, certificate = shop.published()
    assert priced.personal_rows == 0
    assert book_plots(priced.sample, priced.parity) == {}
    assert "0 personal and 12 uniform" in book_page(priced, promotion, certificate)


def test_the_reviewer_s_page_says_what_changes_for_whom(shop: Shop) -> None:
    first, promotion, certificate = shop.published()
    with transaction(shop.url) as connection:
        unchanged = price_changes(connection, first, promotion)
    assert unchanged[0]["segment"] is None and unchanged[0]["compared"] == first.personal_rows
    assert unchanged[0]["share_up"] == unchanged[0]["share_down"] == 0  # against itself, live by now
    priced, promotion = shop.priced(POLICY.model_copy(update={"satisfaction_weight": 0.4}))
    with transaction(shop.url) as connection:
        changes = price_changes(connection, priced, promotion)
    everything, *segments = changes
    assert everything["prices"] == priced.personal_rows
    assert {"c0", "c1", "c2", "quoted a personal price now"} == {change["segment"] for change in segments}
    assert (
        sum(change["prices"] for change in segments if str(change["segment"]).startswith("c")) == priced.personal_rows
    )
    assert everything["share_down"] > 0.5 and -STEP <= everything["mean_fall"] < 0
    page = review_page(priced, promotion, certificate, changes)
    assert f"Book {priced.book.book_id}: " in page and "none broken" in page and "no breach" in page
    assert "| all, against what is quoted now | " in page and "| c1 | " in page
