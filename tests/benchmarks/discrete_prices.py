"""Prices in equal steps, as the Open Bandit Pipeline (obp) needs them, and what its estimators make of them."""

import importlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.demand.demand_curve import DemandCurve
from models.evidence.off_policy import ExploredOffers, Target, doubly_robust, self_normalised
from models.features.decisions import Decisions
from models.simulation.marketplace import Marketplace

Array = NDArray[np.float64]
Judgement = tuple[float | None, float | None, str]  # uplift, its lower bound, decision

STEPS = 20  # discrete prices, of the range from floor to ceiling
DRAWS = 100  # bootstrap replicates


@dataclass(frozen=True)
class DiscretePrices:
    """The held-out offers as obp sees them: one of STEPS equal parts of each offer's range, and its probability."""

    lowest: Array
    width: Array
    offers: Decisions

    @classmethod
    def of(cls, market: Marketplace, offers: Decisions) -> "DiscretePrices":
        lowest, highest = market.bounds(offers)
        return cls(lowest, (highest - lowest) / STEPS, offers)

    def action(self, ratio: Array) -> NDArray[np.int64]:
        return np.clip((ratio - self.lowest) // self.width, 0, STEPS - 1).astype("int64")

    @property
    def chance(self) -> Array:
        """The density stands for its whole part; what the log does not tell cannot be integrated."""
        return np.minimum(self.offers.frame["propensity"].to_numpy("float64") * self.width, 1.0)

    def predicted(self, curve: DemandCurve) -> Array:
        """Expected profit of each part's middle (rows, STEPS, 1)."""
        middle = self.lowest[:, None] + self.width[:, None] * (np.arange(STEPS) + 0.5)
        cost = self.offers.frame["unit_cost"].to_numpy("float64")
        chance = np.stack([curve.purchase_probability(ratio) for ratio in middle.T], axis=1)
        return ((middle * self.offers.list_price[:, None] - cost[:, None]) * chance)[:, :, None]


def judged_by_obp(
    market: Marketplace, test: Decisions, outcome: DemandCurve, new: Array, old: Array | None, estimator: str
) -> Judgement:
    """Promote where obp's lower bound of the new prices' value lies above its value of the old ones.

    Prices are ratios (rows,); without old ones the logged profit stands for them. `estimator` is a name of obp.ope.
    """
    ope = importlib.import_module("obp.ope")
    value = getattr(ope, estimator)()
    discrete = DiscretePrices.of(market, test)
    profit = (test.frame["price"] - test.frame["unit_cost"]).to_numpy("float64") * test.purchased
    given = {
        "reward": profit,
        "action": discrete.action(test.price_ratio),
        "pscore": discrete.chance,
        "position": np.zeros(len(test), dtype="int64"),
        "estimated_rewards_by_reg_model": discrete.predicted(outcome),
    }
    given_new = given | {"action_dist": _one_hot(discrete.action(new))}
    interval = value.estimate_interval(**given_new, alpha=0.1, n_bootstrap_samples=DRAWS, random_state=0)
    before = float(profit.mean())
    if old is not None:
        before = value.estimate_policy_value(**given, action_dist=_one_hot(discrete.action(old)))
    lower = next(bound for name, bound in interval.items() if "lower" in name) - before
    return value.estimate_policy_value(**given_new) - before, lower, "promoted" if lower > 0 else "blocked"


def _one_hot(action: NDArray[np.int64]) -> Array:
    return np.eye(STEPS)[action][:, :, None]


def agreement_with_obp(rows: int = 5_000, actions: int = 8, seed: int = 0) -> dict[str, float]:
    """Compare our estimators with obp's on discrete prices; returns the largest relative difference by estimator."""
    from obp.ope import SelfNormalizedDoublyRobust, SelfNormalizedInverseProbabilityWeighting

    rng = np.random.default_rng(seed)
    prices, ones = np.linspace(0.6, 1.3, actions), np.ones(rows)
    list_price, curve = (
        np.exp(rng.normal(3, 0.5, rows)),
        DemandCurve(rng.uniform(3, 7, rows), rng.uniform(0.6, 1, rows)),
    )
    chances = rng.dirichlet(np.ones(actions), rows)
    shown = (chances.cumsum(1) < rng.random(rows)[:, None]).sum(1).clip(max=actions - 1)
    wanted = rng.integers(0, actions, rows)
    chance = chances[np.arange(rows), shown]
    purchased = (rng.random(rows) < curve.purchase_probability(prices[shown])).astype("float64")
    offers = ExploredOffers(
        prices[shown], chance, purchased, list_price, 0.4 * list_price, ones, ones, np.arange(rows), rows, 0 * ones,
        2 * ones, 2 * ones, 0 * ones,
    )  # fmt: skip
    target = Target(prices[wanted], (shown == wanted) / chance, ones > 0)
    predicted = np.stack([offers.margin(price * ones) * curve.purchase_probability(price) for price in prices], axis=1)
    given = {
        "reward": offers.profit, "action": shown, "pscore": chance, "position": np.zeros(rows, dtype="int64"),
        "action_dist": np.eye(actions)[wanted][:, :, None], "estimated_rewards_by_reg_model": predicted[:, :, None],
    }  # fmt: skip
    pairs = {
        "SNIPS": (self_normalised(offers, target), SelfNormalizedInverseProbabilityWeighting()),
        "SNDR": (doubly_robust(offers, target, curve), SelfNormalizedDoublyRobust()),
    }
    return {
        name: float(abs(ours.value / obp.estimate_policy_value(**given) - 1)) for name, (ours, obp) in pairs.items()
    }
