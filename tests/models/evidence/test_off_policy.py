from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from models.demand.demand_curve import DemandCurve
from models.evidence.off_policy import (
    Estimate,
    ExploredOffers,
    OffPolicyError,
    Target,
    cross_fitted,
    doubly_robust,
    effective_sample,
    kernel,
    kernel_target,
    logged_policy,
    self_normalised,
    surplus_uplift,
    surplus_uplift_over_logged,
)

LOWEST, HIGHEST = 0.7, 1.1
REPLICATES = 300
Log = tuple[ExploredOffers, DemandCurve]


def explored(rng: np.random.Generator, users: int = 300, each: int = 6, peak: float | None = None) -> Log:
    """Offers priced at random, evenly or mostly near a peak, and the true curves of users who differ."""
    rows = users * each
    user = np.repeat(np.arange(users), each)
    sensitivity = 5 * np.exp(0.3 * rng.normal(size=rows))
    truth = DemandCurve(sensitivity, 1 + (rng.normal(size=users)[user] - 1) / sensitivity)
    ratio, density = drawn(rng, rows, peak)
    list_price = np.exp(rng.normal(3, 0.5, rows))
    purchased = (rng.random(rows) < truth.purchase_probability(ratio)).astype(float)
    ones = np.ones(rows)
    offers = ExploredOffers(
        ratio,
        density,
        purchased,
        list_price,
        0.5 * list_price,
        ones,
        ones,
        user,
        users,
        LOWEST * ones,
        HIGHEST * ones,
        (HIGHEST - LOWEST) * ones,
        0 * ones,
    )
    return offers, truth


def drawn(rng: np.random.Generator, rows: int, peak: float | None) -> tuple[np.ndarray, np.ndarray]:
    anywhere = rng.uniform(LOWEST, HIGHEST, rows)
    if peak is None:
        return anywhere, np.full(rows, 1 / (HIGHEST - LOWEST))
    low, high = max(peak - 0.02, LOWEST), min(peak + 0.02, HIGHEST)
    ratio = np.where(rng.random(rows) < 0.8, rng.uniform(low, high, rows), anywhere)
    return ratio, 0.2 / (HIGHEST - LOWEST) + 0.8 * ((low <= ratio) & (ratio <= high)) / (high - low)


def wrong(truth: DemandCurve) -> DemandCurve:
    """An outcome model that takes everybody for far less sensitive to price."""
    return DemandCurve(0.6 * truth.sensitivity, truth.valuation)


def true_profit(offers: ExploredOffers, truth: DemandCurve, ratio: np.ndarray) -> float:
    return float(np.mean(offers.margin(ratio) * truth.purchase_probability(ratio)))


def at_most_by_chance(share: float, replicates: int = REPLICATES) -> int:
    """More cases than this of an event of probability `share` happen to one run in ten thousand."""
    return int(binom.ppf(0.9999, replicates, share))


@pytest.mark.parametrize(
    ("new", "old", "peak"),
    [(0.85, 0.95, None), (HIGHEST, 0.9, None), (LOWEST, 0.95, None), (0.95, 1.0, 0.95), (0.9, 1.0, 1.0)],
    ids=["inside", "upper edge", "lower edge", "logged near the new price", "logged near the old price"],
)
def test_one_sided_bounds_hold_the_true_uplift_as_often_as_they_say(new, old, peak):
    rng = np.random.default_rng(5)
    missed = {"low": 0, "high": 0, "low by weights": 0}
    errors = []
    for _ in range(REPLICATES):
        offers, truth = explored(rng, peak=peak)
        ratios = [np.full(len(offers), ratio) for ratio in (new, old)]
        first, second = (kernel_target(offers, ratio) for ratio in ratios)
        uplift = doubly_robust(offers, first, wrong(truth)) - doubly_robust(offers, second, wrong(truth))
        by_weights = self_normalised(offers, first) - self_normalised(offers, second)
        expected = true_profit(offers, truth, ratios[0]) - true_profit(offers, truth, ratios[1])
        low, high = uplift.bounds
        missed["low"] += low > expected
        missed["high"] += high < expected
        missed["low by weights"] += by_weights.bounds[0] > expected
        errors.append((uplift.value - expected) / uplift.standard_error)
    assert max(missed.values()) <= at_most_by_chance(0.05)
    assert abs(np.mean(errors)) < 0.25  # bias is small beside the standard error ...
    assert np.std(errors) == pytest.approx(1, abs=0.17)  # ... and that is what it claims to be


