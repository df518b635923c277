import numpy as np
import pandas as pd
import pytest

from models.simulation.domains import TRUTHS
from models.simulation.live_market import LiveMarket, with_history
from models.simulation.marketplace import MarketplaceConfig, MarketplaceError, simulate
from models.simulation.tables import START

CONFIG = MarketplaceConfig(users=300, products=10, offers=9_000, days=42, randomised_share=0.0)
END = START + pd.Timedelta(days=43)  # a visit before midnight may be offered something after it


@pytest.fixture(scope="module")
def live() -> LiveMarket:
    return LiveMarket.opened(simulate(CONFIG), log_days=14)


def test_log_and_visits_are_the_whole_market_and_share_nothing(live: LiveMarket) -> None:
    offers, visits = live.tables(live.opens_at)["offers"], live.visits(live.opens_at, END)
    assert not set(offers["offer_id"]) & set(visits.frame["decision_id"])
    assert len(offers) + len(visits) == CONFIG.offers
    assert visits.frame["decided_at"].is_monotonic_increasing
    first, second = live.visits(live.opens_at, live.opens_at + pd.Timedelta(days=7)), live.visits(START, live.opens_at)
    assert len(second) == len(offers)
    assert 0.2 < len(first) / len(visits) < 0.3


def test_nothing_of_the_future_is_in_the_tables(live: LiveMarket) -> None:
    moment = live.opens_at + pd.Timedelta(days=8)
    tables = live.tables(moment)
    assert tables["behaviour"]["occurred_at"].max() < live.opens_at
    assert tables["offers"]["offered_at"].max() < live.opens_at
    assert live.opens_at + pd.Timedelta(days=6) < tables["market"]["observed_at"].max() < moment
    events = live.events(live.opens_at, moment)
    assert events["occurred_at"].between(live.opens_at, moment, inclusive="left").all()
    assert "purchase" not in set(events["kind"])
    assert set(events["kind"]) == set(tables["behaviour"]["kind"]) - {"purchase"}


def test_users_answer_as_the_truth_says(live: LiveMarket) -> None:
    visits = live.visits(live.opens_at, END)
    for ratio in (0.8, 1.0, 1.2):
        price = np.full(len(visits), ratio)
        surplus = live.answers(visits, price) - live.market.purchase_probability(visits, price)
        weeks = live.again(1).answers(visits, price) - live.market.purchase_probability(visits, price)
        for missed in (surplus, weeks):
            assert abs(missed.mean()) < 0.02


def test_who_buys_buys_at_any_lower_price_and_a_price_is_always_answered_alike(live: LiveMarket) -> None:
    visits = live.visits(live.opens_at, END)
    dear, cheap = (live.answers(visits, np.full(len(visits), ratio)) for ratio in (1.1, 0.9))
    assert (cheap >= dear).all()
    assert cheap.sum() > dear.sum()
    np.testing.assert_array_equal(live.answers(visits, np.full(len(visits), 1.1)), dear)


def test_another_seed_draws_luck_and_one_shock_a_product_and_week(live: LiveMarket) -> None:
    once, twice, other = live.again(3), live.again(3), live.again(4)
    pd.testing.assert_series_equal(once.luck, twice.luck)
    assert (once.luck != other.luck).all()
    frame = live.market.log.frame.set_index("decision_id")
    week = (frame["decided_at"] - pd.Timedelta(minutes=30) - START) // pd.Timedelta(days=7)  # of the visit's start
    for shock in (live.shock.loc[frame.index], once.shock):
        assert (shock.groupby([frame["product_id"], week]).nunique() == 1).all()
        assert shock.unique().std() == pytest.approx(TRUTHS["ecommerce"].shock, rel=0.4)


def test_purchases_are_events_that_the_next_decision_knows(live: LiveMarket) -> None:
    visits = live.visits(live.opens_at, live.opens_at + pd.Timedelta(days=14))
    logged = live.tables(live.opens_at)["behaviour"]
    browsed = live.events(live.opens_at, live.opens_at + pd.Timedelta(days=14))
    bought = np.ones(len(visits), dtype=bool)
    without = with_history(visits, pd.concat([logged, browsed]))
    knowing = with_history(visits, pd.concat([logged, browsed, live.purchases(visits, bought)]))
    gained = knowing.frame["activity_purchases"] - without.frame["activity_purchases"]
    later = visits.frame.groupby("user_id")["decided_at"].transform("min") < visits.frame["decided_at"]
    assert (gained[later] > 0).all()
    assert (gained[~later] == 0).all()
    _, end = knowing.events_window
    last = knowing.events["occurred_at"].to_numpy()[end - 1]
    assert (last < knowing.frame["decided_at"].to_numpy()).all()


@pytest.mark.parametrize("days", [0, 42])
def test_a_market_needs_a_log_and_days_after_it(days: int) -> None:
    with pytest.raises(MarketplaceError, match=f"a log of {days} days"):
        LiveMarket.opened(simulate(CONFIG), days)


def test_a_market_whose_buyers_want_no_more_cannot_go_on() -> None:
    market = simulate(MarketplaceConfig("automobile", users=50, products=8, offers=200, days=28))
    with pytest.raises(MarketplaceError, match="automobile"):
        LiveMarket.opened(market, 14)
