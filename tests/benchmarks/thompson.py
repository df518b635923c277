"""Thompson sampling, product by product, in the markets of the closed loop: a peer of `closed_loop`.

    .venv/bin/python -m tests.benchmarks.thompson --results results --seeds 2

The same visitors, weeks, limits and truth. It may do what the platform does not: it learns from every answer at once,
and nothing it tries is held back by steps or gates. It knows costs, but no user from another.
"""

import argparse
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.features.decisions import Decisions
from models.simulation.live_market import LiveMarket
from tests.benchmarks.closed_loop import WEEK, Loop, policy, policy_bounds, revenue

logger = logging.getLogger("pricing.benchmark")
Array = NDArray[np.float64]

MEASURED = [f"{what}_of_{best}" for best in ("policy", "uniform") for what in ("profit", "revenue")]
GRID = np.linspace(0.7, 1.3, 13)  # price / list price, the range of the loop's policy


class Belief(Protocol):
    """What is believed of one product's demand, by price / list price."""

    def drawn(self, random: np.random.Generator) -> Array:
        """The chance of a purchase at every ratio of the grid, drawn from the posterior."""
        ...

    def learn(self, place: int, bought: bool) -> None:
        """Take in the answer to the price of one place of the grid."""
        ...


@dataclass
class Counts(Belief):
    """Nothing joins the prices of the grid: a Beta of each (Thompson 1933; Chapelle and Li 2011)."""

    bought: Array = field(default_factory=lambda: np.ones(len(GRID)))
    refused: Array = field(default_factory=lambda: np.ones(len(GRID)))

    def drawn(self, random: np.random.Generator) -> Array:
        return random.beta(self.bought, self.refused)

    def learn(self, place: int, bought: bool) -> None:
        counted = self.bought if bought else self.refused
        counted[place] += 1


@dataclass
class Logistic(Belief):
    """Chance = σ(a − b·(ratio − 1)), a and log b normal; the posterior by Laplace's method, anew at every answer."""

    shown: Array = field(default_factory=lambda: np.zeros(len(GRID)))
    bought: Array = field(default_factory=lambda: np.zeros(len(GRID)))
    mode: Array = field(default_factory=lambda: np.array([-1.0, np.log(5.0)]))
    MEAN = np.array([-1.0, np.log(5.0)])
    PRECISION = np.array([1 / 4.0, 1.0])
    NEWTON_STEPS = 3

    def drawn(self, random: np.random.Generator) -> Array:
        _, curvature, _ = self._slope()
        level, steepness = random.multivariate_normal(self.mode, np.linalg.inv(curvature))
        return _chance(level, steepness)

    def learn(self, place: int, bought: bool) -> None:
        self.shown[place] += 1
        self.bought[place] += bought
        for _ in range(self.NEWTON_STEPS):
            gradient, curvature, _ = self._slope()
            self.mode = self.mode - np.clip(np.linalg.solve(curvature, gradient), -1, 1)

    def _slope(self) -> tuple[Array, Array, Array]:
        """Gradient and (Fisher) curvature of the negative log posterior at the mode, and the chances there."""
        chance = _chance(*self.mode)
        by_place = np.stack([np.ones(len(GRID)), -np.exp(self.mode[1]) * (GRID - 1)])
        gradient = by_place @ (self.shown * chance - self.bought) + self.PRECISION * (self.mode - self.MEAN)
        weight = self.shown * chance * (1 - chance)
        return gradient, (by_place * weight) @ by_place.T + np.diag(self.PRECISION), chance


def _chance(level: float, steepness: float) -> Array:
    return np.asarray(1 / (1 + np.exp(np.clip(np.exp(steepness) * (GRID - 1) - level, -50, 50))))


BELIEFS: dict[str, type[Belief]] = {"a Beta for each of 13 prices": Counts, "a logistic curve": Logistic}


def sold(visits: Decisions, beliefs: dict[str, Belief], answer: "Answer", random: np.random.Generator) -> Array:
    """Price one visit after the other, learning from each; returns price / list price (rows,)."""
    frame, low_high = visits.frame, policy_bounds(answer.live.market, visits, policy())
    cost = frame["unit_cost"].to_numpy("float64") / visits.list_price
    ratio = np.zeros(len(frame))
    for row, product in enumerate(frame["product_id"]):
        allowed = (low_high[0][row] - 1e-9 <= GRID) & (low_high[1][row] + 1e-9 >= GRID)
        gain = np.where(allowed, (GRID - cost[row]) * beliefs[product].drawn(random), -np.inf)
        place = int(np.argmax(gain))
        ratio[row] = GRID[place]
        beliefs[product].learn(place, answer(row, place))
    return ratio


class Answer:
    """Who buys at which price, for the visits of one week: every ratio of the grid is asked once, ahead."""

    def __init__(self, live: LiveMarket, visits: Decisions) -> None:
        self.live = live
        self._bought = np.stack([live.answers(visits, np.full(len(visits), ratio)) for ratio in GRID])

    def __call__(self, row: int, place: int) -> bool:
        return bool(self._bought[place, row])


def run_seed(loop: Loop, seed: int, name: str) -> list[dict[str, float]]:
    """All weeks of one market under one belief: profit as a share of the best within the policy, and of list prices."""
    live, random = loop.market(seed), np.random.default_rng(seed)
    beliefs: dict[str, Belief] = {product: BELIEFS[name]() for product in live.market.tables["products"]["product_id"]}
    weeks, quoted = [], 0
    for number in range(loop.cycles):
        since = live.opens_at + number * WEEK
        visits = live.visits(since, since + WEEK)
        ratio = sold(visits, beliefs, Answer(live, visits), random)
        market, cost = live.market, visits.frame["unit_cost"].to_numpy("float64")
        bounds = policy_bounds(market, visits, policy())
        best = {
            "policy": market.best_ratio(visits, cost, bounds),
            "uniform": market.best_uniform_ratio(visits, bounds),
        }
        profit, taken = market.profit(visits, ratio).sum(), revenue(market, visits, ratio)
        weeks.append(
            {
                "seed": seed, "cycle": number, "quoted_a_product": quoted / loop.products,
            }
            | {f"profit_of_{of}": float(profit / market.profit(visits, at).sum()) for of, at in best.items()}
            | {f"revenue_of_{of}": taken / revenue(market, visits, at) for of, at in best.items()}
        )  # fmt: skip
        quoted += len(ratio)
    return weeks


def main() -> None:
    parser = argparse.ArgumentParser(description="Thompson sampling in the markets of the closed loop.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cost_percent", type=int, default=Loop().cost_percent)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    loop, found = Loop(cost_percent=arguments.cost_percent), []
    for name in BELIEFS:
        for seed in range(arguments.seeds):
            found += [{"belief": name} | week for week in run_seed(loop, seed, name)]
            logger.warning(
                "%s, seed %d: %s", name, seed, [f"{w['profit_of_policy']:.1%}" for w in found[-loop.cycles :]]
            )
    folder = arguments.results / "closed_loop"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thompson.json").write_text(json.dumps(found, indent=1))
    by_week = pd.DataFrame(found).groupby(["belief", "cycle"])[MEASURED].mean()
    logger.warning("%s", by_week.unstack("belief").map("{:.1%}".format).to_string())


if __name__ == "__main__":
    main()
