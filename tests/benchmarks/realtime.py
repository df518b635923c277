"""Real time under load: from an event to the live price, quotes meanwhile, and what a killed worker and database cost.

    .venv/bin/python -m tests.benchmarks.realtime --home results/realtime_home --minutes 10

A marketplace of 50,000 users is trained on and published once (a million live prices). Then, all on this machine: the
repricing worker, events at a steady rate, quotes with their outcomes, a competitor who changes the price of one product
after the other, a probe that records an event and waits until the price that has seen it is live, and pgbench, which
asks for quotes and, in the same run, for prices by key. In the middle of the run the worker and then the database are
killed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import psycopg2
from psycopg2.extensions import connection as Connection

from tasks.database import database_url
from tasks.quotes.between_books import verify_between_books
from tasks.servers.postgres import stop
from tasks.settings import Settings
from tests.benchmarks.quote_speed import OPTIONS, PAIRS, QuoteSpeed, connect, one

mpl.use("Agg")
from matplotlib import pyplot as plt

USERS = 50_000
PREPARE = """
from models.simulation.marketplace import MarketplaceConfig
from flows.train import TrainParameters, train
from flows.deploy import DeployParameters, deploy
from tasks.sources import SourceParameters
source = SourceParameters(kind="marketplace", marketplace=MarketplaceConfig(users=%d, offers=%d))
registered = train(TrainParameters(source=source, policy="ecommerce"))
deploy(DeployParameters(version=str(registered.version)))
"""
WAITING = "SELECT EXISTS (SELECT FROM pricing.reprice_queue WHERE user_id = %s AND product_id IS NULL)"
MOVED = """
INSERT INTO data.market (dataset, product_id, observed_at, competitor_price)
SELECT dataset, product_id, now(), list_price * %s FROM data.products WHERE product_id = %s
"""
WAITING_PAIRS = "SELECT EXISTS (SELECT FROM pricing.reprice_queue WHERE product_id = %s)"
MARKET_SECONDS = 60.0  # from one change to the next, at least
OUTCOME_SECONDS = 1.0  # from a quote to its outcome, at least
BREACHES = """
SELECT count(*) FILTER (WHERE price > list_price) AS above_list,
       count(*) FILTER (WHERE price > uniform_price) AS above_uniform,
       count(*) FILTER (WHERE NOT price BETWEEN lower AND upper) AS outside_interval, count(*) AS quotes
FROM pricing.quotes WHERE source IN ('personal', 'uniform')
"""


@dataclass
class Series:
    """Moments (seconds since the start) and what was measured then."""

    at: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)

    def add(self, at: float, value: float) -> None:
        self.at.append(at)
        self.value.append(value)

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.value, share)) if self.value else float("nan")


class Load:
    """What a storefront does to the database, from threads; what it was told had happened is counted."""

    def __init__(self, home: Path, seconds: float, pairs: pd.DataFrame) -> None:
        self.home, self.pairs = home, pairs
        self.began, self.ends = time.monotonic(), time.monotonic() + seconds
        self.events: list[str] = []
        self.outcomes: list[str] = []
        self.untold: deque[tuple[float, tuple[object, ...]]] = deque()
        self.quoted, self.live, self.lag, self.moved = Series(), Series(), Series(), Series()
        self.reconnections = 0

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def pair(self) -> tuple[str, str]:
        row = self.pairs.iloc[random.randrange(len(self.pairs))]
        return row["user_id"], row["product_id"]

    def calls(self, rate: float, call: Callable[[Connection], None], options: str = "") -> None:
        """Call so often a second on one connection, and again on a new one where the database goes away."""
        due = time.monotonic()
        while time.monotonic() < self.ends:
            try:
                with closing(connect(self.home, options)) as connection:
                    connection.autocommit = True
                    while time.monotonic() < self.ends:
                        call(connection)
                        due = max(due + 1 / rate, time.monotonic() - 1)
                        time.sleep(max(0.0, due - time.monotonic()))
            except psycopg2.Error:
                self.reconnections += 1
                time.sleep(0.2)

    def record_event(self, connection: Connection) -> None:
        user, product = self.pair()
        kind = random.choice(("view", "view", "view", "cart", "purchase"))
        self.events += [one(connection, "SELECT pricing.record_event(%s, %s, %s)::text", user, kind, product)]

    def quote(self, connection: Connection) -> None:
        """Ask for a price, and tell the outcomes of those asked for a while ago; what fails is told again."""
        pair, began = self.pair(), time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute("SELECT quote_id::text, price FROM pricing.quote(%s, %s)", pair)
            quote_id, price = cursor.fetchone() or ("", 0)
        self.quoted.add(self.now, time.perf_counter() - began)
        self.untold.append((self.now + OUTCOME_SECONDS, (quote_id, random.random() < 0.2, 1, *pair, price)))
        while self.untold and self.untold[0][0] < self.now:
            self.tell(connection)

    def tell(self, connection: Connection) -> None:
        """Tell the outcome that has waited longest, with all that was quoted."""
        due, outcome = self.untold.popleft()
        try:
            one(connection, "SELECT pricing.record_outcome(%s, %s, %s, %s, %s, %s)::text", *outcome)
        except psycopg2.Error:
            self.untold.appendleft((due, outcome))
            raise
        self.outcomes.append(str(outcome[0]))

    def probe(self, connection: Connection) -> None:
        """Seconds from an event to the commit that took it from the queue and made the price that saw it live."""
        user, product = self.pair()
        began, at = self.now, time.perf_counter()
        self.events += [one(connection, "SELECT pricing.record_event(%s, 'view', %s)::text", user, product)]
        while one(connection, WAITING, user):
            time.sleep(0.005)
        self.live.add(began, time.perf_counter() - at)

    def move_market(self, connection: Connection) -> None:
        """Seconds from a competitor's price to the commit by which the last pair of its product has followed."""
        (_, product), began, at = self.pair(), self.now, time.perf_counter()
        one(connection, f"{MOVED} RETURNING product_id", random.uniform(0.8, 1.1), product)
        while one(connection, WAITING_PAIRS, product):
            time.sleep(0.5)
        self.moved.add(began, time.perf_counter() - at)

    def watch_queue(self, connection: Connection) -> None:
        """Of who has acted; the pairs that the market touched come after them."""
        oldest = """
            SELECT extract(epoch FROM clock_timestamp() - min(queued_at))::float FROM pricing.reprice_queue
            WHERE product_id IS NULL"""
        self.lag.add(self.now, one(connection, oldest) or 0.0)


