from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from models.demand.demand_curve import DemandCurve
from models.evidence.challenger import Contender
from models.evidence.price_checks import check_prices, violations
from models.features.decisions import Decisions
from models.pricing.policy import Exploration, Fairness, Guardrails, PricingPolicy
from models.pricing.presets import PRESETS


@dataclass(frozen=True)
class Thrift:
    """Prices by what each user showed, and if told to by a column that no model should read."""

    peeks: bool = False
    broken: bool = False

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        valuation = 0.8 + (0.1 * decisions.frame["activity_thrift"].to_numpy() if personal else 0.0)
        if self.peeks and "protected_group" in decisions.frame:
            valuation = valuation + 0.2 * (decisions.frame["protected_group"] == "a").to_numpy()
        fill = np.nan if self.broken else 5.0
        return DemandCurve(np.full(len(decisions), fill), np.broadcast_to(valuation, len(decisions)))


@pytest.fixture(scope="module")
def sample(make_log) -> Decisions:
    decisions = make_log(offers=600, users=80).decisions
    prices = 1000 * decisions.frame["list_price"]  # so that prices ending in 90 exist
    terms = {"list_price": prices, "unit_cost": 0.5 * prices, "floor": np.nan, "ceiling": 1.3 * prices}
    return replace(decisions, frame=decisions.frame.assign(**terms))


@pytest.fixture(scope="module")
def group(sample: Decisions) -> pd.Series:
    return sample.frame["user_id"].str[-1].map(lambda digit: "a" if digit < "5" else "b")


def checked(sample: Decisions, group: pd.Series, policy: PricingPolicy, demand: Thrift) -> dict[str, float]:
    return check_prices(Contender(demand, sample), policy, "EUR", group, group)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_keeps_its_own_guardrails(sample, group, name):
    found = checked(sample, group, PRESETS[name], Thrift())
    assert found["priced_sample"] > 0
    assert found["guardrail_violations"] == found["refused_by_fault"] == found["protected_group_changes"] == 0
    assert "parity_bound" not in found


def test_a_model_that_reads_the_group_is_found_out(sample, group):
    assert checked(sample, group, PricingPolicy(), Thrift(peeks=True))["protected_group_changes"] > 300


def test_users_of_one_group_cannot_be_flipped(sample, group):
    assert checked(sample, group.where(group == "a"), PricingPolicy(), Thrift())["protected_group_changes"] == 0


def test_rows_that_the_model_cannot_price_are_its_fault(sample, group):
    found = checked(sample, group, PricingPolicy(), Thrift(broken=True))
    assert (found["priced_sample"], found["refused_by_fault"]) == (0, len(sample))


def test_rows_that_the_tables_forbid_are_not(sample, group):
    impossible = replace(sample, frame=sample.frame.assign(floor=2 * sample.frame["list_price"]))
    found = checked(impossible, group, PricingPolicy(), Thrift())
    assert (found["priced_sample"], found["refused_by_fault"]) == (0, 0)


def test_parity_is_that_of_prices_within_the_policys_bound(sample):
    thrifty = pd.Series(np.where(sample.frame["activity_thrift"] > 0, "a", "b"))
    free = checked(sample, thrifty, PricingPolicy(), Thrift())
    bound = checked(sample, thrifty, PricingPolicy(fairness=Fairness(parity_bound=0.01)), Thrift())
    assert free["parity_gap"] > 0.02
    assert bound["parity_gap"] <= bound["parity_bound"] == 0.01


RAILS = Guardrails(minimum_margin=0.1, maximum_markup=0.2, maximum_discount=0.3, above_uniform=False, price_ending=0.99)


@pytest.mark.parametrize(
    ("price", "broken"),
    [
        (9.99, []),
        (np.nan, ["not_a_price"]),
        (-1.01, ["not_a_price", "floor", "minimum_margin", "maximum_discount", "price_ending"]),
        (6.99, ["floor", "minimum_margin", "maximum_discount"]),
        (11.99, ["above_uniform"]),
        (12.99, ["ceiling", "maximum_markup", "above_uniform"]),
        (9.98, ["price_ending"]),
    ],
)
def test_each_rule_is_read_on_its_own(price, broken):
    terms = pd.DataFrame({"list_price": [10.0], "unit_cost": [7.0], "floor": [7.5], "ceiling": [12.5]})
    prices = pd.DataFrame({"price": [price], "uniform_price": [10.99], "refused": pd.Series([None], dtype=object)})
    policy = PricingPolicy(guardrails=RAILS, exploration=Exploration())
    found = violations(terms, prices, policy, "EUR")
    assert [rule for rule, rows in found.items() if rows.any()] == broken
    refused = prices.assign(refused="sold_out")
    assert not violations(terms, refused, policy, "EUR").any(axis=None)


def test_a_dataset_without_groups_has_no_gap(sample):
    nobody = pd.Series([None] * len(sample), dtype=object)
    found = checked(sample, nobody, PricingPolicy(), Thrift())
    assert found["parity_gap"] == found["protected_group_changes"] == 0
    assert found["priced_sample"] == len(sample)