def test_a_right_outcome_model_narrows_the_interval_and_a_wrong_one_does_not_mislead():
    rng = np.random.default_rng(0)
    errors, widths = [], []
    for _ in range(100):
        offers, truth = explored(rng)
        target = kernel_target(offers, rng.uniform(0.75, 1.05, len(offers)))
        estimates = [doubly_robust(offers, target, model) for model in (truth, wrong(truth))]
        estimates.append(self_normalised(offers, target))
        expected = true_profit(offers, truth, target.ratio)
        errors.append([estimate.value - expected for estimate in estimates])
        widths.append([estimate.standard_error for estimate in estimates])
    right, misled, by_weights = np.mean(widths, axis=0)
    assert right < misled
    assert right < 0.9 * by_weights
    assert np.std(errors, axis=0)[0] < np.std(errors, axis=0)[2]
    assert np.abs(np.mean(errors, axis=0)).max() < 0.3 * right  # the bias of all three


def test_a_model_far_off_in_sensitivity_is_corrected_before_the_kernel_reads_it():
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(60):
        offers, truth = explored(rng)
        far_off = DemandCurve(6 * truth.sensitivity, 1 + (truth.valuation - 1) / 6)
        target = kernel_target(offers, rng.uniform(0.75, 1.05, len(offers)))
        expected = true_profit(offers, truth, target.ratio)
        models = far_off, cross_fitted(offers, far_off)
        errors.append([doubly_robust(offers, target, model).value / expected - 1 for model in models])
    as_it_is, corrected = np.abs(np.mean(errors, axis=0))
    assert corrected < 0.02
    assert corrected < 0.5 * as_it_is


def test_no_users_outcomes_correct_his_own_curves():
    offers, truth = explored(np.random.default_rng(4))
    even = offers.user % 2 == 0
    changed = replace(offers, purchased=np.where(even, 1 - offers.purchased, offers.purchased))
    before, after = cross_fitted(offers, wrong(truth)), cross_fitted(changed, wrong(truth))
    assert np.array_equal(before.valuation[even], after.valuation[even])
    assert not np.array_equal(before.valuation[~even], after.valuation[~even])


def test_the_correction_does_not_follow_what_moved_the_usual_prices():
    """Most prices are drawn near a peak where a hidden demand lies too; spread evenly, the others tell the truth."""
    rng = np.random.default_rng(5)
    offers, truth = explored(rng, users=4000, peak=1.05)
    is_usual = offers.ratio > 1.03
    confounded = replace(offers, purchased=np.where(is_usual & (rng.random(len(offers)) < 0.3), 1.0, offers.purchased))
    corrected = cross_fitted(confounded, wrong(truth))
    elsewhere = np.full(len(offers), 0.9)
    found, expected = (curve.purchase_probability(elsewhere).mean() for curve in (corrected, truth))
    assert found == pytest.approx(expected, abs=0.05)  # unevenly weighted it is off by 0.09


def test_satisfaction_between_two_prices_is_measured_without_a_right_model():
    rng = np.random.default_rng(1)
    errors, missed = [], 0
    for _ in range(REPLICATES):
        offers, truth = explored(rng)
        new, old = np.full(len(offers), 0.8), rng.uniform(0.75, 1.05, len(offers))
        found = surplus_uplift(offers, new, old, wrong(truth))
        surplus = [truth.consumer_surplus(ratio, offers.list_price) for ratio in (new, old)]
        expected = float(np.mean(surplus[0] - surplus[1]))
        missed += found.bounds[0] > expected
        errors.append((found.value - expected) / found.standard_error)
    assert missed <= at_most_by_chance(0.05)
    assert abs(np.mean(errors)) < 0.25


def test_satisfaction_over_logged_prices_is_the_models_own():
    offers, truth = explored(np.random.default_rng(2))
    lower = offers.ratio - 0.05
    expected = truth.consumer_surplus(lower, offers.list_price) - truth.consumer_surplus(
        offers.ratio, offers.list_price
    )
    assert surplus_uplift_over_logged(offers, lower, truth).value == pytest.approx(expected.mean())


