"""Prices that no demand model stands behind: the list price, the last one logged, and the best uniform one."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.scenario import Scenario

Array = NDArray[np.float64]


def list_price(scenario: Scenario) -> Array:
    """Return the list price of each request as a ratio, inside the bounds (rows,)."""
    return np.clip(np.ones(len(scenario.requests)), *scenario.bounds)


def last_logged(scenario: Scenario) -> Array:
    """Return the price the shop would go on charging (rows,)."""
    return scenario.last_logged


def best_uniform(scenario: Scenario) -> Array:
    """Return the one ratio for each product that is best by the truth, which no one knows (rows,)."""
    return scenario.market.best_uniform_ratio(scenario.requests)


SIMPLE_PRICES: dict[str, Callable[[Scenario], Array]] = {
    "list_price": list_price,
    "last_logged": last_logged,
    "best_uniform": best_uniform,
}
