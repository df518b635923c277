"""The cells of the benchmark, in the order they are run, and what one cell is."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from models.simulation.domains import Domain
from models.simulation.marketplace import MarketplaceConfig
from tests.benchmarks.curves import best_ratio
from tests.benchmarks.measures import calibration, examples, price_measures, response_measures, wmape_limits
from tests.benchmarks.methods import FITTED, METHODS, OURS, VARIANTS
from tests.benchmarks.ours import without_image, without_instrument, without_sequence, without_text
from tests.benchmarks.scenario import Scenario, load_scenario, of_new_products, thinned
from tests.benchmarks.simple_prices import SIMPLE_PRICES

logger = logging.getLogger("pricing.benchmark")

Experiment = Literal[
    "main", "unconfounded", "ablation", "randomised_share", "training_size", "new_products", "large_catalogue"
]
EXPERIMENTS: tuple[Experiment, ...] = get_args(Experiment)
DOMAINS: tuple[Domain, ...] = ("ecommerce", "hotel", "finance", "automobile")
CHANGES: dict[str, Callable[[Scenario], Scenario]] = {
    "no text": lambda scenario: scenario.changed(without_text),
    "no image": lambda scenario: scenario.changed(without_image),
    "no text or image": lambda scenario: scenario.changed(without_text).changed(without_image),
    "no sequence": lambda scenario: scenario.changed(without_sequence),
    "no control function": lambda scenario: scenario.changed(without_instrument),
}
ABLATIONS = ("no text", "no image", "no sequence", "no control function", "no recalibration")
RANDOMISED_SHARES = ("0", "0.02", "0.05", "0.2")  # beside the main experiment's
TRAINING_SHARES = ("0.125", "0.25", "0.5")  # of the main experiment's offers
CURVE_METHODS = (OURS, "logit", "lightgbm_monotone")  # followed along shares and sizes
# Where offers do not tell what a product is: products that were never offered, and a catalogue of many.
NEW_SHARE, LARGE_CATALOGUE = 0.25, 1_000
CONTENT_EXPERIMENTS: tuple[Experiment, ...] = ("new_products", "large_catalogue")
CONTENT_ABLATIONS = ("", "no text", "no image", "no text or image")
CONTENT_PEERS = ("lightgbm_monotone", "linear_dml", "best_uniform")  # the strongest that read the same vectors


@dataclass(frozen=True)
class Cell:
    """One method on one marketplace under one setting."""

    experiment: Experiment
    setting: str
    domain: Domain
    seed: int
    method: str


@dataclass(frozen=True)
class Size:
    """How large the simulated marketplaces are."""

    users: int = 4_000
    products: int = 60
    offers: int = 80_000


def cells(experiments: Iterable[str], domains: Iterable[Domain], seeds: Iterable[int]) -> list[Cell]:
    """Return all cells: the main table seed by seed, its twin, then what the first seed alone is asked for."""
    wanted, domains, seeds = set(experiments), list(domains), list(seeds)
    first, later = seeds[:1], seeds[1:]
    parts = [
        *_over("main", [""], domains, seeds, METHODS),
        *_over("unconfounded", [""], domains, seeds, CURVE_METHODS),
        *_over("ablation", ABLATIONS, domains, first, [OURS]),
        *_over("randomised_share", RANDOMISED_SHARES, domains, first, CURVE_METHODS),
        *_over("training_size", TRAINING_SHARES, domains, first, CURVE_METHODS),
        *_over("ablation", ABLATIONS, domains, later, [OURS]),
        *(cell for experiment in CONTENT_EXPERIMENTS for cell in _content(experiment, domains, seeds)),
    ]
    return [cell for cell in parts if cell.experiment in wanted]


def run(cell: Cell, size: Size, cache: Path) -> dict[str, Any]:
    """Return the record of one cell: what was asked, how it went, and what was measured.

    A method that fails, or whose package is not here, is a result as well: the record says so.
    """
    scenario = _scenario(cell, size, cache)
    try:
        found = {"status": "ok"} | _measure(cell, scenario)
    except ModuleNotFoundError as error:
        found = {"status": "not installed", "error": str(error)}
    except Exception as error:  # whatever a peer's package raises is that peer's result
        logger.exception("%s failed", cell.method)
        found = {"status": "failed", "error": f"{type(error).__name__}: {error}"[:500]}
    return asdict(cell) | asdict(size) | found


def _measure(cell: Cell, scenario: Scenario) -> dict[str, Any]:
    started = time.perf_counter()
    if cell.method in SIMPLE_PRICES:
        ratio = SIMPLE_PRICES[cell.method](scenario)
        seconds = {"fit_seconds": 0.0, "price_seconds": time.perf_counter() - started}
        return _record(price_measures(ratio, scenario), seconds)
    if cell.method != OURS:
        _ = scenario.tabular  # shared by the methods that read tables, so charged to none of them
    fitting = time.perf_counter()
    name = "uncorrected_demand_model" if cell.setting == "no recalibration" else cell.method
    fitted = (FITTED | VARIANTS)[name].fit(scenario)
    pricing = time.perf_counter()
    curves = fitted.curves(scenario)
    ratio = best_ratio(curves, scenario)
    seconds = {"fit_seconds": pricing - fitting, "price_seconds": time.perf_counter() - pricing}
    record = _record(price_measures(ratio, scenario) | response_measures(curves, scenario), seconds)
    if cell.experiment == "main" and cell.method == OURS:
        record["measures"] |= {name: list(estimate) for name, estimate in wmape_limits(scenario).items()}
    if cell.experiment == "main":
        record |= {"examples": examples(curves, scenario), "calibration": calibration(curves, scenario)}
    return record


def _record(measures: dict[str, Any], seconds: dict[str, float]) -> dict[str, Any]:
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    return {"measures": {name: list(estimate) for name, estimate in measures.items()}, **rounded}


def _scenario(cell: Cell, size: Size, cache: Path) -> Scenario:
    config = MarketplaceConfig(domain=cell.domain, seed=cell.seed, **asdict(size))
    if cell.experiment == "unconfounded":
        config = replace(config, confounded=False)
    if cell.experiment == "randomised_share":
        config = replace(config, randomised_share=float(cell.setting))
    if cell.experiment == "new_products":
        config = replace(config, new_share=NEW_SHARE)
    if cell.experiment == "large_catalogue":
        config = replace(config, products=LARGE_CATALOGUE)
    scenario = _loaded(config, cache)
    if cell.experiment == "new_products":
        scenario = of_new_products(scenario)
    if cell.experiment == "training_size":
        return thinned(scenario, round(float(cell.setting) * size.offers))
    change = CHANGES.get(cell.setting)
    return change(scenario) if change else scenario


@lru_cache(maxsize=1)  # neighbouring cells ask for the same one
def _loaded(config: MarketplaceConfig, cache: Path) -> Scenario:
    started = time.perf_counter()
    scenario = load_scenario(config, cache)
    logger.info("%s, seed %d: simulated in %.0f s", config.domain, config.seed, time.perf_counter() - started)
    return scenario


def _content(experiment: Experiment, domains: list[Domain], seeds: list[int]) -> Iterator[Cell]:
    """Give our method with and without texts and images, then its peers, a marketplace at a time."""
    for seed, domain in product(seeds, domains):
        yield from _over(experiment, CONTENT_ABLATIONS, [domain], [seed], [OURS])
        yield from _over(experiment, [""], [domain], [seed], CONTENT_PEERS)


def _over(
    experiment: Experiment,
    settings: Iterable[str],
    domains: Iterable[Domain],
    seeds: Iterable[int],
    methods: Iterable[str],
) -> Iterator[Cell]:
    for seed, domain, setting, method in product(seeds, domains, settings, methods):
        yield Cell(experiment, setting, domain, seed, method)
