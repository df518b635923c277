"""From tables to quotes and back to why, on a real database; only the demand model is made up."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tasks.books.candidates
import tasks.books.choose
import tasks.books.price
from models.pricing.explanation import BEHAVIOUR
from models.pricing.exploration import Draws
from models.pricing.policy import Exploration, Guardrails, PricingPolicy
from tasks.books.book_plots import book_plots
from tasks.books.book_report import CAPTIONS, book_page
from tasks.books.certify import UncertifiedBookError, certify
from tasks.books.choose import choose_candidates
from tasks.books.history import LedgerError, verify_ledger
from tasks.books.price import price
from tasks.books.publish import PublicationError, RollbackError, already_live, publish, roll_back
from tasks.books.review_page import price_changes, review_page
from tasks.books.score import score_candidates
from tasks.data.snapshots import take_snapshot
from tasks.database import transaction
from tasks.markdown import GAP
from tasks.quotes.explain import Explanation, explain_quote
from tasks.quotes.forget import forget
from tasks.quotes.quote import Quote, quote
from tasks.quotes.recommend import NothingToRecommendError, recommend
from tasks.quotes.reprice import reprice_all
from tasks.quotes.repricing import continued_book, reprice_products
from tasks.registry.pages import version_link

Tables = dict[str, pd.DataFrame]


@pytest.fixture
def shop(book_shop: Any) -> Any:
    return book_shop


def test_the_suite_reads_uniform_prices_as_well(shop: Any) -> None:
    priced, promotion = shop.priced()
    table = f"pricing.uniform_prices_{priced.book.book_id}"
    shop.run(f"UPDATE {table} SET list_price = 0 WHERE product_id = 'p03'")
    with pytest.raises(UncertifiedBookError, match="list price of a uniform price is above 0': 1"):
        certify.fn(priced, promotion)


def busy_day(learnable_shop: Tables, day: str) -> pd.DataFrame:
    """Behaviour that changes who is ready to pay what: some users become very active on every product."""
    products = learnable_shop["products"]["product_id"]
    users = [f"u{number:03d}" for number in range(1, 40, 3)]
    at = pd.Timestamp(day, tz="UTC") + pd.Timedelta("10h")
    rows = [(user, product) for user in users for product in products for _ in range(9)]
    frame = pd.DataFrame(rows, columns=["user_id", "product_id"])
    return frame.assign(event_id=[f"{day}-{row}" for row in range(len(frame))], occurred_at=at, kind="view")


def test_the_protected_group_changes_no_price_on_the_whole_path(shop: Any) -> None:
    policy = shop.policy.model_copy(update={"exploration": Exploration(share=0.3, dither=0.02)})
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


def test_no_quote_leaps_when_behaviour_changes(shop: Any, learnable_shop: Tables) -> None:
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
        assert move.max() <= shop.step * (1 + 1e-9)
        before = after
    assert (move > 0.01).sum() > 50
    assert move.loc["u001"].max() > 0  # their first personal prices started from what they were quoted


def test_a_step_counts_from_prices_that_followed_what_users_did(shop: Any, learnable_shop: Tables) -> None:
    shop.published(explored(shop, 0.0))
    first = shop.quotes()
    shop.run(
        "SELECT pricing.record_event(user_id, 'view', product_id) "
        "FROM data.users, data.products, generate_series(1, 3) WHERE user_id < 'u030'"
    )
    reprice_all(shop.url, 1_000, lambda version: shop.demand)
    followed = shop.quotes()
    shop.add("behaviour", busy_day(learnable_shop, "2026-04-02"))
    shop.run("UPDATE data.products SET unit_cost = unit_cost * 0.8")
    shop.published(explored(shop, 0.0).model_copy(update={"satisfaction_weight": 0.5}))
    second = shop.quotes()
    assert (second / followed - 1).abs().max() <= shop.step * (1 + 1e-9)
    assert (second / first - 1).abs().max() > 1.2 * shop.step


def test_publishing_again_on_the_same_day_keeps_the_draws(shop: Any, learnable_shop: Tables) -> None:
    shop.add("behaviour", busy_day(learnable_shop, "2026-04-02"))
    shop.published()
    drawn = "SELECT user_id, product_id, price, propensity FROM pricing.live_prices WHERE randomised ORDER BY 1, 2"
    first, quotes = shop.rows(drawn), shop.quotes()
    shop.published(shop.policy.model_copy(update={"satisfaction_weight": 0.1}))
    again = shop.rows(drawn)
    assert len(first) > 100
    pairs = first[["user_id", "product_id"]].merge(again, how="left")
    kept = pairs["price"] == first["price"]
    lower_uniform = shop.rows("SELECT product_id, price AS uniform FROM pricing.live_prices").groupby("product_id")
    assert kept.mean() > 0.8, lower_uniform  # the others were above what the uniform price has become
    pd.testing.assert_series_equal(pairs["propensity"][kept], first["propensity"][kept])
    assert (shop.quotes() / quotes - 1).abs().max() <= shop.step * (1 + 1e-9)


DRAWN = (
    "SELECT user_id, product_id, price::double precision, lower::double precision, upper::double precision, list_price,"
    " propensity FROM pricing.live_prices WHERE randomised ORDER BY 1, 2"
)


def drawn_afresh(shop: Any, rows: pd.DataFrame, share: float) -> pd.Series:
    """The price that the draw of each row's user, product and day gives over the row's own interval."""
    (day,) = shop.rows("SELECT (max(as_of) AT TIME ZONE 'UTC')::date AS day FROM data.snapshots")["day"]
    draws = Draws.of(Exploration(share=share), rows["user_id"], rows["product_id"], day)
    assert draws.is_drawn.all()
    lowest, highest = np.ceil(100 * rows["lower"] - 1e-6), np.floor(100 * rows["upper"] + 1e-6)
    return (lowest + np.floor(draws.place * (highest - lowest + 1))) / 100


@pytest.mark.parametrize("pairs_follow", [False, True])
def test_every_price_that_is_logged_as_drawn_was_drawn_though_the_market_moved(shop: Any, pairs_follow: bool) -> None:
    share, moved = 0.5, ["p03", "p07"]
    shop.published(explored(shop, share))
    first = shop.rows(DRAWN)
    shop.run("UPDATE data.products SET unit_cost = unit_cost * 1.3 WHERE product_id IN ('p03', 'p07')")
    if pairs_follow:
        reprice_all(shop.url, 1_000, lambda version: shop.demand)
    else:
        reprice_market(shop)  # the pairs wait
    live, quoted = shop.rows(DRAWN), shop.quotes()
    shop.published(explored(shop, share))
    second = shop.rows(DRAWN)
    assert second["product_id"].isin(moved).sum() > 50
    for before, after in ((first, live), (live, second)):
        earlier = after[["user_id", "product_id"]].merge(before, how="left")
        was_kept = (after["price"] == earlier["price"]) & (after["propensity"] == earlier["propensity"])
        was_drawn = np.isclose(after["price"], drawn_afresh(shop, after, share), atol=1e-9)
        assert (was_kept | was_drawn).all()
        assert was_kept[~after["product_id"].isin(moved)].all()
    assert (shop.quotes() / quoted - 1).abs().max() <= shop.step * (1 + 1e-9)


def reprice_market(shop: Any) -> None:
    """Price the waiting products anew, and none of their pairs yet."""
    with transaction(shop.url) as connection:
        live = continued_book(connection, lambda version: shop.demand)
        assert live is not None
        reprice_products(connection, live)


def test_no_step_counts_from_a_price_that_nobody_is_quoted(shop: Any) -> None:
    shop.published(explored(shop, 0.0))
    shop.run("UPDATE data.products SET unit_cost = 2 * list_price WHERE product_id = 'p03'")
    reprice_market(shop)
    assert quote("u001", "p03").source == "list"
    shop.run("UPDATE data.products SET unit_cost = 0.5 * list_price WHERE product_id = 'p03'")
    cheaper = explored(shop, 0.0).model_copy(update={"satisfaction_weight": 0.6})
    shop.published(cheaper)
    counted = "SELECT live_price FROM pricing.personal_prices WHERE product_id {} 'p03' AND book_id = {}"
    assert shop.rows(counted.format("=", 2))["live_price"].isna().all()
    assert shop.rows(counted.format("<>", 2))["live_price"].notna().all()
    expire(shop, 2)
    shop.published(cheaper)
    assert shop.rows(counted.format("<>", 3))["live_price"].isna().all()


def test_a_price_that_leaps_is_not_certified(shop: Any) -> None:
    shop.published(explored(shop, 0.0))
    priced, promotion = shop.priced(explored(shop, 0.0).model_copy(update={"satisfaction_weight": 0.2}))
    table = f"pricing.personal_prices_{priced.book.book_id}"
    shop.run(f"UPDATE {table} SET price = round(price * 0.85, 2), lower = 0 WHERE user_id = 'u001'")
    with pytest.raises(UncertifiedBookError, match="'maximum_step': 12"):
        certify.fn(priced, promotion)


def test_a_user_is_recommended_what_earns_most_at_its_live_price(shop: Any) -> None:
    with pytest.raises(NothingToRecommendError):
        recommend("u001")
    shop.published(shop.policy.model_copy(update={"satisfaction_weight": 0.3}))
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


def test_who_gave_no_consent_is_recommended_everybodys_prices(shop: Any) -> None:
    shop.published()
    shop.run("UPDATE data.users SET personalisation_consent = false WHERE user_id = 'u001'")
    refused, stranger = (pd.DataFrame(recommend(user)) for user in ("u001", "nobody known"))
    pd.testing.assert_frame_equal(refused, stranger)
    assert set(refused["source"]) == {"uniform"}
    everybody = shop.rows("SELECT product_id, price::double precision FROM pricing.uniform_prices")
    np.testing.assert_array_equal(
        refused["price"], everybody.set_index("product_id")["price"].loc[refused["product_id"]].to_numpy()
    )


def expire(shop: Any, book: int) -> None:
    shop.run(f"UPDATE pricing.books SET expires_at = now() - interval '1 day' WHERE book_id = {book}")


def test_of_an_expired_book_nobody_is_recommended_or_shown_a_personal_price(shop: Any) -> None:
    shop.published()
    expire(shop, 1)
    assert shop.rows("SELECT * FROM pricing.live_prices").empty
    found = recommend("u001", count=3)
    assert {product.source for product in found} == {"list"}
    assert [product.price for product in found] == [float(quote("u001", p.product_id).price) for p in found]


def publish_books(shop: Any, count: int) -> None:
    for number in range(count):
        shop.published(shop.policy.model_copy(update={"satisfaction_weight": 0.1 * (number + 1)}))


def test_one_rollback_after_another_goes_further_back(shop: Any) -> None:
    publish_books(shop, 3)
    assert [roll_back.fn(None).book_id for _ in range(2)] == [2, 1]
    with pytest.raises(RollbackError, match="no book before the live one"):
        roll_back.fn(None)
    assert [roll_back.fn(3).book_id, roll_back.fn(None).book_id] == [3, 1]  # 2 was rolled back from
    publish_books(shop, 1)
    assert roll_back.fn(None).book_id == 1


def test_the_book_that_a_rollback_returns_to_is_proved_as_well(shop: Any) -> None:
    publish_books(shop, 3)
    roll_back.fn(None)
    assert (verify_ledger().live_book_id, verify_ledger().book_id_before) == (2, 1)
    shop.run("UPDATE pricing.personal_prices SET price = lower WHERE book_id = 1")
    with pytest.raises(LedgerError, match="the prices of book 1 are not those that were published"):
        verify_ledger()


def test_an_expired_book_is_not_returned_to_but_made_anew(shop: Any) -> None:
    _, promotion, _ = shop.published()
    assert already_live(promotion) is not None
    publish_books(shop, 1)
    expire(shop, 1)
    with pytest.raises(RollbackError, match=r"book 1 expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC, .*: publish a new one"):
        roll_back.fn(None)
    assert already_live(promotion) is None


def explored(shop: Any, share: float) -> PricingPolicy:
    return shop.policy.model_copy(update={"exploration": Exploration(share=share)})


def explained(user: str, product: str) -> tuple[Quote, Explanation]:
    answer = quote(user, product)
    return answer, explain_quote(answer, user, product)


def test_live_prices_are_explained(shop: Any, learnable_shop: Tables) -> None:
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


def test_a_price_without_personal_data_says_why(shop: Any) -> None:
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


def test_what_cannot_be_computed_again_is_said(shop: Any, learnable_shop: Tables) -> None:
    shop.published(explored(shop, 0.0))
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
    assert changed.reasons is None and changed.waterfall is not None
    assert "data have changed" in changed.notes[-1]


def test_the_book_s_page_and_plots(shop: Any) -> None:
    priced, promotion, certificate = shop.published()
    page = book_page(priced, promotion, certificate).replace(GAP, "")
    assert "# Book 1 of shop" in page
    assert f"- from {version_link(1)}, data as of" in page
    assert "## Parity between groups (protected_group)" in page
    assert "| a | " in page and "as expected to be paid" in page
    assert "no bound is set" in page
    figures = book_plots(priced.sample, priced.parity)
    assert set(figures) == set(CAPTIONS)
    texts = {name: figure.axes[-1].get_xlabel() for name, figure in figures.items()}
    assert "EUR" in texts["price_response"] and "list price" in texts["price_distribution"]


def test_without_groups_the_page_says_so(shop: Any) -> None:
    shop.run("UPDATE data.users SET protected_group = NULL")
    priced, promotion, certificate = shop.published()
    assert "Not measured: no priced user has a value of `protected_group`" in book_page(priced, promotion, certificate)
    assert "parity_by_group" not in book_plots(priced.sample, priced.parity)


def test_nobody_to_price_leaves_a_book_without_plots(shop: Any) -> None:
    shop.run("UPDATE data.users SET personalisation_consent = false")
    priced, promotion, certificate = shop.published()
    assert priced.personal_rows == 0
    assert book_plots(priced.sample, priced.parity) == {}
    assert "0 personal and 12 uniform" in book_page(priced, promotion, certificate)


def test_stock_that_sells_until_a_date_is_weighed_against_the_requests_to_come(shop: Any) -> None:
    shop.run(
        "INSERT INTO data.inventory (dataset, pool_id, product_id, capacity, sells_until)"
        " SELECT 'shop', 'rooms', 'p03', 1.5, max(occurred_at) + interval '7 days' FROM data.behaviour"
    )
    rails = Guardrails(minimum_margin=0.05, maximum_markup=0.0)
    priced, _, _ = shop.published(PricingPolicy(guardrails=rails))
    (stock,) = priced.optimum.constraints
    assert (stock.name, stock.limit) == ("stock", 1.5) and stock.achieved <= 1.5
    (pace,) = shop.rows(
        "SELECT (count(*) + 1) * 7 * 86400.0 / extract(epoch FROM max(as_of) - greatest(min(offered_at),"
        " max(as_of) - interval '28 days')) AS to_come FROM data.offers JOIN data.snapshots USING (dataset)"
        " WHERE product_id = 'p03' AND offered_at > as_of - interval '28 days'"
    )["to_come"]
    curve = shop.rows("SELECT requests FROM pricing.bid_price_curves")["requests"]
    assert curve.tolist() == [pytest.approx(float(pace), rel=0.05)]
    shop.run("UPDATE data.inventory SET sells_until = NULL")  # each price is a request then
    endless, promotion = shop.priced(PricingPolicy(guardrails=rails))
    with pytest.raises(UncertifiedBookError, match="stock"):
        certify.fn(endless, promotion)


def test_the_reviewer_s_page_says_what_changes_for_whom(shop: Any) -> None:
    first, promotion, certificate = shop.published()
    with transaction(shop.url) as connection:
        unchanged = price_changes(connection, first, promotion)
    assert unchanged[0]["segment"] is None and unchanged[0]["compared"] == first.personal_rows
    assert unchanged[0]["share_up"] == unchanged[0]["share_down"] == 0  # against itself, live by now
    shop.run("SELECT pricing.record_event('u001', 'view', 'p03')")
    reprice_all(shop.url, 100, demands=lambda version: shop.demand)
    with transaction(shop.url) as connection:
        since = price_changes(connection, first, promotion)[0]
    assert 0 < since["share_up"] + since["share_down"] < 0.1  # against what he is quoted since
    shop.run("DELETE FROM pricing.repriced_personal")
    priced, promotion = shop.priced(shop.policy.model_copy(update={"satisfaction_weight": 0.4}))
    with transaction(shop.url) as connection:
        changes = price_changes(connection, priced, promotion)
    everything, *segments = changes
    assert everything["prices"] == priced.personal_rows
    assert {"c0", "c1", "c2", "quoted a personal price now"} == {change["segment"] for change in segments}
    assert (
        sum(change["prices"] for change in segments if str(change["segment"]).startswith("c")) == priced.personal_rows
    )
    assert everything["share_down"] > 0.5 and -shop.step <= everything["mean_fall"] < 0
    page = review_page(priced, promotion, certificate, changes).replace(GAP, "")
    assert f"Book {priced.book.book_id}: " in page and "none broken" in page and "no breach" in page
    assert "| all, against what is quoted now | " in page and "| c1 | " in page
    expire(shop, first.book.book_id)
    with transaction(shop.url) as connection:
        segments = {change["segment"] for change in price_changes(connection, priced, promotion)}
    assert "quoted the list price now" in segments and "quoted a personal price now" not in segments


def test_a_run_that_failed_scores_only_the_blocks_it_lacks(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.books.candidates, "USERS_PER_BLOCK", 40)
    monkeypatch.setattr(tasks.books.choose, "USERS_PER_BLOCK", 40)
    _, promotion = shop.priced()
    first, *others = choose_candidates.fn(promotion)
    score_candidates.fn(first, promotion)
    kept = first.demand.stat().st_mtime_ns
    blocks = [score_candidates.fn(block, promotion) for block in choose_candidates.fn(promotion)]
    assert len(others) == 3
    assert first.demand.stat().st_mtime_ns == kept
    assert price.fn(promotion, blocks).personal_rows == 135 * 12
    assert not first.folder.exists()


def test_a_book_counts_from_what_was_live_when_its_pairs_were_chosen(shop: Any) -> None:
    _, promotion = shop.priced()
    blocks = [score_candidates.fn(block, promotion) for block in choose_candidates.fn(promotion)]
    shop.published(shop.policy.model_copy(update={"satisfaction_weight": 0.2}))
    priced = price.fn(promotion, blocks)
    with pytest.raises(PublicationError):
        publish.fn(priced, certify.fn(priced, promotion))


def test_a_book_that_expires_soon_is_published_anew_from_the_same_inputs(shop: Any) -> None:
    _, promotion, _ = shop.published()
    live = already_live(promotion)
    assert live is not None and live.book_id == 1
    for left in ("1 day", "-1 day"):
        shop.run(f"UPDATE pricing.books SET expires_at = now() + interval '{left}'")
        assert already_live(promotion) is None
    assert quote("u001", "p01").reasons == ["book_expired"]
    shop.published()
    assert (quote("u001", "p01").book_id, quote("u001", "p01").source) == (2, "personal")
    shop.run("UPDATE pricing.books SET expires_at = now() + interval '7 days'")
    roll_back.fn(1)
    shop.run("UPDATE pricing.books SET expires_at = now()")
    live = already_live(promotion)
    assert live is not None and live.book_id == 1  # what a person rolled back does not return by itself


def test_who_is_forgotten_while_a_book_is_priced_is_not_published(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = tasks.books.price.stage_book
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(tasks.books.price, "stage_book", lambda *book: (forget("u001"), stage(*book))[1])
        priced, promotion = shop.priced()
    with pytest.raises(PublicationError, match="1 of the users of book 1 were forgotten while it was priced"):
        publish.fn(priced, certify.fn(priced, promotion))
    assert shop.rows("SELECT FROM pricing.personal_prices WHERE user_id = 'u001'").empty
    shop.published()
    assert quote("u002", "p01").book_id == 2
