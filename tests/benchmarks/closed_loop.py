"""The closed loop: train, gates, deploy, quotes, outcomes and train again, week after week, where the truth is known.

    .venv/bin/python -m tests.benchmarks.closed_loop --results results --seeds 3

It is the real path: the flows `train` and `deploy`, an embedded Postgres, `pricing.quote`, `pricing.record_event`,
`pricing.record_outcome`, and the repricing between them; only the clock is the simulation's. The log that it starts
from is confounded and nothing of it was randomised. A seed that is done is not run again.
"""

import argparse
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evidence.price_checks import violations
from models.features.decisions import Decisions
from models.pricing.policy import PricingPolicy
from models.simulation.live_market import LiveMarket
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from tests.benchmarks.closed_loop_report import write_report
from tests.benchmarks.storefront import Storefront

logger = logging.getLogger("pricing.benchmark")
Array = NDArray[np.float64]

CURRENCY = "EUR"
WEEK = pd.Timedelta(days=7)
LOG_WEEKS = 4
POLICY = """
satisfaction_weight = 0.0

[guardrails]
minimum_margin = 0.05
maximum_markup = 0.3
maximum_discount = 0.3
maximum_step = 0.15

[exploration]
share = 0.1
dither = 0.01
"""
BOOK = """
SELECT book_id, model_version, policy FROM pricing.live JOIN pricing.books USING (book_id)
"""


@dataclass(frozen=True)
class Loop:
    """How large the loop is.

    Args:
        users, products: of the marketplace.
        logged: offers a product in the log.
        weekly: offers a product in a week of quotes.
        cycles: weeks of quotes.
        cost_percent: of the goods' costs; at 0 profit is revenue, which is what Thompson sampling is published for.

    """

    users: int = 2_000
    products: int = 20
    logged: int = 500
    weekly: int = 250
    cycles: int = 10
    cost_percent: int = 100

    def market(self, seed: int) -> LiveMarket:
        """Return the live market of a seed."""
        weeks = LOG_WEEKS + self.cycles
        config = MarketplaceConfig(
            users=self.users, products=self.products, offers=weeks * self.weekly * self.products, days=7 * weeks,
            randomised_share=0.0, seed=seed,
        )  # fmt: skip
        return LiveMarket.opened(with_costs(simulate(config), self.cost_percent / 100), log_days=7 * LOG_WEEKS)


