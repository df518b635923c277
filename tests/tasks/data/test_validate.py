import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import tasks.data.validate
from models.errors import PricingError
from tasks.data.collect import collect
from tasks.data.snapshots import SnapshotNotFoundError, latest_snapshot
from tasks.data.validate import BatchRefusedError, LoadError, report_page, validate
from tasks.markdown import GAP
from tasks.quotes.forget import forget
from tasks.sources import SourceParameters
from tasks.training.extract import cut_offers

pytestmark = pytest.mark.usefixtures("migrated")


@pytest.fixture
def take_in(write_tables, tmp_path):
    """Write the tables, collect and validate them; returns the snapshot."""

    def run(tables, suffix="parquet"):
        folder = write_tables(tables, tmp_path / "shop", suffix)
        return validate.fn(collect.fn(SourceParameters(kind="files", path=folder, currency="EUR")))

    return run


def waiting_tables(query):
    return [name for (name,) in query("SELECT tablename FROM pg_tables WHERE schemaname = 'incoming' ORDER BY 1")]


def quarantined(query):
    return query("SELECT table_name, row_key, rule, row_number FROM pricing.quarantine ORDER BY 1, 2")


def test_rows_that_keep_every_rule_are_merged(shop, take_in, query, settings):
    snapshot = take_in(shop)
    assert snapshot.row_counts == {
        "users": 20,
        "products": 20,
        "behaviour": 40,
        "market": 40,
        "inventory": 0,
        "offers": 40,
    }
    assert (snapshot.currency, snapshot.quarantined) == ("EUR", {})
    assert snapshot.as_of == pd.Timestamp("2024-04-09T00:00:00Z")
    assert waiting_tables(query) == []
    assert query("SELECT state, validation ->> 'snapshot_id' FROM data.loads") == [("merged", snapshot.snapshot_id)]
    assert latest_snapshot(settings.database_url.get_secret_value(), snapshot.dataset) == snapshot


def test_a_row_that_breaks_a_rule_is_kept_whole_in_quarantine(shop, take_in, query):
    shop["offers"].loc[4, "price"] = -1.0
    snapshot = take_in(shop)
    assert snapshot.quarantined == {"offers": 1}
    assert snapshot.row_counts["offers"] == 39
    [(table, key, rule, number, origin, row)] = query(
        'SELECT table_name, row_key, rule, row_number, origin, "row" FROM pricing.quarantine'
    )
    assert (table, key, rule, number) == ("offers", "o4", "price is above 0", 5)
    assert origin.endswith("shop/offers.parquet")
    assert (row["price"], row["purchased"], row["attributes"]) == (-1.0, False, {"context_channel": "web"})


def test_every_rule_that_a_row_breaks_is_named(shop, take_in, query):
    shop["offers"]["weight"] = 1.0
    shop["offers"].loc[4, ["price", "weight"]] = [-1.0, 0.0]
    take_in(shop)
    assert quarantined(query) == [("offers", "o4", "price is above 0; weight is above 0", 5)]


def test_rows_of_unknown_users_and_products_are_quarantined_and_return_by_themselves(shop, take_in, query):
    whole = {name: frame.copy() for name, frame in shop.items()}
    shop["behaviour"].loc[0, "user_id"] = "late"
    shop["market"].loc[1, "product_id"] = "late"
    first = take_in(shop)
    assert quarantined(query) == [
        ("behaviour", "e0", "user_id is in users", 1),
        ("market", '["late", "2024-03-02T00:00:00+00:00"]', "product_id is in products", 2),
    ]
    shop["users"].loc[20] = ["late", True, 50]
    second = take_in(shop)
    assert quarantined(query) == [("market", '["late", "2024-03-02T00:00:00+00:00"]', "product_id is in products", 2)]
    assert second.row_counts["behaviour"] == first.row_counts["behaviour"] + 1 == len(whole["behaviour"])


def test_rows_of_a_quarantined_product_go_with_it_and_come_back_with_it(shop, take_in, query):
    shop["products"].loc[3, "list_price"] = 0.0
    snapshot = take_in(shop)
    assert snapshot.quarantined == {"products": 1, "behaviour": 2, "market": 2, "offers": 2}
    query("""UPDATE pricing.quarantine SET released = true, "row" = jsonb_set("row", '{list_price}', '10')
             WHERE table_name = 'products'""")
    healed = take_in(shop)
    assert (healed.quarantined, healed.row_counts["offers"]) == ({}, 40)


