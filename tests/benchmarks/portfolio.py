"""Prices of many rows under limits on all of them: our price book beside price-contour, and ours at full size.

    python -m tests.benchmarks.portfolio --results .pricing/benchmark

Both get the same curves, costs and range of prices and one least volume. price-contour picks from a grid of prices,
which it needs scored beforehand; ours has closed-form prices and cents. Each solver runs in a process of its own, so
that its peak memory is its own; the memory is that of the whole process.
"""

import argparse
import json
import logging
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.demand_curve import DemandCurve
from models.pricing.book_request import BookRequest
from models.pricing.objective import Objective
from models.pricing.policy import Guardrails, PricingPolicy
from models.pricing.policy import Portfolio as Limits
from models.pricing.portfolio import NO_POOL, Offer, Portfolio, PriceResponse, solve
from models.pricing.price_book import price_book
from models.pricing.shadow_prices import ChargedObjective, ShadowPrices

logger = logging.getLogger("pricing.benchmark")
Array = NDArray[np.float64]

LOWEST, HIGHEST = 0.5, 1.5  # of the list price
PATIENT_ITERATIONS = 2_000  # price-contour's own limit is 50
GRID_STEPS = 51  # prices a row that price-contour chooses from
MORE_VOLUME = 1.15  # than the most profitable prices sell
STOCK_SHARE = (0.5, 1.3)  # of what a pool would sell at the most profitable prices
_MEBIBYTE = 1024  # kibibytes, the unit of Linux's ru_maxrss


@dataclass(frozen=True)
class Problem:
    """Rows with known curves; `pool` is NO_POOL everywhere where there are no pools."""

    list_price: Array
    unit_cost: Array
    curve: DemandCurve
    pool: NDArray[np.int64]
    pools: int

    @classmethod
    def draw(cls, rows: int, pools: int = 0, seed: int = 0) -> "Problem":
        rng = np.random.default_rng(seed)
        list_price = np.round(rng.uniform(20, 300, rows), 2)
        unit_cost = np.round(list_price * rng.uniform(0.3, 0.7, rows), 2)
        curve = DemandCurve(rng.uniform(2, 8, rows), rng.uniform(0.3, 1.3, rows))
        pool = rng.integers(0, pools, rows) if pools else np.full(rows, NO_POOL)
        return cls(list_price, unit_cost, curve, pool.astype(np.int64), pools)

    @property
    def objective(self) -> Objective:
        return Objective(self.curve, self.list_price, self.unit_cost)

    def best_prices(self, shadow: ShadowPrices) -> Array:
        charged = ChargedObjective(self.objective, shadow).optimum()
        return np.clip(charged, LOWEST * self.list_price, HIGHEST * self.list_price)

    def sales(self, price: Array) -> Array:
        return self.curve.purchase_probability(price / self.list_price)

    @property
    def least_volume(self) -> float:
        return float(MORE_VOLUME * self.sales(self.best_prices(ShadowPrices())).sum())

    @property
    def stock(self) -> Array:
        free = np.bincount(self.pool, self.sales(self.best_prices(ShadowPrices())), self.pools)
        return free * np.random.default_rng(1).uniform(*STOCK_SHARE, self.pools)


@dataclass(frozen=True)
class Run:
    """What a solver reached. `slack` is the worst one as a share of its limit, negative where a limit is broken."""

    solver: str
    rows: int
    limits: str
    prepare_seconds: float
    solve_seconds: float
    objective: float
    slack: float
    duality_gap: float | None
    peak_mebibytes: int


def ours_with_volume(rows: int) -> Run:
    """The price book of one least volume: uniform and personal prices to the cent, reasons and certificate."""
    problem = Problem.draw(rows)
    return _price_book(problem, Limits(minimum_volume=problem.least_volume), "one least volume")


def ours_with_stock(rows: int, pools: int = 1_000) -> Run:
    """The price book of many stock pools."""
    return _price_book(Problem.draw(rows, pools), Limits(), f"{pools:,} stock pools")


def ours_without_book(rows: int, pools: int = 1_000) -> Run:
    """Our solver alone on the same pools: bid prices and real prices, without cents, reasons and uniform prices."""
    problem = Problem.draw(rows, pools)
    portfolio = Portfolio(problem.objective, np.ones(rows), problem.pool, problem.stock)

    def admissible(shadow: ShadowPrices) -> Offer:
        prices = problem.best_prices(shadow)
        return Offer(prices, prices)

    started = time.perf_counter()
    found = solve([(portfolio, PriceResponse(problem.best_prices, admissible))], [str(pool) for pool in range(pools)])
    seconds = time.perf_counter() - started
    slack = min(state.slack / state.limit for state in found.states)
    gap = found.duality_gap
    return Run("ours, solver alone", rows, f"{pools:,} stock pools", 0.0, seconds, found.objective, slack, gap, _peak())


def contour_with_volume(rows: int) -> Run:
    """price-contour's online optimiser with its own limit of iterations."""
    return _contour(rows, {})