def test_the_logging_policy_has_mean_weight_1_and_no_uplift_over_itself():
    offers, truth = explored(np.random.default_rng(0))
    logged = logged_policy(offers)
    assert logged.mean_weight(offers).value == 1
    assert logged.effective_sample(offers) == pytest.approx(len(offers))
    for estimate in (self_normalised(offers, logged), doubly_robust(offers, logged, wrong(truth))):
        uplift = estimate - self_normalised(offers, logged)
        assert uplift.value == pytest.approx(0, abs=1e-12)
        assert estimate.value == pytest.approx(offers.profit.mean())


def test_two_models_with_the_same_prices_have_exactly_no_uplift():
    offers, truth = explored(np.random.default_rng(0))
    target = kernel_target(offers, np.full(len(offers), 0.9))
    uplift = doubly_robust(offers, target, truth) - doubly_robust(offers, target, truth)
    assert (uplift.value, *uplift.bounds) == (0, 0, 0)


@pytest.mark.parametrize("price", [LOWEST, 0.72, 0.8, 0.9, 1.08, HIGHEST])
def test_the_kernel_integrates_to_1_with_its_mean_at_the_target_also_at_an_edge(price):
    ratio = np.linspace(LOWEST, HIGHEST, 200_001)
    fill = np.ones(len(ratio))
    offers = ExploredOffers(
        ratio,
        fill,
        fill,
        fill,
        0 * fill,
        fill,
        fill,
        np.zeros(len(ratio), np.int64),
        1,
        LOWEST * fill,
        HIGHEST * fill,
        (HIGHEST - LOWEST) * fill,
        0 * fill,
    )
    around = kernel(offers, price * fill, 0.05 * fill)
    step = ratio[1] - ratio[0]
    assert around.sum() * step == pytest.approx(1, abs=1e-3)
    assert (around * ratio).sum() * step == pytest.approx(price, abs=1e-3)


def test_wrong_densities_and_atoms_show_in_the_mean_weight():
    offers, _ = explored(np.random.default_rng(0), users=2000)
    marginal = replace(offers, density=0.1 * offers.density)  # of a mixture whose other part was not logged
    clipped = replace(offers, ratio=np.minimum(offers.ratio, 0.95), highest=np.full(len(offers), 0.95))
    for log, ratio in ((marginal, 0.9), (clipped, 0.95)):
        mean = kernel_target(log, np.full(len(log), ratio)).mean_weight(log)
        assert mean.value - 3 * mean.standard_error > 1.1


def test_a_price_outside_the_support_is_not_covered_and_valued_at_its_end():
    offers, _ = explored(np.random.default_rng(0))
    prices = np.where(np.arange(len(offers)) % 2, 0.9, 1.3)
    target = kernel_target(offers, prices)
    assert target.is_covered.mean() == 0.5
    assert target.ratio.max() == HIGHEST
    assert kernel_target(offers, np.full(len(offers), HIGHEST + 0.001)).is_covered.all()  # a hair beyond


def test_a_log_that_drew_near_the_target_is_read_with_a_narrow_kernel():
    rng = np.random.default_rng(0)
    near, far = (explored(rng, peak=peak)[0] for peak in (0.9, 0.8))
    samples = [kernel_target(offers, np.full(len(offers), 0.9)).effective_sample(offers) for offers in (near, far)]
    assert samples[0] > len(near) / 2
    assert samples[1] < len(far) / 10