def test_a_repaired_row_is_merged_with_the_next_run_of_an_unchanged_source(shop, take_in, query):
    shop["offers"].loc[4, "price"] = -1.0
    first = take_in(shop)
    query("""UPDATE pricing.quarantine SET released = true, "row" = jsonb_set("row", '{price}', '8.5')""")
    second = take_in(shop)
    assert quarantined(query) == []
    assert query("SELECT price, purchased, attributes FROM data.offers WHERE offer_id = 'o4'") == [
        (8.5, False, {"context_channel": "web"})
    ]
    assert second.snapshot_id != first.snapshot_id
    shop["offers"].loc[4, "price"] = 8.5
    assert take_in(shop).snapshot_id == second.snapshot_id, "how the row came there does not matter"


@pytest.mark.parametrize(
    ("repair", "rule"),
    [
        ("'{price}', '-2'", "price is above 0"),
        (
            "'{price}', '\"about 9\"'",
            "price: expected a number, found 'about 9'; write 1234.50, with a point and no other sign",
        ),
        ("'{user_id}', '\"nobody\"'", "price is above 0"),
        ("'{surplus}', '1'", "'surplus': not a column of offers"),
    ],
)
def test_a_row_released_without_repair_is_quarantined_anew(shop, take_in, query, repair, rule):
    shop["offers"].loc[4, "price"] = -1.0
    take_in(shop)
    query(f'UPDATE pricing.quarantine SET released = true, "row" = jsonb_set("row", {repair})')
    take_in(shop)
    [(key, found, released)] = query("SELECT row_key, rule, released FROM pricing.quarantine")
    assert (key, released) == ("o4", False)
    assert found.startswith(rule)


def test_an_image_survives_quarantine(shop, take_in, query):
    image = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    shop["products"]["image"] = [image] * 20
    shop["products"].loc[0, "list_price"] = -1.0
    take_in(shop)
    query("""UPDATE pricing.quarantine SET released = true, "row" = jsonb_set("row", '{list_price}', '10')
             WHERE table_name = 'products'""")
    take_in(shop)
    assert [bytes(kept) for (kept,) in query("SELECT DISTINCT image FROM data.products")] == [image]
    assert query("SELECT count(*) FROM pricing.quarantine") == [(0,)]


def test_a_row_the_source_repaired_leaves_the_quarantine(shop, take_in, query):
    shop["users"]["protected_group"] = ["", *["a"] * 19]
    take_in(shop)
    assert [key for _, key, _, _ in quarantined(query)].count("u0") == 1
    shop["users"]["protected_group"] = "a"
    snapshot = take_in(shop)
    assert quarantined(query) == []
    assert snapshot.row_counts["behaviour"] == 40


def test_the_source_has_the_last_word_unless_only_the_repair_passes(shop, take_in, query):
    shop["offers"].loc[[4, 5], "price"] = -1.0
    take_in(shop)
    query("""UPDATE pricing.quarantine SET released = true, "row" = jsonb_set("row", '{price}', '8.5')""")
    shop["offers"].loc[4, "price"] = 7.0
    take_in(shop)
    assert query("SELECT offer_id, price FROM data.offers WHERE offer_id IN ('o4', 'o5') ORDER BY 1") == [
        ("o4", 7.0),
        ("o5", 8.5),
    ]
    assert quarantined(query) == [("offers", "o5", "price is above 0", 6)]


def test_two_released_rows_cannot_become_one(shop, take_in, query):
    shop["offers"].loc[[4, 5], "price"] = -1.0
    take_in(shop)
    query("""UPDATE pricing.quarantine SET released = true, "row" = "row" || '{"price": 9, "offer_id": "same"}'""")
    snapshot = take_in(shop)
    assert snapshot.row_counts["offers"] == 39
    assert query("SELECT row_key, rule FROM pricing.quarantine") == [
        ("o5", "offer_id: another released row has the same")
    ]


