"""How well purchase probabilities match outcomes, each number with an interval that respects users.

The outcomes of one user depend on each other, so the bootstrap draws users, not rows: each replicate gives every user a
Poisson(1) weight (Chamandy et al. 2012), which is the multinomial bootstrap without its bookkeeping.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

REPLICATES = 200
_BINS = 10
_EDGE = 1e-7


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcomes:
    """What happened: purchased 0/1 (rows,), inverse sampling weight (rows,) and the user of each row (rows,)."""

    purchased: Array
    weight: Array
    user: NDArray[np.int64]

    @classmethod
    def of(cls, purchased: Array, weight: Array, user: pd.Series) -> "Outcomes":
        """Outcomes of named users."""
        return cls(purchased, weight, pd.factorize(user)[0].astype("int64"))


def evaluate(
    outcomes: Outcomes, probability: Array, base_rate: float, seed: int = 0, replicates: int = REPLICATES
) -> dict[str, Estimate]:
    """log_loss, normalised_improvement, brier, auc, ece and calibration_ratio of predicted probabilities (rows,).

    `normalised_improvement` is 1 - log loss / log loss of `base_rate` (the training part's rate); `ece` the expected
    calibration error over ten bins of equal weight; `calibration_ratio` predicted over observed purchases.
    """
    y, p = outcomes.purchased, np.clip(probability, _EDGE, 1 - _EDGE)
    loss, base = _log_loss(y, p), _log_loss(y, np.full(len(y), base_rate))
    gap = _by_bin(p - y, decile(p, outcomes.weight))
    means: dict[str, tuple[list[Array], Callable[[Array], Array]]] = {
        "log_loss": ([loss], lambda total: total[..., 0]),
        "normalised_improvement": (
            [loss, base],
            lambda total: 1 - total[..., 0] / np.maximum(total[..., 1], _EDGE),
        ),
        "brier": ([(p - y) ** 2], lambda total: total[..., 0]),
        "ece": (gap, lambda total: np.abs(total).sum(-1)),
        "calibration_ratio": ([p, y], lambda total: total[..., 0] / np.maximum(total[..., 1], _EDGE)),
    }
    draws = _draws(outcomes, seed, replicates)
    result = {name: _of_means(outcomes, draws, columns, of) for name, (columns, of) in means.items()}
    return result | {"auc": _auc(outcomes, draws, probability), "ece": _reflected(result["ece"])}


def log_loss_difference(
    outcomes: Outcomes, probability: Array, other: Array, seed: int = 0, replicates: int = REPLICATES
) -> Estimate:
    """Log loss of `probability` less that of `other` on the same rows; below 0 where the first is better."""
    first, second = (_log_loss(outcomes.purchased, np.clip(p, _EDGE, 1 - _EDGE)) for p in (probability, other))
    draws = _draws(outcomes, seed, replicates)
    return _of_means(outcomes, draws, [first - second], lambda total: total[..., 0])


def calibration_table(outcomes: Outcomes, probability: Array) -> pd.DataFrame:
    """Rows, weight, mean predicted and observed purchase rate for each tenth of the predictions, low to high."""
    rows = pd.DataFrame(
        {
            "decile": decile(probability, outcomes.weight) + 1,
            "rows": 1,
            "weight": outcomes.weight,
            "predicted": probability * outcomes.weight,
            "observed": outcomes.purchased * outcomes.weight,
        }
    )
    table = rows.groupby("decile").sum()
    table[["predicted", "observed"]] = table[["predicted", "observed"]].div(table["weight"], axis=0)
    return table.reset_index()


def _draws(outcomes: Outcomes, seed: int, replicates: int) -> NDArray[np.float32]:
    """Weights of users (replicates, users)."""
    users = int(outcomes.user.max()) + 1
    return np.random.default_rng(seed).poisson(1.0, (replicates, users)).astype("float32")


def _of_means(
    outcomes: Outcomes, draws: NDArray[np.float32], columns: list[Array], of: Callable[[Array], Array]
) -> Estimate:
    """Return a function of weighted means; only the users' sums take part in the replicates."""
    weighted = [outcomes.weight * column for column in [*columns, np.ones(len(outcomes.weight))]]
    sums = np.stack([np.bincount(outcomes.user, column, draws.shape[1]) for column in weighted], axis=1)
    totals = np.concatenate([sums.sum(0)[None], draws.astype("float64") @ sums])
    values = of(totals[:, :-1] / np.maximum(totals[:, -1:], _EDGE))
    return _estimate(values[0], values[1:])


def _auc(outcomes: Outcomes, draws: NDArray[np.float32], probability: Array) -> Estimate:
    """Weighted area under the ROC curve, ties counted half: one sort, then sums along it for each replicate."""
    order = np.argsort(probability, kind="stable")
    score, user = probability[order], outcomes.user[order]
    bought, weight = outcomes.purchased[order] > 0, outcomes.weight[order]
    first = np.flatnonzero(np.diff(score, prepend=-np.inf))  # where each distinct score begins

    def area(drawn: NDArray[np.float32] | None) -> float:
        weights = weight if drawn is None else weight * drawn[user]
        positive = np.add.reduceat(np.where(bought, weights, 0.0), first)
        negative = np.add.reduceat(np.where(bought, 0.0, weights), first)
        below = np.cumsum(negative) - negative / 2
        pairs = positive.sum() * negative.sum()
        return float(positive @ below / pairs) if pairs > 0 else np.nan

    return _estimate(area(None), np.array([area(drawn) for drawn in draws]))


def _estimate(value: float, replicates: Array) -> Estimate:
    finite = replicates[np.isfinite(replicates)]
    low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high))


def _reflected(estimate: Estimate) -> Estimate:
    """Return an estimate above 0 with the basic bootstrap's interval (Davison & Hinkley 1997, section 5.2).

    Absolute gaps grow by chance alone, and resampling adds as much again: the replicates' own quantiles would say that
    the calibration of few offers is surely wrong, however right it is.
    """
    value, low, high = estimate
    return Estimate(value, max(2 * value - high, 0.0), max(2 * value - low, value))


def _log_loss(y: Array, p: Array) -> Array:
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))


def decile(probability: Array, weight: Array) -> NDArray[np.int64]:
    """Tenth of the total weight that each prediction falls in, 0 to 9; equal predictions stay together."""
    order = np.argsort(probability, kind="stable")
    reached = np.cumsum(weight[order]) - weight[order] / 2
    edges = np.interp(np.arange(1, _BINS) / _BINS * weight.sum(), reached, probability[order])
    return np.searchsorted(edges, probability, side="right").astype("int64")


def _by_bin(values: Array, number: NDArray[np.int64]) -> list[Array]:
    return [np.where(number == part, values, 0.0) for part in range(_BINS)]
