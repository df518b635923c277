import numpy as np
import pandas as pd
import pytest

from models.demand.first_stage import FirstStage, _product_effects, _week
from models.features.decisions import Decisions
from models.features.encoding import Encoding


def first_stage(decisions):
    return FirstStage.fit(decisions, Encoding.fit(decisions), seed=0)


def test_the_residual_is_the_hidden_shock_and_not_the_instrument(make_log):
    decisions = make_log(6000, confounding=1.0).decisions
    stage = first_stage(decisions)
    residual = stage.residual(decisions)
    assert stage.report.identified
    # cost and shock have the same variance in the price
    assert stage.report.partial_r2 == pytest.approx(0.5, abs=0.06)
    assert abs(np.corrcoef(residual, decisions.frame["instrument_cost"])[0, 1]) < 0.05
    assert residual.std() == pytest.approx(0.08, abs=0.01)


def test_randomised_rows_have_no_residual(make_log):
    decisions = make_log(4000, confounding=1.0, randomised=0.3).decisions
    residual = first_stage(decisions).residual(decisions)
    assert (residual[decisions.randomised] == 0).all()
    assert (residual[~decisions.randomised] != 0).mean() > 0.99


def test_prices_that_the_platform_quoted_have_no_residual_and_teach_none(make_log):
    log = make_log(4000, confounding=1.0).decisions
    quoted = np.arange(len(log)) % 2 == 1
    # One price for all of a product, whatever it costs to make: in a common first stage the instrument would look weak.
    price = log.frame["price"].where(~quoted, 0.9 * log.frame["list_price"])
    decisions = Decisions(log.frame.assign(price=price, quoted=quoted), log.events)
    stage, alone = first_stage(decisions), first_stage(log.select(~quoted))
    residual = stage.residual(decisions)
    assert (residual[quoted] == 0).all()
    assert (residual[~quoted] != 0).mean() > 0.99
    assert stage.report.rows == alone.report.rows
    assert stage.report.f == pytest.approx(alone.report.f, rel=0.1)


def without_instrument(decisions):
    return Decisions(decisions.frame.drop(columns="instrument_cost"), decisions.events)


def at_list_price(decisions):
    return Decisions(decisions.frame.assign(price=decisions.list_price), decisions.events)


def of_one_product(decisions):
    return decisions.select((decisions.frame["product_id"] == "p0").to_numpy())


def with_noise_for_instrument(decisions):
    noise = np.random.default_rng(1).normal(size=len(decisions))
    return Decisions(decisions.frame.assign(instrument_cost=noise), decisions.events)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_instrument, "no instrument_ column"),
        (at_list_price, "no product's price ratio varies"),
        (with_noise_for_instrument, "the instrument is weak"),
        (of_one_product, "fewer than two products"),
    ],
)
def test_without_identification_there_is_no_residual_but_a_reason(make_log, change, reason):
    decisions = change(make_log(2000).decisions)
    stage = first_stage(decisions)
    assert not stage.report.identified
    assert reason in stage.report.reason
    assert not stage.residual(decisions).any()


def test_a_product_is_predicted_by_folds_that_never_saw_it(make_log):
    decisions = make_log(3000).decisions
    stage = first_stage(decisions)
    own = (decisions.frame["product_id"] == "p3").to_numpy()
    shifted = decisions.frame["price"].where(~own, decisions.frame["price"] * 1.3)
    moved = first_stage(Decisions(decisions.frame.assign(price=shifted), decisions.events))
    number = stage.fold_of["p3"]
    for before, after in zip(stage.folds[number], moved.folds[number], strict=True):
        assert np.array_equal(before[-1].coef_, after[-1].coef_)


def test_products_never_seen_get_the_typical_effect(make_log):
    decisions = make_log(3000).decisions
    stage = first_stage(decisions)
    new = Decisions(decisions.frame.assign(product_id="new"), decisions.events)
    assert np.abs(stage.residual(new) - stage.residual(decisions)).max() < 0.05


def weekly_prices(make_log, lasting: float):
    """Prices of a log whose products differ for good by `lasting`, and pass 0.05 each week; what passed (rows,)."""
    log = make_log(12_000, products=40, confounding=0.0).decisions
    rng = np.random.default_rng(5)
    product = pd.factorize(log.frame["product_id"])[0]
    week = _week(log)
    passing = rng.normal(0, 0.05, (product.max() + 1, week.max() - week.min() + 1))[product, week - week.min()]
    for_good = rng.normal(0, lasting, product.max() + 1)[product] if lasting else 0.0
    cost = log.frame["instrument_cost"].to_numpy()
    ratio = 1 + 0.08 * cost + passing + for_good
    return Decisions(log.frame.assign(price=ratio * log.list_price), log.events), passing


def by_product(decisions, values):
    return pd.Series(values).groupby(decisions.frame["product_id"].to_numpy()).mean()


def test_what_passed_while_a_product_was_seen_is_not_taken_for_the_products(make_log):
    decisions, passing = weekly_prices(make_log, lasting=0.0)
    stage = first_stage(decisions)
    assert stage.report.identified
    means = [by_product(decisions, values) for values in (stage.residual(decisions), passing - passing.mean())]
    assert np.corrcoef(*means)[0, 1] > 0.9
    assert means[0].std() > 0.6 * means[1].std()


def test_what_a_products_price_is_for_good_is_no_unrecorded_demand(make_log):
    decisions, passing = weekly_prices(make_log, lasting=0.2)
    residual = by_product(decisions, first_stage(decisions).residual(decisions))
    assert residual.std() < 0.2 * by_product(decisions, decisions.price_ratio).std()
    assert np.corrcoef(residual, by_product(decisions, passing))[0, 1] < 0.9


def test_a_week_in_which_all_prices_rose_is_not_explained_by_who_came(make_log):
    """Activity grows over a log and prices rise with it: a matter of the weeks, and not of the users."""
    log = make_log(12_000, products=40, confounding=0.0).decisions
    week = _week(log)
    rise = 0.02 * (week - week.mean())
    activity = rise + np.random.default_rng(2).normal(0, 0.001, len(log))
    frame = log.frame.assign(user_activity=activity, price=log.frame["price"] + rise * log.list_price)
    decisions = Decisions(frame, log.events)
    residual = pd.Series(first_stage(decisions).residual(decisions)).groupby(week).mean()
    assert residual.corr(pd.Series(rise).groupby(week).mean()) > 0.95
    assert residual.std() > 0.8 * pd.Series(rise).groupby(week).mean().std()


def test_products_seen_in_one_week_alone_keep_their_means():
    effects = _product_effects(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]), np.array([4, 4, 7]))
    np.testing.assert_allclose(effects, [2.0, 5.0])


def test_weeks_begin_on_monday(make_log):
    log = make_log(2000).decisions
    day = log.frame["decided_at"].to_numpy("datetime64[us]").astype("datetime64[D]")
    monday = np.array([one - np.timedelta64(one.astype(object).weekday(), "D") for one in day])
    pairs = np.unique(np.column_stack([_week(log), monday.astype("int64")]), axis=0)
    assert len(pairs) == len(np.unique(monday)) == len(np.unique(_week(log)))
