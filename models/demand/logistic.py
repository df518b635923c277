"""Weighted logistic regression on a handful of columns, by maximum likelihood or its maximum with a prior."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Array = NDArray[np.float64]
Bounds = Sequence[tuple[float | None, float | None]]
OPEN = (None, None)


def maximum_likelihood(
    columns: Array,
    outcome: Array,
    weight: Array,
    start: Array,
    bounds: Bounds,
    group: NDArray[np.int64] | None = None,
    precision: Array | None = None,
) -> Array:
    """Return the coefficients (k,) of sigmoid(columns @ coefficients + effect of the row's group).

    Args:
        columns: (rows, k), the constant included.
        outcome: 0/1 (rows,).
        weight: inverse sampling probability (rows,).
        start: first guess (k,).
        bounds: lower and upper bound of each coefficient, None where open; equal bounds fix it.
        group: group of each row (rows,), whose effects have a standard normal prior; None for no effects.
        precision: of a normal prior around `start` (k,), 1 / variance; None for no prior.

    """
    total, k = weight.sum(), len(start)
    groups = 0 if group is None else int(group.max()) + 1
    share = weight / total
    rows = len(weight)  # priors weigh against rows, whatever the scale of their weights
    pull = np.zeros(k) if precision is None else precision / rows

    def loss(parameters: Array) -> tuple[float, Array]:
        coefficients, effects = parameters[:k], parameters[k:]
        log_odds = columns @ coefficients + (0.0 if group is None else effects[group])
        value = share @ (np.logaddexp(0, log_odds) - outcome * log_odds) + effects @ effects / (2 * rows)
        value += pull @ (coefficients - start) ** 2 / 2
        slope = share * (expit(log_odds) - outcome)
        by_group = slope[:0] if group is None else np.bincount(group, slope, groups) + effects / rows
        return float(value), np.concatenate([columns.T @ slope + pull * (coefficients - start), by_group])

    fit = minimize(
        loss,
        np.concatenate([start, np.zeros(groups)]),
        jac=True,
        bounds=[*bounds, *[OPEN] * groups],
        method="L-BFGS-B",
        options={"ftol": 1e-12, "gtol": 1e-9, "maxiter": 500},
    )
    return np.asarray(fit.x[:k], dtype=np.float64)
