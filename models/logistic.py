"""Weighted logistic regression on a handful of columns, by maximum likelihood."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Array = NDArray[np.float64]


def maximum_likelihood(
    columns: Array, outcome: Array, weight: Array, start: Array, bounds: list[tuple[float | None, float | None]]
) -> Array:
    """Coefficients (k,) of sigmoid(columns @ coefficients) within their bounds.

    Args:
        columns: (rows, k), the constant included.
        outcome: 0/1 (rows,).
        weight: inverse sampling probability (rows,).
        start: first guess (k,).
        bounds: lower and upper bound of each coefficient, None where open.

    """
    share = weight / weight.sum()

    def loss(coefficients: Array) -> tuple[float, Array]:
        log_odds = columns @ coefficients
        value = share @ (np.logaddexp(0, log_odds) - outcome * log_odds)
        return float(value), columns.T @ (share * (expit(log_odds) - outcome))

    fit = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12, "maxiter": 500})
    return np.asarray(fit.x, dtype=np.float64)