def with_costs(market: Marketplace, share: float) -> Marketplace:
    """Return the marketplace whose goods cost this share of what they did; nothing else moves."""

    def cheaper(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(unit_cost=share * frame["unit_cost"])

    tables = market.tables | {name: cheaper(market.tables[name]) for name in ("products", "offers")}
    return replace(market, tables=tables, log=replace(market.log, frame=cheaper(market.log.frame)))


def policy() -> PricingPolicy:
    """Return the loop's policy."""
    return PricingPolicy.from_toml(POLICY, "the closed loop")


def unrandomised(offers: pd.DataFrame, kept: int, seed: int) -> pd.DataFrame:
    """Return so many of the logged offers, as a shop has them that draws no price: without any density."""
    thinned = offers.sample(min(kept, len(offers)), random_state=seed).sort_index()
    return thinned.assign(randomised=False, propensity=np.nan).reset_index(drop=True)


def write_tables(live: LiveMarket, until: pd.Timestamp, logged: int, folder: Path) -> None:
    """Write what the shop's own tables hold at a moment; what the storefront records is in the database."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = live.tables(until)
    tables["offers"] = unrandomised(tables["offers"], logged, live.market.config.seed)
    tables["products"] = tables["products"].assign(image=_pictures(live.market))
    for name, frame in tables.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)


def _pictures(market: Marketplace) -> list[bytes | None]:
    from PIL import Image

    files: list[bytes | None] = []
    for product in market.tables["products"]["product_id"]:
        file = io.BytesIO()
        if product in market.images:
            Image.fromarray(market.images[product]).save(file, format="PNG")
        files.append(file.getvalue() or None)
    return files


def measure(market: Marketplace, visits: Decisions, quotes: pd.DataFrame, rules: PricingPolicy) -> dict[str, float]:
    """Return what the truth makes of the prices quoted (rows,), and of the best ones within three sets of limits.

    `held` are the intervals that each quote was held to, steps included; `policy` the policy's own limits without the
    step or a cold start; `open` the tables' floor and ceiling alone; `uniform` one price a product within `policy`.
    Money is expected, over every shock that may come.
    """
    list_price, cost = visits.list_price, visits.frame["unit_cost"].to_numpy("float64")
    quoted = quotes["price"].to_numpy("float64") / list_price
    held = tuple(np.where(quotes[side].isna(), quoted, quotes[side] / list_price) for side in ("lower", "upper"))
    best = {
        "held": market.best_ratio(visits, cost, (held[0], held[1])),
        "policy": market.best_ratio(visits, cost, policy_bounds(market, visits, policy())),
        "open": market.oracle(visits),
        "uniform": market.best_uniform_ratio(visits, policy_bounds(market, visits, policy())),
    }
    earned = market.profit(visits, quoted).sum()
    taken = revenue(market, visits, quoted)
    dearest = market.best_ratio(visits, np.zeros(len(visits)), policy_bounds(market, visits, policy()))
    figures = {f"profit_of_{name}": float(earned / market.profit(visits, ratio).sum()) for name, ratio in best.items()}
    return figures | {
        "profit": float(earned),
        "list_price_of_policy": float(
            market.profit(visits, np.ones(len(visits))).sum() / market.profit(visits, best["policy"]).sum()
        ),
        "revenue_of_policy": taken / revenue(market, visits, best["policy"]),
        "revenue_of_uniform": taken / revenue(market, visits, best["uniform"]),
        "revenue_of_dearest": taken / revenue(market, visits, dearest),
        "randomised": float(quotes["randomised"].mean()),
        "with_density": float(quotes["propensity"].notna().mean()),
        "personal": float((quotes["source"] == "personal").mean()),
        "violations": float(broken(quotes, rules)),
        "quotes": float(len(quotes)),
        "bought": float(quotes["purchased"].mean()),
    }


def policy_bounds(market: Marketplace, visits: Decisions, rules: PricingPolicy) -> tuple[Array, Array]:
    """Return the lowest and highest ratio (rows,), (rows,) that the policy's lasting limits and the tables allow."""
    rails, (lower, upper) = rules.guardrails, market.bounds(visits)
    cost = visits.frame["unit_cost"].to_numpy("float64") / visits.list_price
    assert rails.minimum_margin is not None and rails.maximum_discount is not None and rails.maximum_markup is not None
    lowest = np.maximum(lower, np.maximum(cost * (1 + rails.minimum_margin), 1 - rails.maximum_discount))
    return lowest, np.minimum(upper, 1 + rails.maximum_markup)


def broken(quotes: pd.DataFrame, rules: PricingPolicy) -> int:
    """Count the quotes beyond a rule of the live policy, their logged interval, or a step from the price before."""
    sold = quotes[quotes["source"] != "list"].assign(refused=None)
    rails, live = rules.guardrails, sold["live_price"]
    outside = (sold["price"] < sold["lower"]) | (sold["price"] > sold["upper"])
    step = rails.maximum_step if rails.maximum_step is not None else np.inf
    # Where floor or ceiling have moved past the step, they come first; they do not move here.
    far = (sold["price"] - live).abs() > step * live * (1 + 1e-9) + 0.01
    return int(violations(sold, sold, rules, CURRENCY).to_numpy().sum()) + int(outside.sum()) + int(far.sum())


def revenue(market: Marketplace, visits: Decisions, ratio: Array) -> float:
    """Return the true expected revenue, in money, of price / list price (rows,)."""
    return float((ratio * visits.list_price * market.purchase_probability(visits, ratio)).sum())


@dataclass(frozen=True)
class Platform:
    """The platform in a home of its own."""

    folder: Path
    policy: Path

    def learn(self) -> dict[str, Any]:
        """Train on all there is, put the version to its gates, and live if it passes; else the champion prices anew.

        Where there is no champion either, nothing is live and the shop goes on with prices of its own.
        """
        from flows.deploy import DeployParameters, deploy
        from flows.train import TrainParameters, train
        from models.demand.training import SMALL_LOG_TRAINING
        from tasks.registry.promote import GateError
        from tasks.registry.versions import champion_of
        from tasks.sources import SourceParameters
        from tasks.training.fit import Recipe

        source = SourceParameters(kind="files", path=self.folder, currency=CURRENCY)
        # Half of a week's quotes judge a version, a quarter stop and correct it, and the rest is learnt from.
        recipe = Recipe(holdout_days=3.5, validation_days=1.75, training=SMALL_LOG_TRAINING)
        started = time.perf_counter()
        version = train(TrainParameters(source=source, policy=str(self.policy), recipe=recipe))
        trained = time.perf_counter()
        failed = ""
        try:
            deploy(DeployParameters(version=str(version.version)))
        except GateError as error:
            failed = str(error)
            if champion_of(version.dataset) is not None:
                deploy(DeployParameters(version="champion"))
        figures = version.metrics()
        kept = {name: figures[name] for name in FIGURES if name in figures}
        seconds = {"train_seconds": trained - started, "deploy_seconds": time.perf_counter() - trained}
        return kept | seconds | {"version": version.version, "promoted": not failed, "failed": failed}


FIGURES = (
    "price_slope_on_randomised", "off_policy_uplift", "off_policy_uplift_low", "off_policy_uplift_high",
    "off_policy_effective_sample", "off_policy_coverage", "off_policy_mean_weight_gap", "off_policy_offers",
    "off_policy_profit_before", "tried_lowest", "tried_highest", "log_loss", "ece_low",
)  # fmt: skip


def own_prices(visits: Decisions) -> pd.DataFrame:
    """Return what a shop without a book would have charged, and what came of it, in the form of quotes."""
    quotes = visits.frame[["decision_id", "price", "list_price", "unit_cost", "floor", "ceiling", "purchased"]]
    return quotes.assign(
        lower=np.nan, upper=np.nan, live_price=np.nan, randomised=False, propensity=np.nan, source="list"
    )


def run_seed(loop: Loop, seed: int, home: Path) -> Iterator[dict[str, Any]]:
    """Run all cycles of one seed in a home; the process's environment must be that home's."""
    from tasks.database import database_url, migrate, read_rows, transaction
    from tasks.settings import Settings

    url = database_url(Settings())
    migrate(url)
    live = loop.market(seed)
    (home / "policy.toml").write_text(POLICY)
    platform, shop = Platform(home / "shop", home / "policy.toml"), Storefront(live, url)
    log, learnt, quoted = loop.logged * loop.products, loop.logged * loop.products, 0
    opens_at = live.opens_at
    for number in range(loop.cycles):
        started, since = time.perf_counter(), opens_at + number * WEEK
        write_tables(live, since, log, home / "shop")
        found = platform.learn()
        with transaction(url) as connection:
            books = read_rows(connection, BOOK)
        opened, visits = time.perf_counter(), live.visits(since, since + WEEK)
        if books:
            rules, quotes = PricingPolicy.from_mapping(books[0]["policy"], "the book"), shop.open(since, since + WEEK)
        else:  # the week becomes part of the log
            rules, quotes, live, log = (
                policy(),
                own_prices(visits),
                replace(live, opens_at=since + WEEK),
                log + len(visits),
            )
            shop = replace(shop, live=live)
        found |= {"storefront_seconds": time.perf_counter() - opened} | measure(live.market, visits, quotes, rules)
        found |= {
            "seed": seed, "cycle": number, "live_version": books[0]["model_version"] if books else 0,
            "cold_start": rules != policy(), "seconds": time.perf_counter() - started,
            "learnt_a_product": learnt / loop.products, "quoted_a_product": quoted / loop.products,
        }  # fmt: skip
        learnt, quoted = learnt + len(quotes), quoted + len(quotes) * bool(books)
        logger.warning("%s", line(found))
        yield found


def line(found: dict[str, Any]) -> str:
    """Return a cycle in one line."""
    return (
        f"seed {found['seed']}, cycle {found['cycle']}: {found['profit_of_policy']:.1%} of the best profit within the "
        f"policy ({found['profit_of_held']:.1%} held, {found['profit_of_open']:.1%} open), s2 "
        f"{found.get('price_slope_on_randomised', float('nan')):.2f}, {found['randomised']:.1%} randomised, "
        f"{found['violations']:.0f} violations, {'promoted' if found['promoted'] else found['failed']}; "
        f"{found['seconds']:.0f} s"
    )


def in_home(loop: Loop, seed: int, home: Path, file: Path) -> None:
    """What one process does: a seed from an empty home to its records."""
    from tasks.servers.environment import environment
    from tasks.servers.postgres import ensure_running, stop
    from tasks.settings import Settings

    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    os.environ["PRICING_HOME"] = str(home)
    try:
        ensure_running(home)
        os.environ |= environment(Settings())
        cycles = []
        for cycle in run_seed(loop, seed, home):
            cycles.append(cycle)
            file.write_text(json.dumps({"loop": asdict(loop), "cycles": cycles}, indent=1))
    finally:
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


def is_done(file: Path, loop: Loop) -> bool:
    """Tell whether a file has all cycles of a loop of this size."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    return kept.get("loop") == asdict(loop) and len(kept["cycles"]) == loop.cycles


def main() -> None:
    """Run the seeds that are not done, each in a process of its own, and write the report."""
    parser = argparse.ArgumentParser(description="The closed loop on a marketplace whose truth is known.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    for name, value in asdict(Loop()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--only", type=int, help="run this seed alone, in this process")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    loop = replace(Loop(), **{name: getattr(arguments, name) for name in asdict(Loop())})
    folder = (arguments.results / "closed_loop").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.only is not None:
        in_home(loop, arguments.only, folder / f"home-{arguments.only}", folder / f"seed-{arguments.only}.json")
        return
    for seed in range(arguments.seeds):
        file = folder / f"seed-{seed}.json"
        if not is_done(file, loop):
            subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.closed_loop", *sys.argv[1:], "--only", str(seed)], check=True
            )
    done = [json.loads((folder / f"seed-{seed}.json").read_text())["cycles"] for seed in range(arguments.seeds)]
    write_report(pd.DataFrame([cycle for cycles in done for cycle in cycles]), arguments.results / "report")


if __name__ == "__main__":
    main()
