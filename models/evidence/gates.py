"""The gates a challenger must pass before its prices go live; what is not measured does not pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

# Expected calibration error on held-out offers; few offers show some by chance alone, so its lower bound counts.
LARGEST_CALIBRATION_ERROR = 0.05
LARGEST_CONFOUNDING = 1.4  # slope s₂ of the price term on randomised offers; above it confounding remains
LEAST_RESPONSE = 0.5  # the same; below it drawn prices moved sales by less than half of what the model says
LEAST_EFFECTIVE_SAMPLE = 100  # offers; with fewer the interval of a value cannot be trusted
LARGEST_WEIGHT_GAP = 0.1  # of the mean weight from 1 beyond sampling error: wrong densities or a wrong support
LEAST_COVERAGE = 0.95  # share of prices inside the logged support
LARGEST_SLOWDOWN = 1.2  # of the champion's time for the same decisions
NO_LIMIT = "no limit"  # what is demanded of a figure that is shown beside the others

# What is measured of prices, and so under one policy, or against a rival; the others are of the demand model alone.
OF_PRICES = (
    "off_policy_", "tried_", "priced_sample", "refused_by_fault", "guardrail_violations", "protected_group_changes",
    "parity_", "latency_", "log_loss_gain_over_champion",
)  # fmt: skip

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Gate:
    """One question asked of a challenger: what was measured, what was demanded, and whether it was met."""

    name: str
    measured: float
    demanded: str
    passed: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.measured:.4g}, demanded {self.demanded}"


def is_cold_start(metrics: Metrics) -> bool:
    """Whether a challenger can only be let in under a cold start's tighter guardrails.

    It can where there is no champion, or only one that was let in the same way, and where the evidence does not tell
    its prices from what stands, or no held-out offer has a density: what stands without evidence need not be beaten by
    evidence, and a model trained again must not wait for evidence that nobody collects. A challenger that is up against
    a champion which has earned its place is never a cold start: to collect no evidence is no way round it.
    """
    if metrics.get("off_policy_against", nan) != 0 and metrics.get("off_policy_against_cold", 0) != 1:
        return False
    return not all(gate.passed for gate in uplift_gates(metrics))


def range_to_widen(metrics: Metrics) -> tuple[float, float]:
    """Lowest and highest price / list price that a cold start has tried so far; 1 and 1 for its first version.

    So is it where no held-out offer has a density: what was tried long ago, or by others, says nothing of now.
    """
    if metrics.get("off_policy_against_cold", 0) != 1 or metrics.get("off_policy_offers", 0) == 0:
        return 1.0, 1.0
    return metrics.get("tried_lowest", 1.0), metrics.get("tried_highest", 1.0)


def under_policy(metrics: Metrics, of_prices: Metrics) -> dict[str, float]:
    """The figures of a challenger whose prices were measured anew, under another policy."""
    return {name: figure for name, figure in metrics.items() if not name.startswith(OF_PRICES)} | dict(of_prices)


def promotion_gates(metrics: Metrics, champion: int) -> list[Gate]:
    """Return all gates on a model and its prices; `champion` prices the same dataset now, 0 where none does."""
    return [*quality_gates(metrics), *conduct_gates(metrics, champion), *evidence_gates(metrics, champion)]


def data_gate(tables: Mapping[str, Mapping[str, Any]]) -> Gate:
    """Return the gate on the data: of each validated table its `rows`, those `failing`, and the `limit` as a share."""
    allowed = {name: max(table["rows"] * table["limit"], 1e-9) for name, table in tables.items()}
    used = max((table["failing"] / allowed[name] for name, table in tables.items()), default=nan)
    return Gate("failing rows of a table, of those allowed", used, "≤ 1", used <= 1)


def quality_gates(metrics: Metrics) -> list[Gate]:
    """Gates on the demand model as measured on the held-out weeks.

    A figure that is missing or NaN fails, except where there was nothing to measure it on: no randomised
    offers, or no champion of the same dataset.
    """
    falling = metrics.get("sign_accuracy", nan)
    gates = [
        _above(
            "log loss gained over the constant rate, 95 % lower bound", metrics, "log_loss_gain_over_constant_rate_low"
        ),
        Gate("share of demand curves falling in price", falling, "= 1", falling == 1),
        _at_most("calibration error, 95 % lower bound", metrics, "ece_low", LARGEST_CALIBRATION_ERROR),
    ]
    if (slope := metrics.get("price_slope_on_randomised")) is not None:
        demanded, passed = (
            f"{LEAST_RESPONSE:g} to {LARGEST_CONFOUNDING:g}",
            LEAST_RESPONSE <= slope <= LARGEST_CONFOUNDING,
        )
        gates.append(Gate("price slope on randomised offers", slope, demanded, passed))
    if "log_loss_gain_over_champion_high" in metrics:
        # Blocked only where the challenger is surely worse; whether it earns more is for the off-policy evidence.
        name = "log loss gained over the champion, 95 % upper bound"
        gates.append(_at_least(name, metrics, "log_loss_gain_over_champion_high", 0))
    return gates


def conduct_gates(metrics: Metrics, champion: int) -> list[Gate]:
    """Gates on a sample of the challenger's prices, and on the time they take where there is a champion."""
    gates = [
        _at_least("prices in the sample", metrics, "priced_sample", 1),
        _none("rows of the sample refused for the model's fault", metrics, "refused_by_fault"),
        _none("guardrail violations in the sample", metrics, "guardrail_violations"),
        _none("prices that change with the protected group", metrics, "protected_group_changes"),
    ]
    if "parity_bound" in metrics:
        gates.append(_at_most("parity gap of the sample", metrics, "parity_gap", metrics["parity_bound"]))
    else:
        gates += _shown("parity gap of the sample", metrics, "parity_gap")
    if champion != 0:
        # The median of few runs on a busy machine; its lower bound says whether the challenger is surely slower.
        name = "time to price over the champion's, lower bound of the median"
        gates.append(_at_most(name, metrics, "latency_ratio_low", LARGEST_SLOWDOWN))
    return gates


