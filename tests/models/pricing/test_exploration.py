from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pricing.exploration import Draws, decision_keys, explore, uniform_draw
from models.pricing.guardrails import Bound, Interval, intersect
from models.pricing.policy import Exploration
from models.pricing.price_grid import price_grid

KNOWN_KEYS = [5480516016430229126, 17828928050684777268, 44028349686724217]


def interval_between(lower: float, upper: float, rows: int, ending: float | None = None) -> Interval:
    rules = [Bound("floor", lower=np.full(rows, lower)), Bound("ceiling", upper=np.full(rows, upper))]
    return intersect(rules, rows, price_grid(2, ending))


def keys_of(rows: int, period: str = "2026-W47") -> np.ndarray:
    return decision_keys(pd.Series([f"user {row}" for row in range(rows)]), pd.Series(["item"] * rows), period)


def draw(exploration: Exploration, rows=40_000, best=30.0, bounds=(2.0, 2.4), list_price=2.5, ending=None):
    """Explore many users of one product whose prices run over the few rungs of ``bounds``."""
    interval = interval_between(*bounds, rows, ending)
    best_rung = np.full(rows, interval.lowest[0] + best)
    allowed = np.ones(rows, dtype=bool)
    draws = Draws.independent(exploration.drawn_share, keys_of(rows))
    return interval, explore(
        exploration.drawn_share, exploration.dither, interval, best_rung, np.full(rows, list_price), allowed, draws
    )


@pytest.mark.parametrize(
    "exploration",
    [
        Exploration(share=0.3),
        Exploration(dither=0.02),
        Exploration(share=0.2, dither=0.03),
        Exploration(share=1),
    ],
)
def test_density_is_what_is_drawn(exploration):
    interval, shown = draw(exploration)
    ratio_per_rung = interval.grid.spacing / 2.5
    table = pd.DataFrame({"rung": shown.rung, "density": shown.density})
    assert (table.groupby("rung")["density"].nunique() == 1).all()
    expected = table.groupby("rung")["density"].first() * ratio_per_rung
    observed = table["rung"].value_counts(normalize=True).reindex(expected.index)
    # four standard errors of a share of the rows
    error = 4 * np.sqrt(expected * (1 - expected) / len(table)) + 1e-12
    assert ((observed - expected).abs() <= error).all()
    assert expected.sum() == pytest.approx(1)


def test_shares_and_flags():
    interval, shown = draw(Exploration(share=0.25, dither=0.02), best=30.0)
    assert shown.randomised.mean() == pytest.approx(0.25, abs=0.01)
    assert not (shown.randomised & shown.dithered).any()
    distance = np.abs(shown.rung - interval.lowest - 30.0)
    assert distance[~shown.randomised].max() == 5  # 0.02 × 2.50 in cents
    assert distance[shown.randomised].max() > 20


def test_endings_hold_under_exploration():
    interval, shown = draw(Exploration(share=0.5), best=2.0, bounds=(2.0, 9.5), ending=0.99)
    assert set(np.round(interval.grid.price(shown.rung) % 1, 2)) == {0.99}


def test_dither_stays_inside_the_interval():
    interval, shown = draw(Exploration(dither=0.1), best=0.0)
    assert shown.rung.min() == interval.lowest[0]
    assert shown.rung.max() == interval.lowest[0] + 25


def test_rows_that_cannot_explore_keep_their_price_and_have_no_density():
    fixed = interval_between(2.0, 2.0, 3)
    rows = np.full(3, 2.0)
    everyone, nobody = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
    wide = interval_between(1.0, 3.0, 3)
    for interval, allowed in ((fixed, everyone), (wide, nobody)):
        shown = explore(1.0, 0.0, interval, interval.lowest, rows, allowed, Draws.independent(1.0, keys_of(3)))
        np.testing.assert_array_equal(shown.rung, interval.lowest)
        assert not shown.randomised.any()
        assert np.isnan(shown.density).all()


def test_keys_are_the_same_on_every_machine():
    users, products = pd.Series(["ana", "bo", "Ωμέγα"]), pd.Series(["p1", "p1", "p2"])
    assert decision_keys(users, products, "2026-11").tolist() == KNOWN_KEYS
    assert decision_keys(users.astype(object), products.astype("category"), "2026-11").tolist() == KNOWN_KEYS


