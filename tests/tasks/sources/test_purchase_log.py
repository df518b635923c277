import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.sources import purchase_log
from tasks.sources.purchase_log import VERSION, PurchaseLog
from tasks.sources.shelf import SALES_DAYS

START = pd.Timestamp("2000-11-01", tz="UTC").as_unit("us")
COLUMNS = [
    "day",
    "user_id",
    "item_id",
    "subclass",
    "units",
    "total_price",
    "total_cost",
    "age_group",
    "pin_code",
]
DAYS = 45


def line(day, user="u1", item="a", subclass="food", units=1, price=10, cost=6, age="25-29", pin="115"):
    return (START + pd.Timedelta(days=day), user, item, subclass, units, price, cost, age, pin)


def purchases(*lines):
    return PurchaseLog(pd.DataFrame(lines, columns=COLUMNS))


def history(item="a", subclass="food", days=SALES_DAYS, user="regular", **terms):
    """Enough sales to make an item lead its subclass."""
    return [line(day, user, item, subclass, **terms) for day in range(days)]


def shop(seed, days=DAYS, users=6, items=8):
    """A busy little shop with drawn prices, costs and baskets; day, user and item name a line."""
    random = np.random.default_rng(seed)
    drawn = pd.DataFrame({"day": random.integers(0, days, 1500), "user": random.integers(0, users, 1500)})
    drawn["item"] = random.integers(0, items, 1500)
    drawn = drawn.drop_duplicates(ignore_index=True)
    units = random.choice([1, 1, 1, 2], len(drawn))
    return pd.DataFrame(
        {
            "day": START + pd.to_timedelta(drawn["day"], unit="D"),
            "user_id": "u" + drawn["user"].astype(str),
            "item_id": "i" + drawn["item"].astype(str),
            "subclass": "s" + (drawn["item"] % 2).astype(str),
            "units": units,
            "total_price": units * random.integers(7, 11, len(drawn)),
            "total_cost": units * random.integers(0, 7, len(drawn)),
            "age_group": "25-29",
            "pin_code": None,
        }
    )


@pytest.fixture
def every_offer(monkeypatch):
    """Keep all declined offers."""
    monkeypatch.setattr(purchase_log, "DECLINED_SHARE", 1 - 2**-53)


def in_order(frame):
    return frame.sort_values(list(frame.columns), ignore_index=True)


def offers_of(log, user="u1"):
    offers = log.offers()
    return offers[offers["user_id"] == user].set_index("product_id")


def test_the_tables_conform_to_the_contract():
    tables = PurchaseLog(shop(0)).tables()
    assert set(tables) == {"users", "products", "behaviour", "market", "offers"}
    for name, frame in tables.items():
        assert len(conform(frame, TABLES[name], name)) == len(frame) > 0
        assert not frame.duplicated(list(TABLES[name].key)).any()


def test_each_reference_is_met():
    tables = PurchaseLog(shop(0)).tables()
    for name, frame in tables.items():
        for column, table in TABLES[name].references:
            assert frame[column].dropna().isin(tables[table][column]).all()


def test_the_age_group_is_the_protected_group_and_may_be_missing():
    users = purchases(line(0), line(0, "u2", age=None, pin=None), line(1)).users()
    assert users.set_index("user_id")["protected_group"].fillna("missing").to_dict() == {
        "u1": "25-29",
        "u2": "missing",
    }
    assert users.set_index("user_id")["attr_pin_code"].fillna("missing").to_dict() == {
        "u1": "115",
        "u2": "missing",
    }


def test_a_product_has_its_last_regular_price_and_unit_cost():
    log = purchases(*history(price=10, cost=6), *(line(day, price=7, cost=5) for day in range(28, 35)))
    product = log.products().iloc[0]
    assert (product["list_price"], product["unit_cost"], product["category"]) == (10.0, 5.0, "food")


def test_a_product_never_sold_singly_is_listed_at_what_a_unit_cost_on_its_last_day():
    log = purchases(line(0, units=2, price=30), line(4, units=2, price=20), line(4, "u2", units=3, price=40))
    assert log.products()["list_price"].tolist() == [12.0]


def test_an_item_whose_cost_was_never_known_is_no_product_and_stays_in_the_history():
    log = purchases(line(0, item="gift", subclass="gifts", cost=0), line(1, cost=0), line(2))
    assert log.products()["product_id"].tolist() == ["a"]
    events = log.behaviour()
    assert events["category"].tolist() == ["gifts", "food", "food"]
    assert events["product_id"].fillna("none").tolist() == ["none", "a", "a"]


def test_an_item_moved_to_another_subclass_stays_in_its_first():
    moved = [line(day, "u2", item="b", subclass="food" if day < 5 else "drinks") for day in range(28)]
    log = purchases(*moved, *history(), line(28, "u2", item="b", subclass="drinks"))
    assert log.products().set_index("product_id")["category"].to_dict() == {"a": "food", "b": "food"}
    assert set(log.behaviour()["category"]) == {"food"}


def test_events_are_purchases_at_noon_named_by_day_user_and_item():
    event = purchases(line(3)).behaviour().iloc[0]
    assert event["event_id"] == "20001104-u1-a"
    assert event["occurred_at"] == pd.Timestamp("2000-11-04 12:00", tz="UTC")
    assert event["kind"] == "purchase"


