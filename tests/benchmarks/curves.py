"""How methods say what each request's user would do at any price, and the best price by their word."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.demand.demand_curve import DemandCurve
from models.pricing.objective import Objective, closed_form
from tests.benchmarks.scenario import Scenario

Array = NDArray[np.float64]

GRID_POINTS = 51
_BLOCK_ROWS = 200_000


class Curves(Protocol):
    """One response to price for each of some requests."""

    def purchase_probability(self, price_ratio: Array) -> Array:
        """Purchase probability (rows,) or (points, rows) at price / list price of that shape."""
        ...


@dataclass(frozen=True)
class IndexCurves:
    """A level and a slope for each request (rows,): a logit, or a linear probability cut to 0..1."""

    level: Array
    slope: Array
    link: Literal["logit", "linear"]

    def purchase_probability(self, price_ratio: Array) -> Array:
        index = self.level + self.slope * price_ratio
        return np.asarray(expit(index) if self.link == "logit" else np.clip(index, 0.0, 1.0))


@dataclass(frozen=True)
class MixedCurves:
    """A mixture of logits that differ in their slopes (nodes,), with weights for each request (rows, nodes)."""

    level: Array
    slopes: Array
    weights: Array

    def purchase_probability(self, price_ratio: Array) -> Array:
        total = np.zeros(np.broadcast_shapes(np.shape(price_ratio), self.level.shape))
        for slope, weight in zip(self.slopes, self.weights.T, strict=True):
            total += weight * expit(self.level + slope * price_ratio)
        return total


@dataclass(frozen=True)
class TreeCurves:
    """Trees that read the price ratio as the first column of a table (rows, columns)."""

    classifier: Any
    table: Array

    def purchase_probability(self, price_ratio: Array) -> Array:
        points = np.atleast_2d(price_ratio)
        probability = np.empty(points.shape)
        step = max(_BLOCK_ROWS // len(self.table), 1)
        for first in range(0, len(points), step):
            block = points[first : first + step]
            rows = np.column_stack([block.ravel(), np.tile(self.table, (len(block), 1))])
            probability[first : first + step] = self.classifier.predict_proba(rows)[:, 1].reshape(block.shape)
        return probability.reshape(np.shape(price_ratio))


def best_ratio(curves: Curves, scenario: Scenario) -> Array:
    """Return the most profitable price ratio (rows,) inside the bounds, by these curves.

    The optimum of logistic curves is known in closed form, and exact after clipping; all others search a grid.
    """
    lower, upper = scenario.bounds
    list_price = scenario.requests.list_price
    unit_cost = scenario.requests.frame["unit_cost"].to_numpy("float64")
    if isinstance(curves, DemandCurve):
        return np.clip(closed_form(Objective(curves, list_price, unit_cost)) / list_price, lower, upper)
    grid = np.linspace(lower, upper, GRID_POINTS)
    profit = curves.purchase_probability(grid) * (grid - unit_cost / list_price)
    return np.asarray(grid[profit.argmax(axis=0), np.arange(len(lower))])