def test_user_product_and_period_each_change_the_draw():
    user, product = pd.Series(["a", "b", "a", "b"]), pd.Series(["x", "x", "y", "a"])
    both = np.concatenate([decision_keys(user, product, "1"), decision_keys(user, product, "2")])
    assert len(set(both.tolist())) == 8
    # (user b, product a) and (user a, product b) are different decisions
    assert decision_keys(pd.Series(["a"]), pd.Series(["b"]), "1")[0] != decision_keys(user, product, "1")[3]


def test_draws_are_uniform_and_streams_independent():
    keys = keys_of(50_000)
    first, second = uniform_draw(keys, stream=1), uniform_draw(keys, stream=2)
    for draws in (first, second):
        counts = np.histogram(draws, bins=20, range=(0, 1))[0]
        assert ((counts - 2500) ** 2 / 2500).sum() < 45  # chi-squared, 19 degrees, p = 0.0007
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


@settings(deadline=None)
@given(
    share=st.floats(0.02, 1.0),
    start=st.dates(date(2020, 1, 1), date(2060, 1, 1)),
    blocks=st.integers(1, 2),
    name=st.text(min_size=1),
)
def test_nobody_is_drawn_twice_in_a_block_of_days(share: float, start: date, blocks: int, name: str) -> None:
    products, users = pd.Series([f"p{number}" for number in range(20)]), pd.Series([name] * 20)
    length = int(1 / share)
    days = [start + timedelta(days=number) for number in range(length * blocks)]
    drawn = np.array([Draws.of(Exploration(share=share), users, products, day).is_drawn for day in days])
    assert drawn.sum(axis=0).max() <= blocks + 1  # the first and the last block are cut


@pytest.mark.parametrize(("share", "between"), [(0.2, 5), (0.1, 10), (0.05, 7), (0.05, 20)])
def test_whichever_days_have_books_no_pair_is_always_drawn_and_none_never(share: float, between: int) -> None:
    users, products = pd.Series([f"u{row}" for row in range(200)]), pd.Series(["item"] * 200)
    days = [date(2026, 1, 1) + timedelta(days=between * number) for number in range(200)]
    drawn = np.array([Draws.of(Exploration(share=share), users, products, day).is_drawn for day in days]).sum(axis=0)
    assert drawn.min() > 0
    assert drawn.max() < 3 * share * 200 + 5
    assert drawn.mean() == pytest.approx(share * 200, rel=0.1)


def test_on_each_day_every_pair_is_drawn_with_the_share_as_its_probability() -> None:
    users, products = pd.Series([f"u{row}" for row in range(40_000)]), pd.Series(["item"] * 40_000)
    for day in (date(2026, 11, 2), date(2026, 11, 3), date(2031, 1, 1)):
        draws = Draws.of(Exploration(share=0.05), users, products, day)
        assert draws.is_drawn.mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 40_000))
        assert draws.place[draws.is_drawn].mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 2_000))


def test_drawing_anew_every_day_is_as_it_was_and_may_take_a_price_twice() -> None:
    users, products = pd.Series([f"u{row}" for row in range(500)]), pd.Series(["item"] * 500)
    anew = Exploration(share=0.2, method="uniform")
    days = [date(2026, 11, 2) + timedelta(days=number) for number in range(5)]
    drawn = np.array([Draws.of(anew, users, products, day).is_drawn for day in days])
    keys = decision_keys(users, products, "2026-11-02")
    np.testing.assert_array_equal(drawn[0], uniform_draw(keys, stream=1) < 0.2)
    assert drawn.sum(axis=0).max() > 1


def test_a_live_draw_stays_for_its_period():
    interval, shown = draw(Exploration(share=0.5, dither=0.02), rows=4_000)
    live = interval.grid.price(shown.rung)
    narrower = interval_between(2.1, 2.3, 4_000)
    again = explore(
        0.5,
        0.0,
        narrower,
        np.full(4_000, 220.0),
        np.full(4_000, 2.5),
        np.ones(4_000, bool),
        Draws.independent(0.5, keys_of(4_000)),
    )
    kept = again.keeping(narrower, live, np.where(shown.randomised, shown.density, np.nan))
    stays = shown.randomised & (live >= 2.1) & (live <= 2.3)
    assert 500 < stays.sum() < shown.randomised.sum()
    np.testing.assert_array_equal(narrower.grid.price(kept.rung)[stays], live[stays])
    np.testing.assert_array_equal(kept.density[stays], shown.density[stays])
    np.testing.assert_array_equal(kept.rung[~stays], again.rung[~stays])
    np.testing.assert_array_equal(kept.density[~stays], again.density[~stays])
