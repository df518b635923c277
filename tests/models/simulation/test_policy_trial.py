from functools import cache

import numpy as np
import pandas as pd
import pytest

from models.demand.demand_curve import DemandCurve
from models.features.decisions import Decisions
from models.pricing.policy import Guardrails, PricingPolicy
from models.pricing.presets import PRESETS
from models.simulation.domains import Domain
from models.simulation.marketplace import Marketplace, MarketplaceConfig, MarketplaceError, simulate
from models.simulation.policy_trial import Trial, compare
from models.simulation.season_pricing import LIST_PRICE


@cache
def market(domain: Domain = "ecommerce") -> Marketplace:
    return simulate(MarketplaceConfig(domain, users=200, products=12, offers=1_600))


@cache
def trial(domain: Domain = "ecommerce") -> Trial:
    """Requests whose model is the truth without its hidden shock, and without the hotel's business travellers."""

    def true_curve(decisions: Decisions) -> DemandCurve:
        curves = market(domain).curves.reindex(decisions.frame["decision_id"])
        sensitivity = curves["sensitivity"].to_numpy("float64")
        return DemandCurve(sensitivity, 1 + curves["level"].to_numpy("float64") / sensitivity)

    def typical_curve(decisions: Decisions) -> DemandCurve:
        return DemandCurve(np.full(len(decisions), 5.0), np.full(len(decisions), 0.7))

    return Trial(market(domain), true_curve, typical_curve)


def judged_under(policy: PricingPolicy, domain: Domain = "ecommerce") -> pd.DataFrame:
    return trial(domain).judge(trial(domain).price(policy, "EUR").prices, policy.fairness.group)


@cache
def judged(policy: str) -> pd.DataFrame:
    """The requests under a preset."""
    return judged_under(PRESETS[policy])


def test_a_policy_against_itself_makes_no_difference() -> None:
    both = compare(judged("ecommerce"), judged("ecommerce"))
    assert (both.figures["difference"] == 0).all()


def test_guardrails_cost_profit_and_give_to_users() -> None:
    both = compare(judged("ecommerce"), judged("open"))
    assert both.profit[0] < both.profit[1]
    assert both.figures.loc["at_guardrail", "first"] > both.figures.loc["at_guardrail", "second"]
    assert both.figures.loc["price_to_list", "first"] < both.figures.loc["price_to_list", "second"]
    assert both.requests == len(market().requests)


def test_true_curves_without_limits_leave_next_to_nothing_of_the_profit() -> None:
    table = judged("open")
    assert table["profit"].sum() > 0.95 * market().profit(market().requests, market().oracle(market().requests)).sum()


def test_intervals_hold_their_difference() -> None:
    figures = compare(judged("ecommerce"), judged("open")).figures
    assert (figures["low"] <= figures["difference"] + 1e-12).all()
    assert (figures["difference"] <= figures["high"] + 1e-12).all()


@pytest.mark.parametrize("policy", ["ecommerce", "open"])
def test_every_request_is_judged(policy: str) -> None:
    assert len(judged(policy)) == len(market().requests)


def test_list_prices_are_judged_by_the_truth() -> None:
    table, at_list = judged_under(LIST_PRICE), np.ones(len(market().requests))
    assert table["profit"].to_numpy() == pytest.approx(market().profit(market().requests, at_list))
    assert table["price_ratio"].to_numpy() == pytest.approx(at_list)
    assert table["held"].all()


def test_a_weight_on_satisfaction_gives_to_users_what_it_takes_from_profit() -> None:
    figures = compare(judged_under(PricingPolicy(satisfaction_weight=0.8)), judged("open")).figures
    assert figures.loc["satisfaction", "low"] > 0
    assert figures.loc["profit", "high"] < 0


def test_no_pool_sells_more_than_it_has_under_any_policy() -> None:
    stock, pool = trial("hotel").stock, market("hotel").requests.frame["pool_id"]
    assert stock is not None
    profit = []
    for policy in (PRESETS["open"], LIST_PRICE):
        table = judged_under(policy, "hotel")
        sold = table["sold"].groupby(pool).sum()
        assert (sold <= stock[sold.index] * (1 + 1e-9)).all()
        profit.append(table["profit"].sum())
    assert trial("hotel").best_profit.sum() > profit[0] > profit[1]


def test_a_refused_request_brings_nothing() -> None:
    table = judged_under(PricingPolicy(guardrails=Guardrails(minimum_margin=5.0)))
    assert not table[["sold", "profit", "surplus", "priced", "held"]].to_numpy().any()


def test_groups_are_compared_by_any_column_of_the_users() -> None:
    prices = trial().price(PRESETS["ecommerce"], "EUR").prices
    table = trial().judge(prices, "attr_channel")
    assert {group.group for group in compare(table, table).parity[0].offered.groups} == {"mobile", "web"}
    with pytest.raises(MarketplaceError, match="no 'attr_shoe_size' to compare"):
        trial().judge(prices, "attr_shoe_size")