def patient_contour_with_volume(rows: int) -> Run:
    """The same with as many iterations as it may need."""
    return _contour(rows, {"max_iter": PATIENT_ITERATIONS})


def _contour(rows: int, options: dict[str, int]) -> Run:
    """Score the grid of prices, which is its preparing, and solve."""
    import polars as pl
    import price_contour

    problem = Problem.draw(rows)
    started = time.perf_counter()
    steps = np.linspace(LOWEST, HIGHEST, GRID_STEPS)
    price = steps[:, None] * problem.list_price
    volume = problem.sales(price)
    profit = (price - problem.unit_cost) * volume
    scored = pl.DataFrame(
        {
            "quote_id": np.repeat(np.arange(rows), GRID_STEPS).astype(str),
            "scenario_index": np.tile(np.arange(GRID_STEPS, dtype="int32"), rows),
            "scenario_value": np.tile(steps.astype("float32"), rows),
            "profit": profit.T.ravel().astype("float32"),
            "volume": volume.T.ravel().astype("float32"),
        }
    )
    solving = time.perf_counter()
    least = {"volume": {"min": problem.least_volume}}
    optimiser = price_contour.OnlineOptimiser(objective="profit", constraints=least, **options)
    found = optimiser.solve(scored)
    done = time.perf_counter()
    slack = found.total_constraints["volume"] / problem.least_volume - 1
    ending = "converged" if found.converged else "not converged"
    return Run(
        f"price-contour {price_contour.__version__}, {ending} in {found.iterations} iterations",
        rows,
        "one least volume",
        solving - started,
        done - solving,
        found.total_objective,
        slack,
        None,
        _peak(),
    )


def markdown(runs: list[Run]) -> str:
    """Return the runs as one table."""
    lines = [
        "| solver | rows | limits | prepare s | solve s | objective | worst slack | duality gap | peak MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        gap = "" if run.duality_gap is None else f"{run.duality_gap:.1e}"
        seconds = f"{run.prepare_seconds:.1f} | {run.solve_seconds:.2f}"
        reached = f"{run.objective:,.0f} | {run.slack:+.4%} | {gap} | {run.peak_mebibytes:,}"
        lines.append(f"| {run.solver} | {run.rows:,} | {run.limits} | {seconds} | {reached} |")
    return "# Prices under limits on all of them\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Run every solver and write `portfolio.md` and `portfolio.json`."""
    parser = argparse.ArgumentParser(description="Prices under portfolio limits: ours beside price-contour.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the comparison")
    parser.add_argument("--most-rows", type=int, default=1_000_000, help="rows of our stock pools")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    wanted: list[tuple[Callable[[int], Run], int]] = [
        (ours_with_volume, arguments.rows),
        (contour_with_volume, arguments.rows),
        (patient_contour_with_volume, arguments.rows),
        (ours_without_book, arguments.most_rows),
        (ours_with_stock, arguments.most_rows),
    ]
    runs = [run for solver, rows in wanted if (run := _alone(solver, rows))]
    folder = arguments.results / "report"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "portfolio.json").write_text(json.dumps([asdict(run) for run in runs], indent=1))
    (folder / "portfolio.md").write_text(markdown(runs))
    logger.info("report in %s", folder / "portfolio.md")


def _price_book(problem: Problem, limits: Limits, name: str) -> Run:
    decisions = pd.DataFrame(
        {
            "user_id": np.arange(len(problem.pool)).astype(str),
            "product_id": "product",
            "list_price": problem.list_price,
            "unit_cost": problem.unit_cost,
            "floor": np.nan,
            "ceiling": np.nan,
            "consent": True,
        }
    )
    remaining: dict[str, float] = {}
    if problem.pools:
        names = np.array([f"pool-{number}" for number in range(problem.pools)], dtype=object)
        decisions["pool_id"] = names[problem.pool]
        remaining = dict(zip(names.tolist(), problem.stock.tolist(), strict=True))
    rails = Guardrails(maximum_discount=1 - LOWEST, maximum_markup=HIGHEST - 1)
    policy = PricingPolicy(guardrails=rails, portfolio=limits)
    request = BookRequest(decisions, problem.curve, problem.curve, policy, "EUR", remaining=remaining)
    started = time.perf_counter()
    found = price_book(request).certificate
    seconds = time.perf_counter() - started
    slack = min(state.slack / state.limit for state in found.constraints)
    rows, gap = len(decisions), found.duality_gap
    return Run("ours, whole price book", rows, name, 0.0, seconds, found.objective, slack, gap, _peak())


def _alone(solver: Callable[[int], Run], rows: int) -> Run | None:
    """Run a solver in a fresh process; one whose package is missing is left out, and said to be."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            run = process.submit(solver, rows).result()
        except ModuleNotFoundError as error:
            logger.warning("%s left out: %s", solver.__name__, error)
            return None
    logger.info("%s, %s rows: %.2f s, slack %+.4f %%", run.solver, f"{rows:,}", run.solve_seconds, 100 * run.slack)
    return run


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MEBIBYTE


if __name__ == "__main__":
    main()
