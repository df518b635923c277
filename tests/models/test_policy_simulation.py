from functools import cache

import numpy as np
import pandas as pd
import pytest

from models.decisions import Decisions
from models.demand_curve import DemandCurve
from models.marketplace import Marketplace, MarketplaceConfig, simulate
from models.policy_simulation import Trial, compare
from models.presets import PRESETS


@cache
def market() -> Marketplace:
    return simulate(MarketplaceConfig("ecommerce", users=200, products=12, offers=1_600))


@cache
def judged(policy: str) -> pd.DataFrame:
    """The requests under a preset, priced by the true curves without their hidden shock."""

    def true_curve(decisions: Decisions) -> DemandCurve:
        curves = market().curves.reindex(decisions.frame["decision_id"])
        sensitivity = curves["sensitivity"].to_numpy("float64")
        return DemandCurve(sensitivity, 1 + curves["level"].to_numpy("float64") / sensitivity)

    def typical_curve(decisions: Decisions) -> DemandCurve:
        return DemandCurve(np.full(len(decisions), 5.0), np.full(len(decisions), 0.7))

    trial = Trial(market(), true_curve, typical_curve)
    return trial.judge(trial.price(PRESETS[policy], "EUR").prices, PRESETS[policy].fairness.group)


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
