"""How often the promotion gate lets a worse policy through, and a better one, where the truth is known.

    python -m tests.benchmarks.promotion --results .pricing/benchmark --seeds 16

Champion and challengers are stand-ins for trained models: the simulated users' own curves, distorted. Distorting how
sensitive a model takes users to be is what confounded logs do to a model. Beside the gate stand the judgement of the
challenger's own model, and the Open Bandit Pipeline (obp), which knows discrete actions only: prices in equal steps.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.demand_curve import DemandCurve
from models.demand.metrics import Outcomes
from models.evidence.challenger import Contender, off_policy_figures
from models.evidence.gates import evidence_gates, is_cold_start
from models.features.decisions import Decisions, Split
from models.pricing.policy import PricingPolicy
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from tests.benchmarks.discrete_prices import Judgement, agreement_with_obp, judged_by_obp

logger = logging.getLogger("pricing.benchmark")
Array = NDArray[np.float64]

POLICY = PricingPolicy()  # the tables' own floor and ceiling, the range that the log explored
CHAMPION = 1  # a version number
RANDOMISED_SHARE = 0.3
FITTED_DAYS = 14  # stand-ins are not trained, so that all later offers can be held out
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Distortion:
    """How a stand-in differs from the truth: sensitivity times a factor, and each product's level moved by noise."""

    name: str
    sensitivity: float = 1.0
    noise: float = 0.0


CHAMPION_MODEL = Distortion("champion", sensitivity=0.5)
CHALLENGERS = (
    Distortion("sensitivity × 0.25", sensitivity=0.25),
    Distortion("sensitivity × 0.35", sensitivity=0.35),
    Distortion("sensitivity × 0.42", sensitivity=0.42),
    Distortion("sensitivity × 6", sensitivity=6.0),
    Distortion("sensitivity × 0.5, noise between products", sensitivity=0.5, noise=1.5),
    Distortion("sensitivity × 0.6", sensitivity=0.6),
    Distortion("the truth, but for the hidden shock", sensitivity=1.0),
)


@dataclass(frozen=True)
class StandIn:
    """A demand model made of the truth and a distortion."""

    market: Marketplace
    distortion: Distortion
    seed: int

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        """Return the distorted curves; it has no uniform ones of its own."""
        curves = self.market.curves.loc[decisions.frame["decision_id"]]
        products = np.sort(self.market.tables["products"]["product_id"].to_numpy())
        moved = self.distortion.noise * np.random.default_rng(self.seed).normal(size=len(products))
        level = curves["level"].to_numpy("float64") + moved[np.searchsorted(products, decisions.frame["product_id"])]
        sensitivity = self.distortion.sensitivity * curves["sensitivity"].to_numpy("float64")
        return DemandCurve(sensitivity, 1 + level / sensitivity)


@dataclass(frozen=True)
class Verdict:
    """One comparison of one marketplace: the true uplift as a share of what stood before, and who would promote."""

    seed: int
    before: str
    challenger: str
    true_uplift: float
    method: str
    estimate: float | None
    lower: float | None
    decision: str


@dataclass(frozen=True)
class Trial:
    """A challenger up against what stands before it, on the held-out offers of one marketplace."""

    market: Marketplace
    split: Split
    challenger: StandIn
    champion: StandIn | None

    def _priced(self, model: StandIn) -> Array:
        """Return the price / list price of a model on the held-out offers (rows,)."""
        rows = np.ones(len(self.split.test), dtype=bool)
        prices, _ = Contender(model, self.split.test).prices(rows, POLICY, "EUR")
        return np.asarray(prices["price"].to_numpy("float64") / self.split.test.list_price)

    @cached_property
    def ratios(self) -> tuple[Array, Array]:
        """Return the challenger's prices, and the champion's or else the logged ones (rows,), (rows,)."""
        before = self.split.test.price_ratio if self.champion is None else self._priced(self.champion)
        return self._priced(self.challenger), before

    def truth(self) -> tuple[float, float]:
        """Return the true mean profit an offer of both, over every shock that may come."""
        first, second = (float(self.market.profit(self.split.test, ratio).mean()) for ratio in self.ratios)
        return first, second

    def verdicts(self) -> list[Verdict]:
        """Ask every method."""
        new, before = self.truth()
        found = []
        for name, method in METHODS.items():
            estimate, lower, decision = method(self)
            shares = (None if amount is None else amount / before for amount in (estimate, lower))
            standing = "champion" if self.champion else "logged prices"
            found.append(
                Verdict(
                    self.market.config.seed,
                    standing,
                    self.challenger.distortion.name,
                    new / before - 1,
                    name,
                    *shares,
                    decision,
                )
            )
        return found


