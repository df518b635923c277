from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from models.demand.demand_curve import DemandCurve
from models.evidence.challenger import Contender, off_policy_figures
from models.evidence.gates import LARGEST_WEIGHT_GAP, evidence_gates
from models.features.decisions import Decisions, Split, split_by_time
from models.pricing.policy import Guardrails, PricingPolicy
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate

OPEN = PricingPolicy()


@dataclass(frozen=True)
class Distorted:
    """The simulated users' true curves, with another sensitivity or no use at all."""

    market: Marketplace
    factor: float = 1.0

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        curves = self.market.curves.loc[decisions.frame["decision_id"]]
        sensitivity = self.factor * curves["sensitivity"].to_numpy("float64")
        return DemandCurve(sensitivity, 1 + curves["level"].to_numpy("float64") / sensitivity)


@pytest.fixture(scope="module")
def market() -> Marketplace:
    return simulate(MarketplaceConfig(users=1500, products=12, offers=24_000, randomised_share=0.6))


@pytest.fixture(scope="module")
def split(market: Marketplace) -> Split:
    return split_by_time(market.log, holdout_days=56)


def compared(
    market: Marketplace, split: Split, new: float, old: float | None, policy: PricingPolicy = OPEN
) -> dict[str, float]:
    challenger = Contender(Distorted(market, new), split.test)
    champion = None if old is None else Contender(Distorted(market, old), split.test)
    return off_policy_figures(split, challenger, champion, policy, "EUR")


def test_the_truth_beats_a_model_that_overprices_and_not_the_other_way_round(market, split):
    better, worse = compared(market, split, 1.0, 0.35), compared(market, split, 0.35, 1.0)
    assert better["off_policy_uplift_low"] > 0 > worse["off_policy_uplift_high"]
    assert all(gate.passed for gate in evidence_gates(better | {"off_policy_against": 1.0}, 1))
    assert not all(gate.passed for gate in evidence_gates(worse | {"off_policy_against": 1.0}, 1))


def test_the_same_model_has_no_uplift(market, split):
    same = compared(market, split, 0.7, 0.7)
    assert same["off_policy_uplift"] == same["off_policy_uplift_low"] == 0
    assert same["off_policy_profit"] == same["off_policy_profit_before"] > 0


def test_the_uplift_is_near_the_true_one(market, split):
    rows = np.ones(len(split.test), dtype=bool)
    ratios = []
    for factor in (1.0, 0.5):
        prices, _ = Contender(Distorted(market, factor), split.test).prices(rows, OPEN, "EUR")
        ratios.append(prices["price"].to_numpy() / split.test.list_price)
    new, old = (market.profit(split.test, ratio).mean() for ratio in ratios)
    found = compared(market, split, 1.0, 0.5)
    assert found["off_policy_uplift_low"] - 0.1 * old < new - old < found["off_policy_uplift_high"] + 0.1 * old
    assert found["off_policy_coverage"] > 0.95
    assert found["off_policy_mean_weight"] == pytest.approx(1, abs=0.15)


def test_a_first_challenger_is_compared_with_the_logged_prices(market, split):
    found = compared(market, split, 1.0, None)
    test = split.test
    profit = ((test.frame["price"] - test.frame["unit_cost"]).to_numpy() * test.purchased)[test.consent]
    assert found["off_policy_profit_before"] == pytest.approx(profit.mean())
    assert found["off_policy_uplift"] == pytest.approx(found["off_policy_profit"] - profit.mean())


def test_offers_without_a_density_or_consent_are_left_out_and_counted(market, split):
    rows = np.arange(len(split.test))
    frame = split.test.frame.assign(consent=rows % 4 != 0)
    frame.loc[rows % 4 == 1, "propensity"] = np.nan
    partly = split._replace(test=replace(split.test, frame=frame))
    found = compared(market, partly, 1.0, 0.5)
    quarter = (rows % 4 == 1).sum()
    assert found["off_policy_offers_without_density"] == quarter
    assert found["off_policy_offers"] == pytest.approx(2 * quarter, abs=2)
    other = frame.assign(purchased=np.where(rows % 4 < 2, 1.0, frame["purchased"]))
    changed = compared(market, split._replace(test=replace(split.test, frame=other)), 1.0, 0.5)
    assert changed == found