def evidence_gates(metrics: Metrics, champion: int) -> list[Gate]:
    """Gates on the off-policy comparison.

    In a cold start only what is surely worse than the champion or the logged prices fails, where there are offers
    enough to say so.
    """
    gates = [*_same_champion(metrics, champion)]
    if not is_cold_start(metrics):
        # Where nothing was drawn the other figures are not there, and what is to be done about it is one thing.
        return [*gates, *([_explored(metrics)] if metrics.get("off_policy_offers") == 0 else uplift_gates(metrics))]
    gates += _by_weights(metrics)
    if metrics.get("off_policy_effective_sample", 0) < LEAST_EFFECTIVE_SAMPLE:
        return gates
    return [*gates, _at_least("off-policy uplift, 95 % upper bound", metrics, "off_policy_uplift_high", 0)]


def uplift_gates(metrics: Metrics) -> list[Gate]:
    """What evidence must show, and what it must be to be believed."""
    return [
        _above("off-policy uplift, 95 % lower bound", metrics, "off_policy_uplift_low"),
        *_by_weights(metrics),
        _at_least("effective offers", metrics, "off_policy_effective_sample", LEAST_EFFECTIVE_SAMPLE),
        _at_most("mean weight's distance from 1", metrics, "off_policy_mean_weight_gap", LARGEST_WEIGHT_GAP),
        _at_least("share of prices in the logged support", metrics, "off_policy_coverage", LEAST_COVERAGE),
    ]


def _same_champion(metrics: Metrics, champion: int) -> Iterator[Gate]:
    against = metrics.get("off_policy_against", nan)
    yield Gate("version that it was compared with", against, f"= {champion}, the champion", against == champion)


def _by_weights(metrics: Metrics) -> Iterator[Gate]:
    """A second reading, by weights alone, whose intervals are wider: as a limit it would cost good versions.

    Of those that are 7 % better such an estimator promotes half as many as the gates do (docs/benchmarks.md).
    """
    name = "profit uplift by self-normalised weights, 95 % lower bound"
    yield from _shown(name, metrics, "off_policy_profit_uplift_by_weights_low")


def _shown(name: str, metrics: Metrics, figure: str) -> Iterator[Gate]:
    """A figure that a reviewer should see and that nothing is demanded of, where it was measured."""
    if figure in metrics:
        yield Gate(name, metrics[figure], NO_LIMIT, passed=True)


def _explored(metrics: Metrics) -> Gate:
    measured = metrics.get("off_policy_offers", nan)
    demanded = "≥ 1: explore (exploration.share above 0), or collect offers whose price was drawn, with its propensity"
    return Gate("held-out offers with a randomised price", measured, demanded, measured >= 1)


def _above(name: str, metrics: Metrics, figure: str) -> Gate:
    measured = metrics.get(figure, nan)
    return Gate(name, measured, "> 0", measured > 0)


def _at_least(name: str, metrics: Metrics, figure: str, least: float) -> Gate:
    measured = metrics.get(figure, nan)
    return Gate(name, measured, f"≥ {least:g}", measured >= least)


def _at_most(name: str, metrics: Metrics, figure: str, most: float) -> Gate:
    measured = metrics.get(figure, nan)
    return Gate(name, measured, f"≤ {most:g}", measured <= most)


def _none(name: str, metrics: Metrics, figure: str) -> Gate:
    measured = metrics.get(figure, nan)
    return Gate(name, measured, "= 0", measured == 0)