def gate(trial: Trial) -> Judgement:
    """The product's own figures and gates."""
    against = None if trial.champion is None else Contender(trial.champion, trial.split.test)
    challenger = Contender(trial.challenger, trial.split.test)
    figures = off_policy_figures(trial.split, challenger, against, POLICY, "EUR")
    champion = CHAMPION if against else 0
    figures["off_policy_against"] = champion
    passed = all(one.passed for one in evidence_gates(figures, champion))
    decision = ("cold start" if is_cold_start(figures) else "promoted") if passed else "blocked"
    return figures.get("off_policy_uplift"), figures.get("off_policy_uplift_low"), decision


def own_model(trial: Trial) -> Judgement:
    """The challenger's own model says what both policies earn."""
    test = trial.split.test
    curve = trial.challenger.curve(test)
    earned = [
        (ratio * test.list_price - test.frame["unit_cost"].to_numpy("float64")) * curve.purchase_probability(ratio)
        for ratio in trial.ratios
    ]
    return _judged(earned[0] - earned[1], test)


def obp(estimator: str) -> Callable[[Trial], Judgement]:
    """Return the judgement by an estimator of obp on discrete prices, with the challenger's model for outcomes."""

    def method(trial: Trial) -> Judgement:
        new, old = trial.ratios
        outcome = trial.challenger.curve(trial.split.test)
        return judged_by_obp(trial.market, trial.split.test, outcome, new, old if trial.champion else None, estimator)

    return method


METHODS: dict[str, Callable[[Trial], Judgement]] = {
    "gate": gate,
    "challenger's own model": own_model,
    "obp SNIPS": obp("SelfNormalizedInverseProbabilityWeighting"),
    "obp SNDR": obp("SelfNormalizedDoublyRobust"),
}


def _judged(difference: Array, test: Decisions) -> Judgement:
    users = Outcomes.of(test.purchased, test.weight, test.frame["user_id"]).user
    by_user = np.bincount(users, difference - difference.mean()) / len(difference)
    lower = float(difference.mean() - 1.645 * np.sqrt((by_user**2).sum()))
    return float(difference.mean()), lower, "promoted" if lower > 0 else "blocked"