def prepare(home: Path, users: int) -> None:
    """A live book of twenty prices a user, where the home has none yet."""
    from tasks.database import migrate
    from tasks.servers.environment import environment

    settings = Settings()
    migrate(database_url(settings))
    with closing(connect(home)) as connection:
        if one(connection, "SELECT count(*) FROM pricing.live"):
            return
    subprocess.run(
        [sys.executable, "-c", PREPARE % (users, 20 * 4_000)], env=os.environ | environment(settings), check=True
    )


def worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "flows.command", "reprice"], stdout=subprocess.DEVNULL)


def soak(
    home: Path, minutes: float, events: float, quotes: float, *, kill: bool, move_market: bool
) -> dict[str, object]:
    with closing(connect(home)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pricing.books SET expires_at = now() + interval '1 day' WHERE state = 'published'")
            # What soaks before this one recorded would be read again with every event of the same users.
            cursor.execute("TRUNCATE pricing.reprice_queue, pricing.outcomes, pricing.quotes, pricing.events")
            cursor.execute(PAIRS)
            pairs = pd.DataFrame(cursor.fetchall(), columns=["user_id", "product_id"])
    repricing = worker()
    time.sleep(25)  # it loads the model
    load = Load(home, 60 * minutes, pairs)
    jobs = [
        *[(events / 4, load.record_event)] * 4, *[(quotes / 2, load.quote, OPTIONS["unwaited"])] * 2,
        (5.0, load.probe), (1.0, load.watch_queue), *[(1 / MARKET_SECONDS, load.move_market)] * move_market,
    ]  # fmt: skip
    asking = QuoteSpeed.of(home)
    threads = [threading.Thread(target=load.calls, args=job) for job in jobs]
    threads.append(threading.Thread(target=asking.beside_the_rest, args=[load.ends]))
    for thread in threads:
        thread.start()
    kills = {}
    while time.monotonic() < load.ends:
        time.sleep(0.5)
        if kill and "worker" not in kills and load.now > 60 * minutes * 0.4:
            repricing.kill()
            kills["worker"] = load.now
            repricing.wait()
            repricing = worker()
        if kill and "database" not in kills and load.now > 60 * minutes * 0.65:
            pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            kills["database"] = load.now
    for thread in threads:
        thread.join()
    with closing(connect(home)) as connection:
        connection.autocommit = True
        while load.untold:
            load.tell(connection)
    drained = await_drained(home)
    repricing.terminate()
    repricing.wait()
    return report(home, load, events, kills, drained) | {"quote_beside_the_rest": asking.found_beside()}


def await_drained(home: Path) -> float:
    began = time.monotonic()
    with closing(connect(home)) as connection:
        connection.autocommit = True
        while one(connection, "SELECT EXISTS (SELECT FROM pricing.reprice_queue)") and time.monotonic() < began + 300:
            time.sleep(0.05)
    return time.monotonic() - began


def report(home: Path, load: Load, rate: float, kills: dict[str, float], drained: float) -> dict[str, object]:
    calm = [
        seconds
        for at, seconds in zip(load.live.at, load.live.value, strict=True)
        if all(not moment - 2 <= at <= moment + 60 for moment in kills.values())
    ]
    with closing(connect(home)) as connection, connection.cursor() as cursor:
        lost = "SELECT count(*) FROM unnest(%s::uuid[]) AS told (id) LEFT JOIN {} ON {} = told.id WHERE {} IS NULL"
        lost_events = one(connection, lost.format("pricing.events", "event_id", "event_id"), load.events)
        lost_outcomes = one(connection, lost.format("pricing.outcomes", "quote_id", "quote_id"), load.outcomes)
        cursor.execute(BREACHES)
        breaches = dict(zip((column.name for column in cursor.description or ()), cursor.fetchone() or (), strict=True))
        prices = one(connection, "SELECT count(*) FROM pricing.live_prices")
        told = one(connection, "SELECT count(*) FROM pricing.quotes WHERE source = 'told'")
    return {
        "proved_under_all_rules": verify_between_books(),  # raises where a price is not what its inputs give
        "events_per_second_asked": rate,
        "events_per_second": len(load.events) / (load.ends - load.began),
        "live_prices": prices,
        "probes": len(load.live.value),
        "event_to_live_p50_s": float(np.percentile(calm, 50)),
        "event_to_live_p99_s": float(np.percentile(calm, 99)),
        "event_to_live_p99_with_kills_s": load.live.percentile(99),
        "market_moves": len(load.moved.value),
        "market_to_last_pair_p50_s": load.moved.percentile(50),
        "market_to_last_pair_longest_s": max(load.moved.value, default=0.0),
        "largest_lag_s": max(load.lag.value, default=0.0),
        "quote_p50_ms": 1000 * load.quoted.percentile(50),
        "quote_p99_ms": 1000 * load.quoted.percentile(99),
        "quotes": len(load.quoted.value),
        "kills_at_s": kills,
        "reconnections": load.reconnections,
        "lost_events": lost_events,
        "lost_outcomes": lost_outcomes,
        "outcomes": len(load.outcomes),
        "exposures_told_again": told,
        "breaches": breaches,
        "drained_after_s": drained,
        "series": {name: vars(getattr(load, name)) for name in ("live", "lag")},
    }


def draw(found: dict[str, object], path: Path) -> None:
    """Latency and lag over the run, with the moments of the kills."""
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    series: dict[str, dict[str, list[float]]] = found["series"]  # type: ignore[assignment]
    axes.plot(
        series["live"]["at"], series["live"]["value"], ".", markersize=3, label="event to live price", color="#1b6ca8"
    )
    axes.plot(series["lag"]["at"], series["lag"]["value"], label="oldest entry of the queue", color="#d98c3f")
    for name, at in found["kills_at_s"].items():  # type: ignore[attr-defined]
        axes.axvline(at, color="#222222", linestyle=":")
        axes.text(at, axes.get_ylim()[1], f" {name} killed", va="top")
    axes.set(
        xlabel="seconds", ylabel="seconds", yscale="log", title=f"{found['events_per_second']:.0f} events a second"
    )
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("results/realtime_home"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--events", type=float, nargs="+", default=[200, 500])
    parser.add_argument("--quotes", type=float, default=50)
    parser.add_argument("--no-kill", action="store_true")
    parser.add_argument("--no-market", action="store_true")
    arguments = parser.parse_args()
    home = arguments.home.resolve()
    os.environ["PRICING_HOME"] = str(home)
    arguments.results.mkdir(parents=True, exist_ok=True)
    try:
        prepare(home, arguments.users)
        found: dict[str, object] = {"quote": QuoteSpeed.of(home).alone(10)}
        print(json.dumps(found["quote"], indent=1))  # noqa: T201
        for rate in arguments.events:
            result = soak(
                home, arguments.minutes, rate, arguments.quotes,
                kill=not arguments.no_kill, move_market=not arguments.no_market,
            )  # fmt: skip
            draw(result, arguments.results / f"realtime_{rate:.0f}.png")
            found[f"{rate:.0f}"] = result
            print(json.dumps({name: value for name, value in result.items() if name != "series"}, indent=1))  # noqa: T201
        (arguments.results / "realtime.json").write_text(json.dumps(found, indent=1))
    finally:
        stop(home)


if __name__ == "__main__":
    main()
