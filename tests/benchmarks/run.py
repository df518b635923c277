"""Runs the benchmark: every cell not yet in the results folder, then the report over all that are.

    python -m tests.benchmarks.run --results .pricing/benchmark

It can be stopped at any time and goes on where it was.
"""

import argparse
import logging
import time
import warnings
from pathlib import Path
from typing import Any

from tests.benchmarks.experiments import DOMAINS, EXPERIMENTS, Cell, Size, cells, run
from tests.benchmarks.methods import METHODS
from tests.benchmarks.plots import write_plots
from tests.benchmarks.report import write_report
from tests.benchmarks.results import Results
from tests.benchmarks.tracking import log_report

logger = logging.getLogger("pricing.benchmark")


def main() -> None:
    """Run the cells that are missing and write the report."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("httpx", "mlflow", "alembic", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")  # of the peers' packages
    size = Size(arguments.users, arguments.products, arguments.offers)
    results = Results(arguments.results)
    wanted = cells(arguments.only, arguments.domains, arguments.seeds)
    chosen = [cell for cell in wanted if cell.method in arguments.methods]
    run_missing(results, chosen, size)
    records = results.records(size)
    report = arguments.results / "report"
    summary = write_report(records, size, report)
    write_plots(records, size, report)
    logger.info("report in %s", report)
    logger.info("logged to %s", log_report(summary, size, arguments.results, report))


def run_missing(results: Results, wanted: list[Cell], size: Size) -> None:
    """Run what is not done yet, with a line a cell."""
    missing = results.missing(wanted, size)
    logger.info("%d cells, %d of them already done", len(wanted), len(wanted) - len(missing))
    for number, cell in enumerate(missing, start=1):
        started = time.perf_counter()
        record = run(cell, size, results.folder / "embeddings")
        results.append(record)
        name = " ".join(filter(None, (cell.experiment, cell.setting, cell.domain, f"seed {cell.seed}", cell.method)))
        seconds = time.perf_counter() - started
        logger.info("%d/%d %s: %s, %.0f s", number, len(missing), name, _outcome(record), seconds)


def _outcome(record: dict[str, Any]) -> str:
    if record["status"] != "ok":
        return f"{record['status']} ({record['error']})"
    measures = record["measures"]
    regret = f"regret {100 * measures['regret'][0]:.1f} %"
    return f"{regret}, WMAPE {measures['wmape'][0]:.3f}" if "wmape" in measures else regret


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Our demand model and its peers on marketplaces whose truth is known.")
    size = Size()
    parser.add_argument("--results", type=Path, required=True, help="folder of the cells done and of the report")
    parser.add_argument("--domains", nargs="+", choices=DOMAINS, default=DOMAINS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=EXPERIMENTS, metavar="EXPERIMENT")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--users", type=int, default=size.users)
    parser.add_argument("--products", type=int, default=size.products)
    parser.add_argument("--offers", type=int, default=size.offers)
    return parser.parse_args()


if __name__ == "__main__":
    main()