def summary(verdicts: list[Verdict]) -> pd.DataFrame:
    """Return a row a comparison and method: the true uplift, the decisions counted, and how far off estimates are."""
    frame = pd.DataFrame([asdict(verdict) for verdict in verdicts])
    frame["is_worse"] = frame["true_uplift"] < 0
    rows = []
    for keys, part in frame.groupby(["before", "challenger", "method"], sort=False):
        error = part["estimate"].astype("float64") - part["true_uplift"]
        decided = part["decision"].value_counts()
        rows.append(
            dict(zip(("before", "challenger", "method"), keys, strict=True))
            | {"true_uplift": part["true_uplift"].mean(), "seeds": len(part), "worse": int(part["is_worse"].sum())}
            | {name: int(decided.get(name, 0)) for name in ("promoted", "cold start", "blocked")}
            | {"bias": error.mean(), "rmse": float(np.sqrt((error**2).mean()))}
            | {"promoted_worse": int(((part["decision"] == "promoted") & part["is_worse"]).sum())}
        )
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame, agreement: dict[str, float]) -> str:
    """Return the summary as one table, and the totals."""
    names = list(table["method"].unique())
    lines = [
        "| before | challenger | true uplift | "
        + " | ".join(f"{name}: promoted" for name in names)
        + " | gate error |",
        "| " + " | ".join(["---"] * (4 + len(names))) + " |",
    ]
    for (before, challenger), part in table.groupby(["before", "challenger"], sort=False):
        by_method = part.set_index("method")
        ours = by_method.loc["gate"]
        started = f" + {ours['cold start']} cold starts" if ours["cold start"] else ""
        cells = [
            f"{by_method.loc[name, 'promoted']} of {by_method.loc[name, 'seeds']}{started if name == 'gate' else ''}"
            for name in names
        ]
        shown = [before, challenger, f"{ours['true_uplift']:+.1%}", *cells, f"{ours['bias']:+.1%} ± {ours['rmse']:.1%}"]
        lines.append(f"| {' | '.join(shown)} |")
    totals = table.groupby("method", sort=False)[["promoted_worse", "worse"]].sum()
    lines += ["", "Truly worse policies promoted: "]
    lines += [f"- {name}: {row['promoted_worse']} of {row['worse']}" for name, row in totals.iterrows()]
    if agreement:
        lines += ["", "Largest relative difference from obp on discrete prices: "]
        lines += [f"- {name}: {difference:.1e}" for name, difference in agreement.items()]
    return "# Promotion with known truth\n\n" + "\n".join(lines) + "\n"


def judged(config: MarketplaceConfig) -> list[Verdict]:
    """Return the verdicts on every challenger, against the champion and against the logged prices."""
    market = simulate(config)
    early = market.log.decided_at < market.log.decided_at.min() + FITTED_DAYS * _DAY
    split = Split(market.log.select(early), market.log.select(early), market.log.select(~early))
    champion = StandIn(market, CHAMPION_MODEL, config.seed)
    trials = [
        Trial(market, split, StandIn(market, distortion, config.seed), before)
        for before in (champion, None)
        for distortion in CHALLENGERS
    ]
    return [verdict for trial in trials for verdict in trial.verdicts()]


def kept_or_judged(config: MarketplaceConfig, folder: Path) -> list[Verdict]:
    """Return the verdicts on a marketplace; those of an earlier run are read again, so that a run can be stopped."""
    file = folder / "promotion" / f"{config.users}-{config.offers}-{config.seed}.json"
    if not file.exists():
        started = time.perf_counter()
        verdicts = judged(config)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(verdict) for verdict in verdicts]))
        logger.info("marketplace %d in %.0f s", config.seed, time.perf_counter() - started)
    return [Verdict(**verdict) for verdict in json.loads(file.read_text())]


def main() -> None:
    """Run every comparison and write `promotion.md` and `promotion.json`."""
    parser = argparse.ArgumentParser(description="How often the promotion gate is right, with known truth.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--users", type=int, default=4_000)
    parser.add_argument("--offers", type=int, default=60_000, help="logged; all but the first two weeks' are held out")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    agreement = {}
    try:
        agreement = agreement_with_obp()
    except ModuleNotFoundError as error:
        logger.warning("obp left out: %s", error)
        del METHODS["obp SNIPS"], METHODS["obp SNDR"]
    size = MarketplaceConfig(users=arguments.users, offers=arguments.offers, randomised_share=RANDOMISED_SHARE)
    configs = [replace(size, seed=seed) for seed in range(arguments.seeds)]
    verdicts = [verdict for config in configs for verdict in kept_or_judged(config, arguments.results)]
    folder = arguments.results / "report"
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"marketplace": asdict(size), "agreement_with_obp": agreement}
    kept["verdicts"] = [asdict(verdict) for verdict in verdicts]
    (folder / "promotion.json").write_text(json.dumps(kept, indent=1))
    (folder / "promotion.md").write_text(markdown(summary(verdicts), agreement))
    logger.info("report in %s", folder / "promotion.md")


if __name__ == "__main__":
    main()
