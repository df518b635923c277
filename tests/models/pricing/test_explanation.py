from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.demand.demand_curve import DemandCurve
from models.features.decisions import EVENT_COLUMNS, Decisions
from models.pricing.decide import explain, price_decisions
from models.pricing.explanation import BEHAVIOUR, PERSONAL_DATA, PricedUnder, PriceReasons, price_reasons, without
from models.pricing.policy import Exploration, Guardrails, PricingPolicy
from models.pricing.shadow_prices import BookTerms

ATTRIBUTES, HISTORY = list(PERSONAL_DATA)[1:]
FREE = BookTerms()
POLICY = PricingPolicy(guardrails=Guardrails(maximum_markup=0.5, price_ending=0.9))


@dataclass(frozen=True)
class WishfulDemand:
    """Known numbers raise the valuation; `together` makes two kinds of data matter more when both are known."""

    together: float = 0.0

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        frame, known = decisions.frame, decisions.consent & personal
        events = frame["events_end"] - frame["events_start"]
        thrift, pair = frame["user_attr_thrift"].fillna(0), frame["pair_bought"].fillna(0)
        own = 0.05 * events + frame["activity_events"].fillna(0) * 0.1 - 0.2 * thrift + 0.1 * pair
        own = own + self.together * thrift * pair
        valuation = 1.0 + frame["market_index"].fillna(0) + np.where(known, own, 0)
        return DemandCurve(np.full(len(frame), 4.0), valuation.to_numpy())


def decision(**columns: Any) -> Decisions:
    given = {
        "decision_id": "d", "user_id": "u", "product_id": "p", "decided_at": pd.Timestamp("2026-01-01", tz="UTC"),
        "list_price": 100.0, "unit_cost": 40.0, "floor": np.nan, "ceiling": np.nan, "consent": True, "pool_id": "k",
        "events_start": 0, "events_end": 2, "activity_events": 1.0, "user_attr_thrift": 1.0, "pair_bought": 1.0,
        "market_index": 0.3,
    }  # fmt: skip
    events = pd.DataFrame({name: [None, None] for name in EVENT_COLUMNS})
    return Decisions(pd.DataFrame([given | columns]), events)


def explained(
    one: Decisions, demand: Any = WishfulDemand(), policy: PricingPolicy = POLICY, terms: BookTerms = FREE
) -> tuple[PriceReasons, pd.Series]:
    curves = demand.curve(one), demand.curve(one, personal=False)
    given: dict[str, Any] = {"terms": terms, "exploration_period": date(2026, 11, 2)}
    priced = price_decisions(one.frame, *curves, policy, "EUR", **given).iloc[0]
    steps = explain(one.frame, *curves, policy, "EUR", **given).iloc[0]
    return price_reasons(PricedUnder(demand, policy, terms), one, steps, priced["uniform_price"]), priced


@pytest.mark.parametrize("together", [0.0, 0.4])
def test_reasons_add_up_to_what_the_price_differs_by(together):
    policy = POLICY.model_copy(update={"exploration": Exploration(share=1.0)})
    reasons, priced = explained(decision(), WishfulDemand(together), policy)
    effects = {reason.name: reason.effect for reason in reasons.personal}
    assert sum(effects.values()) == pytest.approx(priced["price"] - priced["uniform_price"], abs=0.02)
    assert effects[BEHAVIOUR] > 0
    assert any("random draw" in name for name in effects)
    assert [abs(reason.effect) for reason in reasons.personal] == sorted(map(abs, effects.values()), reverse=True)


def test_each_kind_of_data_answers_for_itself():
    effects = {reason.name: reason.effect for reason in explained(decision())[0].personal}
    assert effects[ATTRIBUTES] < 0 < effects[HISTORY] < effects[BEHAVIOUR]
    plain = {reason.name for reason in explained(decision(user_attr_thrift=0.0))[0].personal}
    assert ATTRIBUTES not in plain  # known, and makes no difference
    unknown = {reason.name for reason in explained(decision(pair_bought=np.nan))[0].personal}
    assert HISTORY not in unknown


def test_hidden_data_leave_nothing_behind():
    bare = without(decision(), tuple(PERSONAL_DATA))
    other = without(
        decision(events_end=1, activity_events=9.0, user_attr_thrift=7.0, pair_bought=3.0), tuple(PERSONAL_DATA)
    )
    pd.testing.assert_frame_equal(bare.frame, other.frame)
    assert bare.frame["market_index"].iloc[0] == 0.3


def test_without_consent_nothing_personal_is_a_reason():
    reasons, _ = explained(decision(consent=False))
    assert reasons.personal == ()
    assert [reason.name for reason in reasons.shared] == ["market, season and context"]
    assert reasons.shared[0].effect > 0


def test_scarce_stock_is_a_reason_for_everyone():
    reasons, _ = explained(decision(market_index=np.nan), terms=BookTerms({"k": 10.0}))
    (stock,) = reasons.shared
    assert "scarce stock" in stock.name
    assert 0 < stock.effect < 10