def test_a_batch_with_too_many_failing_rows_is_refused_whole(shop, take_in, query):
    shop["offers"].loc[[3, 8, 13, 18, 23], "price"] = 0.0
    with pytest.raises(BatchRefusedError) as refused:
        take_in(shop)
    message = str(refused.value)
    assert message.startswith(
        "offers: 5 of 40 rows (12.5%) break a rule, above 10%. 'price is above 0' is broken by 5: "
    )
    assert "shop/offers.parquet, rows 4, 9, 14, 19, 24." in message
    assert "incoming.offers_1" in message
    assert query("SELECT (SELECT count(*) FROM data.users), (SELECT count(*) FROM pricing.quarantine)") == [(0, 0)]
    assert query("SELECT rule, count(*) FROM incoming.offers_1 GROUP BY 1 ORDER BY 1") == [
        ("price is above 0", 5),
        (None, 35),
    ]
    assert query("SELECT state, validation ->> 'refusal' FROM data.loads") == [("refused", message)]
    shop["offers"].loc[[3, 8], "price"] = 9.0
    assert take_in(shop).quarantined == {"offers": 3}
    assert waiting_tables(query) == [], "those of the refused load are of no more use"


def test_a_refused_batch_has_a_page_as_well(shop, take_in, monkeypatch):
    shown = []
    monkeypatch.setattr(tasks.data.validate, "show_page", lambda page, *_: shown.append(page))
    with pytest.raises(BatchRefusedError) as refused:
        take_in(shop | {"offers": shop["offers"].assign(price=-1.0)})
    (page,) = shown
    assert "was refused" in page and str(refused.value) in page


def test_a_refused_batch_releases_nothing(shop, take_in, query):
    shop["offers"].loc[4, "price"] = -1.0
    take_in(shop)
    query("""UPDATE pricing.quarantine SET released = true, "row" = jsonb_set("row", '{price}', '8.5')""")
    shop["offers"].loc[10:, "price"] = 0.0
    with pytest.raises(BatchRefusedError):
        take_in(shop)
    assert query("SELECT row_key, released FROM pricing.quarantine") == [("o4", True)]


def test_times_in_the_future_are_quarantined(shop, take_in, query):
    shop["market"].loc[0, "observed_at"] = pd.Timestamp("2999-01-01T00:00:00Z")
    assert take_in(shop).as_of.year == 2024
    assert [rule for _, _, rule, _ in quarantined(query)] == [
        "observed_at is neither before 1970 nor more than a day ahead"
    ]


def test_stock_may_sell_until_the_end_of_the_calendar(shop, take_in):
    until = pd.to_datetime(["9999-12-31T23:59:59Z"]).as_unit("us")
    shop["inventory"] = pd.DataFrame({"pool_id": ["a"], "product_id": ["p0"], "capacity": [5], "sells_until": until})
    snapshot = take_in(shop)
    assert (snapshot.row_counts["inventory"], snapshot.quarantined) == (1, {})


def test_collecting_twice_changes_nothing(shop, take_in, query):
    first = take_in(shop)
    rows = query("SELECT xmin, ctid, * FROM data.offers ORDER BY offer_id")
    assert take_in(shop).snapshot_id == first.snapshot_id
    query("UPDATE data.loads SET fingerprint = 'another'")
    assert take_in(shop).snapshot_id == first.snapshot_id, "read again"
    assert query("SELECT xmin, ctid, * FROM data.offers ORDER BY offer_id") == rows
    assert query("SELECT count(*) FROM data.snapshots") == [(1,)]


def test_an_unchanged_source_is_learnt_from_after_somebody_was_forgotten(shop, take_in, settings):
    first = take_in(shop)
    forget("u3")
    second = take_in(shop)
    assert second.snapshot_id != first.snapshot_id
    assert latest_snapshot(settings.database_url.get_secret_value(), second.dataset).snapshot_id == second.snapshot_id
    assert len(cut_offers.fn(second)) == 1


def test_the_snapshot_does_not_depend_on_order_format_or_history(shop, take_in, query):
    first = take_in(shop, "csv")
    rng = np.random.default_rng(0)
    for _ in range(3):
        query("TRUNCATE data.users, data.products, data.behaviour, data.market, data.inventory, data.offers")
        query("UPDATE data.loads SET fingerprint = NULL")
        parts = int(rng.integers(1, 4))
        for table in shop:
            shop[table] = shop[table].sample(frac=1, random_state=int(rng.integers(100))).reset_index(drop=True)
        for part in range(1, parts + 1):
            few = {
                name: frame if name in ("users", "products") else frame[: len(frame) * part // parts]
                for name, frame in shop.items()
            }
            last = take_in(few, "csv")
        assert last.snapshot_id == first.snapshot_id


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("users", "attr_age", 99),
        ("products", "list_price", 10.000000000000002),
        ("behaviour", "kind", "click"),
        ("offers", "purchased", 1),
    ],
)
def test_any_change_is_another_snapshot(shop, take_in, table, column, value):
    first = take_in(shop)
    shop[table].loc[0, column] = value
    assert take_in(shop).snapshot_id != first.snapshot_id