@pytest.mark.usefixtures("every_offer")
def test_a_trip_is_an_exposure_to_the_leading_items_of_subclasses_bought_in_before():
    log = purchases(
        *history("a"), *history("b"), *history("c", "drinks"), line(3, item="b"), line(28, item="b", price=9)
    )
    offers = offers_of(log)
    assert offers["purchased"].to_dict() == {"a": 0, "b": 1}, "drinks were never bought by this user"
    assert (offers["offered_at"] == START + pd.Timedelta(days=28)).all()
    assert offers.loc["b", ["price", "list_price", "unit_cost"]].tolist() == [9.0, 10.0, 6.0]
    assert offers.loc["a", "price"] == 10.0, "not seen that day: the last one of the two weeks before"


@pytest.mark.usefixtures("every_offer")
def test_the_first_purchase_in_a_subclass_is_no_offer():
    log = purchases(*history("a"), line(3, item="z", subclass="drinks"), line(28))
    assert offers_of(log).empty
    again = purchases(*history("a"), line(3, item="z", subclass="drinks"), line(28), line(30))
    assert offers_of(again)["purchased"].to_dict() == {"a": 1}


@pytest.mark.usefixtures("every_offer")
def test_a_day_without_a_trip_is_no_offer():
    offers = offers_of(purchases(*history(days=40), line(3), line(28), line(31)))
    assert [day.day for day in offers["offered_at"]] == [29, 2]


@pytest.mark.usefixtures("every_offer")
def test_an_unpopular_item_is_no_offer_even_when_it_is_bought():
    log = purchases(*history("a"), line(3), line(28, item="rare"))
    assert offers_of(log)["purchased"].to_dict() == {"a": 0}


def test_offers_stand_before_and_events_after_the_facts_they_go_with():
    tables = PurchaseLog(shop(1)).tables()
    bought = tables["offers"][tables["offers"]["purchased"] == 1]
    events = tables["behaviour"].set_index("event_id")["occurred_at"]
    assert (events[bought["offer_id"]].to_numpy() > bought["offered_at"].to_numpy()).all()
    eve = tables["offers"]["offered_at"] - pd.Timedelta(seconds=1)
    facts = pd.MultiIndex.from_frame(tables["market"][["product_id", "observed_at"]])
    asked = pd.MultiIndex.from_arrays([tables["offers"]["product_id"], eve])
    assert asked.isin(facts).all()


def test_all_bought_offers_are_kept_and_the_declined_weighted_stand_for_all(monkeypatch):
    log = PurchaseLog(shop(2, days=120, users=40, items=12))
    kept = log.offers()
    monkeypatch.setattr(purchase_log, "DECLINED_SHARE", 1 - 2**-53)
    every = log.offers()
    bought = every["purchased"] == 1
    assert set(kept.loc[kept["purchased"] == 1, "offer_id"]) == set(every.loc[bought, "offer_id"])
    assert (kept.loc[kept["purchased"] == 1, "weight"] == 1.0).all()
    assert (kept.loc[kept["purchased"] == 0, "weight"] == 16.0).all()
    share = (kept["purchased"] == 0).sum() / (~bought).sum()
    error = np.sqrt(1 / 16 * 15 / 16 / (~bought).sum())
    assert abs(share - 1 / 16) < 4 * error


def test_the_order_of_the_lines_does_not_matter():
    lines = shop(3)
    expected = PurchaseLog(lines).tables()
    shuffled = PurchaseLog(lines.sample(frac=1.0, random_state=0)).tables()
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(in_order(frame), in_order(shuffled[name]))


@given(seed=st.integers(0, 2**32 - 1), day=st.integers(SALES_DAYS, DAYS - 2))
@settings(max_examples=25, deadline=None)
def test_later_lines_change_no_earlier_offer_or_market_fact(seed, day):
    lines, other = shop(seed), shop(seed + 1, users=9, items=11)
    now = START + pd.Timedelta(days=day)
    changed = pd.concat([lines[lines["day"] <= now], other[other["day"] > now]], ignore_index=True)
    before, after = PurchaseLog(lines), PurchaseLog(changed)
    for known, then, time in (
        (before.offers(), after.offers(), "offered_at"),
        (before.market(), after.market(), "observed_at"),
    ):
        until = now + purchase_log.END_OF_DAY
        pd.testing.assert_frame_equal(*(in_order(some[some[time] <= until]) for some in (known, then)))


@given(seed=st.integers(0, 2**32 - 1), day=st.integers(SALES_DAYS, DAYS - 1))
@settings(max_examples=25, deadline=None)
def test_what_a_trip_brings_changes_neither_who_is_offered_what_nor_the_list_price(seed, day):
    lines, now = shop(seed), START + pd.Timedelta(days=day)
    today = lines["day"] == now
    odd = lines.assign(item_id=lines["item_id"].where(~today, "odd"), total_price=lines["total_price"].where(~today, 1))
    odd = odd.drop_duplicates(["day", "user_id", "item_id"], ignore_index=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(purchase_log, "DECLINED_SHARE", 1 - 2**-53)
        known, other = (
            frame[frame["offered_at"] == now] for frame in (PurchaseLog(some).offers() for some in (lines, odd))
        )
    same = ["offer_id", "list_price"]
    pd.testing.assert_frame_equal(known[same].reset_index(drop=True), other[same].reset_index(drop=True))
    assert not other["purchased"].any()


def test_the_version_rises_when_what_is_built_changes():
    tables = PurchaseLog(shop(4)).tables()
    digests = [pd.util.hash_pandas_object(frame.astype(str), index=False).sum() for frame in tables.values()]
    digest = f"{sum(map(int, digests)) % 2**64:016x}"
    assert {VERSION: digest} == {1: "624b388b63f4a12d"}, (
        "the tables changed: raise VERSION, so that a database collects them anew"
    )
