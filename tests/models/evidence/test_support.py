from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.evidence.support import LEAST_BEYOND, LEAST_OF_PRODUCT, Support, held, is_explored, tried_range
from models.features.decisions import Split, split_by_time
from models.simulation.marketplace import MarketplaceConfig, simulate


@pytest.fixture(scope="module")
def split() -> Split:
    return split_by_time(simulate(MarketplaceConfig(users=800, products=6, offers=9_000)).log, holdout_days=56)


def with_test(split: Split, **columns: object) -> Split:
    return split._replace(test=replace(split.test, frame=split.test.frame.assign(**columns)))


def quoted(split: Split) -> Split:
    """The same with each test offer a quote whose price was drawn within a fifth of it."""
    price = split.test.frame["price"]
    return with_test(split, held_lower=0.9 * price, held_upper=1.1 * price)


def test_explored_is_what_was_drawn_with_a_density_for_somebody_who_consents(split):
    explored, frame = is_explored(split.test), split.test.frame
    assert 0 < explored.sum() < len(frame)
    assert frame.loc[explored, "propensity"].gt(0).all() and frame.loc[explored, "consent"].all()
    assert not is_explored(with_test(split, consent=False).test).any()
    assert not is_explored(replace(split.test, frame=frame.drop(columns="propensity"))).any()


def test_what_is_held_of_offers_made_elsewhere_is_unknown(split):
    assert np.isnan(held(split.test, "lower")).all()
    np.testing.assert_array_equal(held(quoted(split).test, "lower"), 0.9 * split.test.frame["price"])


def test_a_quote_was_drawn_between_its_own_ends_and_another_offer_between_its_products(split):
    tick = 0.01
    own = Support.of(quoted(split), tick)
    half = tick / split.test.list_price / 2
    assert own.is_own.all()
    np.testing.assert_allclose(own.lowest, 0.9 * split.test.price_ratio - half)
    np.testing.assert_allclose(own.highest, 1.1 * split.test.price_ratio + half)
    others = Support.of(split, tick)
    assert not others.is_own.any() and others.is_wide.all()
    drawn = pd.concat([pd.Series(part.price_ratio, part.frame["product_id"])[is_explored(part)] for part in split])
    ends = {name: ratios.min() for name, ratios in drawn.groupby(level=0) if len(ratios) >= LEAST_OF_PRODUCT}
    assert ends
    for name, lowest in ends.items():
        rows = (split.test.frame["product_id"] == name).to_numpy()
        np.testing.assert_allclose(others.lowest[rows] + half[rows], lowest)


def test_a_price_that_alone_could_be_drawn_explores_nothing(split):
    price = split.test.frame["price"]
    assert not Support.of(with_test(split, held_lower=price, held_upper=price), 0.01).is_wide.any()


def test_a_price_is_tried_once_enough_quotes_reached_it(split):
    asked = quoted(split)
    ratio = np.sort(asked.test.price_ratio[is_explored(asked.test)])
    found = tried_range(asked)
    assert found["tried_lowest"] == pytest.approx(min(ratio[LEAST_BEYOND - 1], 1))
    assert found["tried_highest"] == pytest.approx(max(ratio[-LEAST_BEYOND], 1))
    places = np.flatnonzero(is_explored(asked.test))[LEAST_BEYOND - 1 :]
    few = asked.test.frame["propensity"].to_numpy("float64").copy()
    few[places] = np.nan
    assert tried_range(with_test(asked, propensity=few)) == {"tried_lowest": 1.0, "tried_highest": 1.0}
    assert tried_range(split) == {"tried_lowest": 1.0, "tried_highest": 1.0}  # offers that were no quotes
