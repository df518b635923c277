r"""How the blocks of users scale over worker processes: features extracted, candidates scored, by one and by more.

    PREFECT_HOME=results/prefect PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=120 \
        .venv/bin/python -m tests.benchmarks.scaling --home results/scaling_home --results results \
        [--users 16000] [--users-a-block 4000] [--processes 1 2]

Postgres runs beside the workers on the same cores. The processes are up and warm before the clock starts, and the
counts are measured in turns, the best of the rounds each, since other work on the machine only ever adds to a time.
Beside each time stand the processor seconds that the workers, the coordinating process and Postgres spent on it, which
hold on a machine that is busy otherwise too. Settling and writing the book is done by the coordinating process alone.
"""

import argparse
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distributed import Client, LocalCluster
from prefect import flow, task

import tasks.books.candidates
import tasks.books.choose
import tasks.training.extract
from models.demand.fitted import FittedDemand, fit_demand
from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig
from models.pricing.presets import PRESETS
from models.simulation.marketplace import MarketplaceConfig, simulate
from tasks.books.choose import choose_candidates
from tasks.books.price import price
from tasks.books.score import score_candidates
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.data.snapshots import Snapshot, take_snapshot
from tasks.database import database_url, migrate, transaction
from tasks.registry.model_store import load_demand, save_demand
from tasks.registry.promote import Promotion
from tasks.registry.versions import RegisteredDemand
from tasks.runners import for_each_block
from tasks.servers.postgres import stop
from tasks.settings import Settings
from tasks.training.extract import cut_offers, extract_block
from tests.benchmarks.scaling_plot import gains, write_curve

logger = logging.getLogger("pricing.benchmark")


@dataclass(frozen=True)
class Registered(RegisteredDemand):
    """A model in a folder, with no registry."""

    folder: Path = Path()

    def demand(self) -> FittedDemand:
        """Return the model."""
        return load_demand(self.folder)


@task
def warm(number: int, nothing: None) -> int:
    """Import what the blocks need."""
    time.sleep(1)  # so that every worker gets one
    return number


@flow
def measured(promotion: Promotion, processes: int) -> dict[str, float]:
    """Seconds of each part, with the workers that PRICING_DASK_SCHEDULER names."""
    for_each_block("distributed", warm, list(range(processes)), None)
    found: dict[str, float] = {}
    with Client(os.environ["PRICING_DASK_SCHEDULER"], set_as_default=False) as workers:
        offers = cut_offers(promotion.snapshot)
        with clocked(found, "extract", workers):
            for_each_block("distributed", extract_block, offers, promotion.snapshot)
        with clocked(found, "choose", workers):
            chosen = choose_candidates(promotion)
        with clocked(found, "score", workers):
            scored = for_each_block("distributed", score_candidates, chosen, promotion)
        with clocked(found, "price", workers):
            priced = price(promotion, scored)
    return found | {"blocks": len(chosen), "personal_rows": priced.personal_rows}


@contextmanager
def clocked(found: dict[str, float], part: str, workers: Client) -> Iterator[None]:
    """Note how long a part takes, and the processor seconds of those who do it."""
    began, before = time.perf_counter(), spent(workers)
    yield
    found[f"{part}_seconds"] = round(time.perf_counter() - began, 2)
    for who, seconds in spent(workers).items():
        found[f"{part}_{who}_cpu_seconds"] = round(seconds - before[who], 2)


def spent(workers: Client) -> dict[str, float]:
    """Return the processor seconds so far; Postgres counts a connection when it has ended."""
    pid_file = Settings().home / "postgres" / "data" / "postmaster.pid"
    fields = Path(f"/proc/{pid_file.read_text().split()[0]}/stat").read_text().rpartition(")")[2].split()
    children = sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")  # user and system time of those that ended
    return {
        "worker": sum(workers.run(time.process_time).values()),
        "coordinator": time.process_time(),
        "postgres": children,
    }


def filled(config: MarketplaceConfig) -> Promotion:
    """Return the promotion of a briefly trained model on a simulated market that is in the database."""
    url, market = database_url(Settings()), simulate(config)
    migrate(url)
    with transaction(url) as connection:
        for name, frame in market.tables.items():
            rows = conform(frame, TABLES[name], name, first_row=1)
            copy_frame(connection, ["data", name], rows.assign(dataset="market"))
        snapshot = take_snapshot(connection, "market", "EUR", {}, datetime.now(UTC))
    log = replace(market.log, content=None)
    halves = log.select(np.arange(len(log) // 2)), log.select(np.arange(len(log) // 2, len(log)))
    fitted, _ = fit_demand(*halves, DemandConfig(), TrainingConfig(epochs=1), torch.device("cpu"))
    folder = Settings().home / "model"
    folder.mkdir(exist_ok=True)
    save_demand(fitted, folder)
    registered = Registered(1, "run", "market", folder)
    return Promotion(registered, snapshot, PRESETS["ecommerce"], cold_start=False, gates=())


def with_processes(promotion: Promotion, processes: int) -> dict[str, Any]:
    """Start so many workers, measure, and remove what was written."""
    options = {"n_workers": processes, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster:
        os.environ["PRICING_DASK_SCHEDULER"] = cluster.scheduler_address
        found = measured(promotion, processes)
    remove(promotion.snapshot)
    return found


def remove(snapshot: Snapshot) -> None:
    """Forget the extracted blocks; those of the book are gone when it is priced."""
    shutil.rmtree(Settings().home / "features" / f"{snapshot.snapshot_id}.blocks")


def main() -> None:
    """Measure and write `scaling.json` and `scaling.png`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--users", type=int, default=16_000)
    parser.add_argument("--users-a-block", type=int, default=tasks.training.extract.USERS_PER_BLOCK)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    for module in (tasks.books.candidates, tasks.books.choose, tasks.training.extract):
        vars(module)["USERS_PER_BLOCK"] = arguments.users_a_block
    os.environ["PRICING_HOME"] = str(arguments.home)
    os.environ.pop("PRICING_DATABASE_URL", None)
    config = MarketplaceConfig(users=arguments.users, products=500, offers=5 * arguments.users)
    try:
        promotion = filled(config)
        counts = arguments.processes
        rounds = [{count: with_processes(promotion, count) for count in counts} for _ in range(arguments.rounds)]
    finally:
        stop(Settings().home)
    best = {count: {name: min(one[count][name] for one in rounds) for name in rounds[0][count]} for count in counts}
    found = {
        "users": config.users, "offers": config.offers, "processes": best, "gains": gains(best), "rounds": rounds,
        "load_average": os.getloadavg(), "cores": os.cpu_count(),
    }  # fmt: skip
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "scaling.json").write_text(json.dumps(found, indent=2))
    write_curve(best, arguments.results / "scaling.png")
    print(json.dumps(found, indent=2))  # noqa: T201


if __name__ == "__main__":
    from tests.benchmarks.scaling import main as run  # by a name under which the workers find its tasks

    run()