def test_the_unexplored_offers_of_a_log_stand_for_what_is_charged_today(market, split):
    """Where a density is given to drawn prices alone, beating the draws is not enough."""
    frame = split.test.frame
    drawn = frame["randomised"].to_numpy(bool)
    width = (frame["ceiling"] - frame["floor"]) / frame["list_price"]
    told = frame.assign(propensity=np.where(drawn, 1 / width, np.nan), purchased=np.where(drawn, frame["purchased"], 1))
    found = compared(market, split._replace(test=replace(split.test, frame=told)), 1.0, None)
    assert found["off_policy_uplift_high"] < 0


@pytest.mark.parametrize("column", ["propensity", None])
def test_without_densities_nothing_is_compared(market, split, column):
    frame = split.test.frame
    frame = frame.drop(columns="propensity") if column is None else frame.assign(propensity=np.nan)
    parts = [replace(part, frame=part.frame.assign(propensity=np.nan)) for part in split[:2]]
    bare = Split(*parts, replace(split.test, frame=frame))
    assert compared(market, bare, 1.0, 0.5) == {
        "off_policy_offers": 0.0,
        "off_policy_offers_without_density": float(split.test.consent.sum()),
        "tried_lowest": 1.0,
        "tried_highest": 1.0,
    }


def test_a_few_offers_far_from_every_price_are_no_evidence(market, split):
    ratio = split.test.price_ratio
    is_extreme = (ratio < np.quantile(ratio, 0.01)) | (ratio == ratio.max())
    few = np.where(is_extreme, 1.0, np.nan)
    parts = [replace(part, frame=part.frame.assign(propensity=np.nan)) for part in split[:2]]
    sparse = Split(*parts, replace(split.test, frame=split.test.frame.assign(propensity=few)))
    central = PricingPolicy(guardrails=Guardrails(maximum_discount=0.1, maximum_markup=0.1))
    found = compared(market, sparse, 1.0, 0.5, central)
    assert found["off_policy_offers"] == (is_extreme & split.test.consent).sum() > 10
    assert "off_policy_uplift" not in found


def test_prices_beyond_what_was_ever_drawn_are_not_covered(market, split):
    free = split._replace(test=replace(split.test, frame=split.test.frame.assign(ceiling=np.nan)))
    found = compared(market, free, 0.1, 1.0)
    assert found["off_policy_coverage"] < 0.5


def test_a_challenger_without_prices_has_no_evidence(market, split):
    assert "off_policy_uplift" not in compared(market, split, np.nan, 1.0)


def test_a_challengers_steps_count_from_the_champions_prices(market, split):
    rows = np.ones(len(split.test), dtype=bool)
    held = PricingPolicy(guardrails=Guardrails(maximum_step=0.02))
    challenger = Contender(Distorted(market, 1.0), split.test)
    standing, _ = Contender(Distorted(market, 0.5), split.test).prices(rows, held, "EUR")
    moved, _ = challenger.prices(rows, held, "EUR", standing)
    assert (moved["price"] / standing["price"] - 1).abs().max() <= 0.02 + 1e-9
    small, free = (compared(market, split, 1.0, 0.5, policy) for policy in (held, OPEN))
    assert 0 < small["off_policy_uplift"] < free["off_policy_uplift"]


def test_satisfaction_counts_as_the_policy_weighs_it(market, split):
    """Dearer prices that earn more are worth less where users' satisfaction weighs as much as profit."""
    generous = PricingPolicy(satisfaction_weight=0.8)
    found = compared(market, split, 1.0, 0.5, generous)
    assert found["off_policy_uplift"] > found["off_policy_profit_uplift"]  # cheaper prices please
    assert compared(market, split, 1.0, 0.5)["off_policy_uplift"] == pytest.approx(
        compared(market, split, 1.0, 0.5)["off_policy_profit_uplift"]
    )