def test_changed_rows_are_renewed(shop, take_in, query):
    take_in(shop)
    shop["products"]["list_price"] = 12.0
    shop["products"]["attr_colour"] = None
    take_in(shop)
    assert query("SELECT DISTINCT list_price, attributes FROM data.products") == [(12.0, None)]


def test_a_load_is_validated_once(shop, write_tables, tmp_path):
    load = collect.fn(SourceParameters(kind="files", path=write_tables(shop, tmp_path / "shop", "csv")))
    validate.fn(load)
    with pytest.raises(LoadError, match="is merged, not waiting"):
        validate.fn(load)
    with pytest.raises(LoadError, match="is unknown"):
        validate.fn(replace(load, load_id=load.load_id + 99))


def test_a_load_that_a_newer_one_overtook_is_not_merged(shop, write_tables, tmp_path):
    parameters = SourceParameters(kind="files", path=write_tables(shop, tmp_path / "shop", "csv"))
    older, newer = collect.fn(parameters), collect.fn(parameters)
    validate.fn(newer)
    with pytest.raises(LoadError, match=f"superseded by load {newer.load_id}"):
        validate.fn(older)


def test_a_crash_leaves_the_load_to_be_validated_again(shop, write_tables, tmp_path, monkeypatch, query):
    load = collect.fn(SourceParameters(kind="files", path=write_tables(shop, tmp_path / "shop", "csv")))
    with monkeypatch.context() as broken:
        broken.setattr("tasks.data.validate.take_snapshot", lambda *_: (_ for _ in ()).throw(PricingError("power cut")))
        with pytest.raises(PricingError, match="power cut"):
            validate.fn(load)
    assert query("SELECT count(*) FROM data.offers") == [(0,)]
    assert validate.fn(load).row_counts["offers"] == 40


def test_large_tables_are_examined_in_blocks(shop, take_in, query, monkeypatch):
    monkeypatch.setattr("tasks.database.BLOCK_PAGES", 1)
    many = pd.concat([shop["behaviour"]] * 50, ignore_index=True)
    many["event_id"] = [f"e{n}" for n in range(len(many))]
    many.loc[[0, 777, 1999], "dwell_seconds"] = -1.0
    shop["behaviour"] = many
    snapshot = take_in(shop)
    assert snapshot.validation["tables"]["behaviour"]["rows"] == 2000
    assert snapshot.validation["tables"]["behaviour"]["rules"]["dwell_seconds is not below 0"] == 3
    assert [(key, number) for _, key, _, number in quarantined(query)] == [
        ("e0", 1),
        ("e1999", 2000),
        ("e777", 778),
    ]


def test_the_report_and_the_data_docs_name_every_rule(shop, take_in, settings):
    shop["offers"].loc[4, "price"] = -1.0
    snapshot = take_in(shop)
    page = report_page(snapshot).replace(GAP, "")
    assert "| offers | 10% | 40 | 1 | 39 | 1 |" in page
    assert "| offers | price is above 0 | 1 |" in page
    assert "| behaviour | user_id is in users | 0 |" in page
    docs = settings.home / "data_docs"
    assert (docs / "index.html").is_file()
    assert "Rule by rule: [Data Docs](http://127.0.0.1:8090/index.html)." in page
    [offers] = docs.glob("validations/offers/**/*.html")
    assert "price is above 0" in offers.read_text()
    assert "[onclick^=clearTableFilters] { display: none !important; }" in (docs / "index.html").read_text()
    json.dumps(snapshot.validation)


def test_a_dataset_never_collected_has_no_snapshot(settings):
    with pytest.raises(SnapshotNotFoundError, match="files:/nowhere"):
        latest_snapshot(settings.database_url.get_secret_value(), "files:/nowhere")
