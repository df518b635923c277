"""How fast users x products are scored and priced once the towers have run, beside what the machine could at most do.

    python -m tests.benchmarks.scoring_speed --results results [--users 20000] [--products 2000]

The limit of the same run is the matrix products alone: the least that any two-tower model computes for a pair.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from models.demand.fitted import fit_demand
from models.demand.network import DemandConfig
from models.demand.scoring import PairScorer, ProductTerms, best_prices
from models.demand.training import TrainingConfig
from models.features.decisions import Decisions
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate

logger = logging.getLogger("pricing.benchmark")

THREADS = 2
SECONDS = 10.0  # of each measurement


def main() -> None:
    """Measure and write `scoring_speed.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--products", type=int, default=2_000)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(THREADS)
    found = measured(MarketplaceConfig(users=arguments.users, products=arguments.products, offers=80_000))
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "scoring_speed.json").write_text(json.dumps(found, indent=2))
    logger.info("%s", json.dumps(found, indent=2))


def measured(config: MarketplaceConfig) -> dict[str, Any]:
    """Return the towers' seconds, then pairs a second scored, priced, and at the limit."""
    market = simulate(config)
    log = market.log
    training, validation = log.select(np.arange(len(log) // 2)), log.select(np.arange(len(log) // 2, len(log)))
    brief = TrainingConfig(epochs=1)  # what the weights are does not change the speed
    fitted, _ = fit_demand(training, validation, DemandConfig(), brief, torch.device("cpu"))
    users, products = each_once(market)
    list_price, unit_cost = (products.frame[name].to_numpy("float64") for name in ("list_price", "unit_cost"))
    terms = ProductTerms.of(list_price, unit_cost, 0.7 * list_price, list_price)
    started = time.perf_counter()
    scorer = PairScorer.of(fitted, users, products)
    towers = time.perf_counter() - started
    blocks = list(scorer.blocks())
    size = len(users) * len(products) / len(blocks)
    queries, keys = scorer.tables[0]
    return {
        "users": len(users),
        "products": len(products),
        "tower_seconds": round(towers, 2),
        "scored_pairs_per_second": _rate(scorer.curves, blocks, size),
        "priced_pairs_per_second": _rate(lambda block: best_prices(scorer.curves(block), terms), blocks, size),
        "limit_pairs_per_second": _rate(lambda block: queries[:, block] @ keys.mT, blocks, size),
        "threads": THREADS,
    }


def each_once(market: Marketplace) -> tuple[Decisions, Decisions]:
    """Return one request of each user, and each product asked for by nobody in particular."""
    requests = market.requests
    users = requests.select(~requests.frame["user_id"].duplicated().to_numpy())
    offered = requests.frame.drop_duplicates("product_id").reset_index(drop=True)
    blank = {name: np.nan for name in offered if str(name).startswith(("pair_", "activity_"))}
    counts = {name: 0.0 for name in blank if name.endswith(("_events", "_purchases"))}
    nobody = offered.assign(**(blank | counts), consent=False, events_start=0, events_end=0)
    return users, Decisions(pd.DataFrame(nobody), requests.events, requests.content)


def _rate(step: Callable[[slice], object], blocks: list[slice], pairs: float) -> int:
    """Pairs a second of a step repeated over the blocks for a while, the first of them not counted."""
    step(blocks[0])
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        step(blocks[done % len(blocks)])
        done += 1
    return round(done * pairs / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
