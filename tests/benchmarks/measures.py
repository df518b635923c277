"""What the benchmark measures: the profit a method's prices forgo, and how near its curves are to the truth."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.metrics import Estimate, Outcomes, calibration_table, evaluate
from tests.benchmarks.curves import Curves
from tests.benchmarks.least_error import least_error_probability
from tests.benchmarks.reachable import reachable_probability
from tests.benchmarks.scenario import Scenario

Array = NDArray[np.float64]

PRICE_CHANGES = (0.9, 1.1)  # of the last logged price: where counterfactual demand is asked
REPLICATES = 200
EXAMPLE_ROWS = 4


def regret(profit: Array, best_profit: Array, user: NDArray[np.int64]) -> Estimate:
    """Return 1 - profit / best profit over all rows, with a bootstrap interval over users."""
    return ratio_of_sums(best_profit - profit, best_profit, user)


def counterfactual_wmape(predicted: Array, true: Array, exposure: Array, user: NDArray[np.int64]) -> Estimate:
    """Return sum of |predicted - true| x exposure / sum of true x exposure, of arrays (changes, rows)."""
    return ratio_of_sums((np.abs(predicted - true) * exposure).sum(axis=0), (true * exposure).sum(axis=0), user)


def total_wmape(predicted: Array, true: Array, exposure: Array, group: NDArray[np.int64]) -> Estimate:
    """Return the same of each group's total demand at each change: what a planner reads; without an interval."""
    gaps = [np.bincount(group, part * exposure) for part in predicted - true]
    return Estimate(float(np.abs(gaps).sum() / (true * exposure).sum()), np.nan, np.nan)


def sign_accuracy(cheaper: Array, dearer: Array, user: NDArray[np.int64]) -> Estimate:
    """Return the share of rows whose probability is lower at the dearer price."""
    return ratio_of_sums((dearer < cheaper).astype("float64"), np.ones(len(cheaper)), user)


def ratio_of_sums(numerator: Array, denominator: Array, user: NDArray[np.int64], seed: int = 0) -> Estimate:
    """Return a ratio of two sums over rows; its interval weighs users by Poisson(1) draws, like those of `metrics`."""
    users = int(user.max()) + 1
    sums = np.stack([np.bincount(user, part, users) for part in (numerator, denominator)], axis=1)
    drawn = np.random.default_rng(seed).poisson(1.0, (REPLICATES, users)) @ sums
    above, below = sums.sum(axis=0)
    drawn = drawn[drawn[:, 1] > 0]  # of very few users a draw may hold none
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return Estimate(float(above / below), float(low), float(high))


def price_measures(price_ratio: Array, scenario: Scenario) -> dict[str, Estimate]:
    """Return what can be said of prices alone: the regret."""
    profit = scenario.market.profit(scenario.requests, price_ratio)
    return {"regret": regret(profit, scenario.best_profit, _users(scenario))}


def response_measures(curves: Curves, scenario: Scenario) -> dict[str, Estimate]:
    """Return counterfactual WMAPE and sign accuracy, then log loss and calibration error at the last logged price."""
    frame = scenario.requests.frame
    user, exposure = _users(scenario), frame["quantity"].to_numpy("float64")
    product = pd.factorize(frame["product_id"])[0].astype("int64")
    asked = np.stack([change * scenario.last_logged for change in PRICE_CHANGES])
    predicted = curves.purchase_probability(asked)
    true = np.stack([scenario.true_probability(ratio) for ratio in asked])
    outcomes = Outcomes(scenario.outcome, np.ones(len(user)), user)
    usual = curves.purchase_probability(scenario.last_logged)
    forecast = evaluate(outcomes, usual, float(scenario.learning.purchased.mean()), replicates=REPLICATES)
    return {
        "wmape": counterfactual_wmape(predicted, true, exposure, user),
        "product_wmape": total_wmape(predicted, true, exposure, product),
        "decile_wmape": total_wmape(predicted, true, exposure, _tenths(usual)),
        "sign_accuracy": sign_accuracy(predicted[0], predicted[-1], user),
        "ece": forecast["ece"],
        "log_loss": forecast["log_loss"],
    }


def wmape_limits(scenario: Scenario) -> dict[str, Estimate]:
    """Return the counterfactual WMAPE that nobody can go below, and what those reach who know the truth of the log.

    See `least_error` and `reachable`.
    """
    known = {"least_wmape": least_error_probability, "reachable_wmape": reachable_probability}
    return {name: _wmape_of(scenario, probability) for name, probability in known.items()}


def _wmape_of(scenario: Scenario, probability: Callable[[Scenario, float], Array]) -> Estimate:
    predicted = np.stack([probability(scenario, change) for change in PRICE_CHANGES])
    true = np.stack([scenario.true_probability(change * scenario.last_logged) for change in PRICE_CHANGES])
    exposure = scenario.requests.frame["quantity"].to_numpy("float64")
    return counterfactual_wmape(predicted, true, exposure, _users(scenario))


def examples(curves: Curves, scenario: Scenario) -> dict[str, list[list[float]]]:
    """Return price ratios with true and predicted probability for a few requests (rows, points), for a plot.

    They are the requests at even ranks of the best price, so that they differ.
    """
    order = np.argsort(scenario.market.oracle(scenario.requests))
    rows = order[((np.arange(EXAMPLE_ROWS) + 0.5) / EXAMPLE_ROWS * len(order)).astype("int64")]
    lower, upper = scenario.bounds
    grid = np.linspace(lower, upper, 25)
    true = np.stack([scenario.true_probability(ratio) for ratio in grid])
    predicted = curves.purchase_probability(grid)
    parts = {"price_ratio": grid, "true": true, "predicted": predicted}
    return {name: np.round(part[:, rows].T, 5).tolist() for name, part in parts.items()}


def calibration(curves: Curves, scenario: Scenario) -> dict[str, list[float]]:
    """Return mean predicted and observed rate of each tenth of the requests, for a plot."""
    user = _users(scenario)
    outcomes = Outcomes(scenario.outcome, np.ones(len(user)), user)
    table = calibration_table(outcomes, curves.purchase_probability(scenario.last_logged))
    return {name: table[name].round(5).tolist() for name in ("predicted", "observed")}


def _tenths(probability: Array) -> NDArray[np.int64]:
    """Return the tenth of the rows that each belongs to by its probability (rows,)."""
    rank = np.argsort(np.argsort(probability, kind="stable"), kind="stable")
    return (rank * 10 // max(len(rank), 1)).astype(np.int64)


def _users(scenario: Scenario) -> NDArray[np.int64]:
    return pd.factorize(scenario.requests.frame["user_id"])[0].astype("int64")