def test_no_row_of_a_frame_is_changed(market, split):
    before = split.test.frame.copy()
    compared(market, split, 1.0, 0.5)
    pd.testing.assert_frame_equal(before, split.test.frame)


def quoted(market: Marketplace, split: Split) -> Split:
    """The same test offers at prices drawn within a tenth of the list price around each offer's own live price."""
    test, rng = split.test, np.random.default_rng(3)
    centre = rng.uniform(0.85, 1.15, len(test))
    ratio = rng.uniform(centre - 0.1, centre + 0.1)
    bought = rng.random(len(test)) < market.purchase_probability(test, ratio)
    frame = test.frame.assign(
        price=ratio * test.list_price, purchased=bought.astype("float64"), propensity=1 / 0.2,
        held_lower=(centre - 0.1) * test.list_price, held_upper=(centre + 0.1) * test.list_price,
        held_live_price=centre * test.list_price,
    )  # fmt: skip
    return split._replace(test=replace(test, frame=frame))


def test_quotes_are_judged_between_the_prices_that_they_were_held_between(market, split):
    asked = quoted(market, split)
    found = compared(market, asked, 1.0, 0.35)
    rows, frame = np.ones(len(asked.test), dtype=bool), asked.test.frame
    ratios = []
    for factor in (1.0, 0.35):
        prices, _ = Contender(Distorted(market, factor), asked.test).prices(rows, OPEN, "EUR")
        ratios.append(prices["price"].clip(frame["held_lower"], frame["held_upper"]).to_numpy() / asked.test.list_price)
    new, old = (market.profit(asked.test, ratio).mean() for ratio in ratios)
    assert found["off_policy_uplift_low"] < new - old < found["off_policy_uplift_high"]
    assert found["off_policy_mean_weight"] == pytest.approx(1, abs=0.05)
    assert found["off_policy_effective_sample"] > 0.2 * found["off_policy_offers"]


STEP = PricingPolicy(guardrails=Guardrails(maximum_step=0.05))


def test_a_policy_that_steps_as_the_quotes_did_is_covered_and_one_that_leaps_is_not(market, split):
    asked = quoted(market, split)
    assert compared(market, asked, 1.0, 0.35, STEP)["off_policy_coverage"] > 0.95
    assert compared(market, asked, 1.0, 0.35)["off_policy_coverage"] < 0.6


@pytest.mark.parametrize("tick", [0.01, 1.0])
def test_coarse_prices_weigh_1_too(market, split, tick):
    """Of a few prices that could be drawn each stands for all that round to it."""
    test, rng = split.test, np.random.default_rng(3)
    live = np.round(test.list_price / tick) * tick
    rungs = np.floor(0.1 * live / tick)
    price = live + tick * rng.integers(-rungs, rungs + 1)
    bought = rng.random(len(test)) < market.purchase_probability(test, price / test.list_price)
    frame = test.frame.assign(
        price=price, purchased=bought.astype("float64"), held_lower=live - rungs * tick,
        held_upper=live + rungs * tick, held_live_price=live, floor=np.nan, ceiling=np.nan,
        propensity=test.list_price / tick / (2 * rungs + 1),
    )  # fmt: skip
    digits = {"price_ending": 0.0} if tick == 1 else {}
    policy = PricingPolicy(guardrails=Guardrails(maximum_step=0.1, currency_digits=2, **digits))
    found = compared(market, split._replace(test=replace(test, frame=frame)), 1.0, 0.35, policy)
    assert found["off_policy_mean_weight_gap"] < LARGEST_WEIGHT_GAP


def test_without_their_intervals_quotes_seem_to_be_drawn_over_all_prices(market, split):
    """A price that could not be drawn for a user has no offers near, and the mean weight shows it."""
    asked = quoted(market, split)
    unknown = asked.test.frame.drop(columns=["held_lower", "held_upper"])
    mistaken = compared(market, asked._replace(test=replace(asked.test, frame=unknown)), 1.0, 0.35)
    assert mistaken["off_policy_mean_weight_gap"] > LARGEST_WEIGHT_GAP