@given(st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_a_currency_scales_the_uplift_and_the_order_of_rows_changes_nothing(scale, seed):
    rng = np.random.default_rng(seed)
    offers, truth = explored(rng, users=20)
    ratio = rng.uniform(LOWEST, HIGHEST, len(offers))
    before = doubly_robust(offers, kernel_target(offers, ratio), truth)

    scaled = replace(offers, list_price=scale * offers.list_price, unit_cost=scale * offers.unit_cost)
    after = doubly_robust(scaled, kernel_target(scaled, ratio), truth)
    assert [after.value, *after.bounds] == pytest.approx([scale * x for x in (before.value, *before.bounds)])

    order = rng.permutation(len(offers))
    mixed = rows_of(offers, order)
    other = doubly_robust(mixed, kernel_target(mixed, ratio[order]), truth.take(order))
    assert [other.value, *other.bounds] == pytest.approx([before.value, *before.bounds])


def test_rows_of_a_user_told_twice_add_no_certainty_and_other_users_do():
    offers, truth = explored(np.random.default_rng(0))
    target = kernel_target(offers, np.full(len(offers), 0.9))
    once = doubly_robust(offers, target, truth)
    twice = np.repeat(np.arange(len(offers)), 2)
    repeated = Target(target.ratio[twice], target.weights[twice], target.is_covered[twice])
    same_users = doubly_robust(rows_of(offers, twice), repeated, truth.take(twice))
    assert [same_users.value, same_users.standard_error] == pytest.approx([once.value, once.standard_error])

    others = rows_of(offers, twice)
    others = replace(others, user=others.user + offers.users * (np.arange(len(twice)) % 2), users=2 * offers.users)
    assert doubly_robust(others, repeated, truth.take(twice)).standard_error == pytest.approx(
        once.standard_error / np.sqrt(2), rel=0.01
    )


def test_an_offer_sampled_at_half_the_rate_counts_twice():
    offers, truth = explored(np.random.default_rng(0), users=50)
    target = kernel_target(offers, np.full(len(offers), 0.9))
    doubled = replace(offers, weight=1.0 + (np.arange(len(offers)) < 100))
    rows = np.concatenate([np.arange(100), np.arange(len(offers))])
    told = Target(target.ratio[rows], target.weights[rows], target.is_covered[rows])
    assert doubly_robust(doubled, target, truth).value == pytest.approx(
        doubly_robust(rows_of(offers, rows), told, truth.take(rows)).value
    )


def test_discrete_actions_are_the_same_estimators_with_probabilities_as_densities():
    rng = np.random.default_rng(0)
    offers, truth = explored(rng)
    actions = np.array([0.8, 0.9, 1.0])
    chance = np.array([0.2, 0.3, 0.5])
    shown, wanted = rng.choice(3, len(offers), p=chance), rng.integers(0, 3, len(offers))
    offers = replace(offers, ratio=actions[shown], density=chance[shown])
    target = Target(actions[wanted], (shown == wanted) / chance[shown], np.ones(len(offers), dtype=bool))
    weights = target.weights
    assert self_normalised(offers, target).value == pytest.approx(weights @ offers.profit / weights.sum())
    predicted = [truth.purchase_probability(ratio) * offers.margin(ratio) for ratio in (target.ratio, offers.ratio)]
    correction = weights @ (offers.profit - predicted[1]) / weights.sum()
    assert doubly_robust(offers, target, truth).value == pytest.approx(predicted[0].mean() + correction)


def test_effective_sample_counts_equal_weights_in_full_and_none_as_0():
    assert effective_sample(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_sample(np.array([1.0, 0.0])) == 1
    assert effective_sample(np.zeros(3)) == 0


def test_the_interval_of_a_mean_is_students():
    amount = np.array([1.0, 2.0, 4.0, 7.0])
    found = Estimate.mean(amount, np.ones(4), np.arange(4), 9)  # five users without an offer change nothing
    assert found.value == 3.5
    assert found.standard_error == pytest.approx(amount.std(ddof=1) / 2)
    assert found.bounds[0] == pytest.approx(3.5 - 2.353363 * found.standard_error, rel=1e-5)


@pytest.mark.parametrize("change", [{"density": 0.0}, {"density": -1.0}, {"density": np.nan}, {"highest": LOWEST}])
def test_offers_of_which_nothing_is_known_are_refused(change):
    offers, _ = explored(np.random.default_rng(0), users=3)
    ((name, value),) = change.items()
    with pytest.raises(OffPolicyError, match="must be above 0"):
        replace(offers, **{name: np.full(len(offers), value)})


def test_no_offers_are_no_evidence():
    offers, _ = explored(np.random.default_rng(0), users=3)
    with pytest.raises(OffPolicyError, match="no offer has a density"):
        rows_of(offers, np.array([], dtype=np.int64))


def rows_of(offers: ExploredOffers, rows: np.ndarray) -> ExploredOffers:
    columns = [name for name in ExploredOffers.__dataclass_fields__ if name != "users"]
    return replace(offers, **{name: getattr(offers, name)[rows] for name in columns})
