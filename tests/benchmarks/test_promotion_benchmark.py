import numpy as np
import pytest

from models.simulation.marketplace import MarketplaceConfig, simulate
from tests.benchmarks import promotion
from tests.benchmarks.discrete_prices import STEPS, DiscretePrices, agreement_with_obp
from tests.benchmarks.promotion import (
    METHODS,
    Distortion,
    StandIn,
    Verdict,
    judged,
    kept_or_judged,
    markdown,
    summary,
)

SMALL = MarketplaceConfig(users=200, products=8, offers=4_000, randomised_share=0.5)
WITHOUT_OBP = {name: METHODS[name] for name in ("gate", "challenger's own model")}


def test_an_undistorted_stand_in_has_the_true_curves():
    market = simulate(SMALL)
    curve = StandIn(market, Distortion("none"), seed=0).curve(market.requests)
    truth = market.purchase_probability(market.requests, np.ones(len(market.requests)))
    found = curve.purchase_probability(1.0)
    assert np.corrcoef(found, truth)[0, 1] > 0.999
    assert np.abs(found - truth).max() < 0.05  # the truth is averaged over the hidden shock


def test_a_distorted_model_believes_in_itself_and_the_truth_does_not(monkeypatch):
    monkeypatch.setattr(promotion, "METHODS", WITHOUT_OBP)
    verdicts = judged(SMALL)
    worse = [verdict for verdict in verdicts if verdict.before == "champion" and verdict.true_uplift < -0.15]
    assert len(worse) >= 4
    for verdict in worse:
        assert verdict.decision == ("blocked" if verdict.method == "gate" else "promoted")


def test_verdicts_of_an_earlier_run_are_read_again(monkeypatch, tmp_path):
    verdict = Verdict(0, "champion", "one", -0.1, "gate", -0.1, None, "blocked")
    monkeypatch.setattr(promotion, "judged", lambda config: [verdict])
    assert kept_or_judged(SMALL, tmp_path) == [verdict]
    monkeypatch.setattr(promotion, "judged", lambda config: pytest.fail("judged twice"))
    assert kept_or_judged(SMALL, tmp_path) == [verdict]


def test_the_summary_counts_worse_policies_that_were_promoted():
    verdicts = [
        Verdict(seed, "champion", "one", uplift, "gate", uplift + 0.01, None, decision)
        for seed, (uplift, decision) in enumerate([(-0.1, "promoted"), (-0.1, "blocked"), (0.1, "promoted")])
    ]
    (row,) = summary(verdicts).to_dict("records")
    assert (row["promoted"], row["blocked"], row["worse"], row["promoted_worse"]) == (2, 1, 2, 1)
    assert row["bias"] == pytest.approx(0.01)
    assert "- gate: 1 of 2" in markdown(summary(verdicts), {"SNIPS": 1e-16})


def test_discrete_prices_are_equal_parts_of_each_offers_range():
    market = simulate(SMALL)
    discrete = DiscretePrices.of(market, market.log)
    lowest, highest = market.bounds(market.log)
    assert set(discrete.action(lowest)) == {0}
    assert set(discrete.action(highest)) == {STEPS - 1}
    assert ((discrete.chance > 0) & (discrete.chance <= 1)).all()


def test_our_estimators_are_obps_on_discrete_prices():
    pytest.importorskip("obp")
    assert max(agreement_with_obp(rows=500).values()) < 1e-12
