"""What publication costs: time, readers meanwhile, the way back, and memory; `write_paths` compares ways of writing.

    .venv/bin/python -m tests.benchmarks.publication --rows 1000000

Every figure is of this run on this machine.
"""

import argparse
import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg2
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url

from models.demand.demand_curve import DemandCurve
from models.pricing.book_request import BookRequest
from models.pricing.policy import Exploration, Guardrails, PricingPolicy
from models.pricing.price_book import SettledBook, settle_book
from tasks.books.book import Book, complete_book, stage_book, write_prices
from tasks.books.price_stream import PriceStream
from tasks.books.spare_core import sparing_a_core
from tasks.database import migrate, transaction
from tasks.servers.postgres import ensure_running, stop

ROUNDS = 5  # of windows in which readers are timed
IDLE_SECONDS = 10
PRODUCTS_PER_USER = 20
PRODUCTS = 5_000
POLICY = PricingPolicy(
    guardrails=Guardrails(minimum_margin=0.05, maximum_markup=0.0, maximum_discount=0.3, above_uniform=False),
    exploration=Exploration(share=0.05),
)
DESCRIPTION = {
    "inputs_hash": "h", "dataset": "shop", "snapshot_id": "s", "model_name": "demand", "model_version": 1,
    "run_id": "r", "policy": {}, "currency": "EUR", "disclosure": None, "terms": "{}", "cold_start": False,
}  # fmt: skip
SNAPSHOT = (
    "INSERT INTO data.snapshots (snapshot_id, dataset, currency, row_counts, as_of, validation)"
    " VALUES ('s', 'shop', 'EUR', '{}', now(), '{}')"
)
PRODUCT_ROWS = (
    "INSERT INTO pricing.uniform_prices_{0} SELECT {0}, 'p' || lpad(n::text, 6, '0'), 9, 1, 99, 10, '{{}}', 5, 1"
    " FROM generate_series(0, 4999) AS n"
)


def requests(rows: int) -> Iterator[BookRequest]:
    """Decisions of made-up users, a block at a time, as candidates come."""
    random = np.random.default_rng(0)
    users_a_block = 4_000
    list_price = np.round(random.uniform(5, 200, PRODUCTS), 2)
    for first in range(0, rows // PRODUCTS_PER_USER, users_a_block):
        users = np.arange(first, min(first + users_a_block, rows // PRODUCTS_PER_USER))
        product = (users[:, None] * 7 + np.arange(PRODUCTS_PER_USER) * 241).ravel() % PRODUCTS
        amount = list_price[product]
        n = len(product)
        frame = pd.DataFrame(
            {
                "user_id": pd.Series(np.char.mod("u%07d", np.repeat(users, PRODUCTS_PER_USER)), dtype="str"),
                "product_id": pd.Series(np.char.mod("p%06d", product), dtype="str"),
                "list_price": amount,
                "unit_cost": np.round(0.5 * amount, 2),
                "floor": np.nan,
                "ceiling": np.nan,
                "consent": True,
                "quantity": 1.0,
            }
        )
        curve = DemandCurve(random.uniform(4, 8, n), random.uniform(0.8, 1.1, n))
        uniform = DemandCurve(np.full(n, 6.0), np.full(n, 1.0))
        yield BookRequest(frame, curve, uniform, POLICY, "EUR", exploration_period=date(2026, 1, 1),
                          live_price=np.full(n, np.nan), group=np.full(n, "a"))  # fmt: skip


def settled(rows: int) -> Iterator[SettledBook]:
    return (settle_book([request]) for request in requests(rows))


def written(url: str, rows: int) -> tuple[Book, float]:
    """The product's own way from decisions to a staged book, pricing included."""
    with transaction(url) as connection, sparing_a_core(connection):
        staged = stage_book(connection, DESCRIPTION | {"priced_against": _live(connection)})
        began = time.perf_counter()
        write_prices(connection, staged, "personal_prices", PriceStream(settled(rows), seed=0).rows(staged))
        complete_book(connection, staged)
        return staged, time.perf_counter() - began


def publish(url: str, staged: Book) -> float:
    """Seconds from a staged book to a live one: hash, pointer, ledger."""
    began = time.perf_counter()
    with transaction(url) as connection, sparing_a_core(connection), connection.cursor() as cursor:
        cursor.execute(PRODUCT_ROWS.format(staged.book_id))
        cursor.execute("SELECT pricing.publish_book(%s, '{}', interval '1 day')", [staged.book_id])
    return time.perf_counter() - began


class Readers:
    """A storefront's connections that ask all the time, each in its own way; in milliseconds.

    A quote writes down what it showed, and waits until that is on disk or does not; a look-up by key only reads.
    """

    QUOTE = "SELECT price FROM pricing.quote(%s, %s)"
    STATEMENTS = (
        ("quote", QUOTE, ""),
        ("quote that does not wait", QUOTE, "-c synchronous_commit=off"),
        ("look-up", "SELECT price FROM pricing.personal_prices WHERE (book_id, user_id, product_id) = (1, %s, %s)", ""),
    )

    def __init__(self, url: str, users: int) -> None:
        self.url, self.users = url, users
        self.latencies: dict[str, list[float]] = {name: [] for name, *_ in self.STATEMENTS}
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=asked) for asked in self.STATEMENTS]

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def p99(self) -> dict[str, float]:
        return {name: float(np.percentile(taken, 99)) for name, taken in self.latencies.items()}

    def _read(self, name: str, statement: str, options: str) -> None:
        random = np.random.default_rng(len(name))
        plain = make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)
        with closing(psycopg2.connect(plain, options=options)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while not self._stopped.is_set():
                user = int(random.integers(self.users))
                product = (user * 7 + int(random.integers(PRODUCTS_PER_USER)) * 241) % PRODUCTS
                began = time.perf_counter()
                cursor.execute(statement, [f"u{user:07d}", f"p{product:06d}"])
                self.latencies[name].append(1000 * (time.perf_counter() - began))
                time.sleep(0.005)


def _live(connection: Connection) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT book_id FROM pricing.live")
        found = cursor.fetchone()
    return None if found is None else int(found[0])


def _publish_apart(url: str, rows: int, report: "multiprocessing.Queue[dict[str, float]]") -> None:
    """In a process of its own, so that its peak memory is its own and readers do not share its interpreter."""
    before = peak_megabytes()
    staged, seconds = written(url, rows)
    peak = peak_megabytes()
    live = publish(url, staged)
    report.put({"before_mb": before, "peak_mb": peak, "seconds": seconds, "publish_seconds": live})


def peak_megabytes() -> float:
    """The most memory this process has had resident; unlike getrusage it forgets the process it was forked from."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def published_apart(url: str, rows: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    report = context.Queue()
    process = context.Process(target=_publish_apart, args=(url, rows, report))
    process.start()
    figures = report.get(timeout=1200)
    process.join()
    return figures


def waits(url: str, rows: int) -> dict[str, float]:
    """What readers wait while nothing is written, and while a book is: p99 in ms, the medians of windows in turns."""
    p99: dict[str, list[dict[str, float]]] = {name: [] for name in ("idle", "publishing")}
    for _ in range(ROUNDS):
        for name, windows in p99.items():
            with Readers(url, rows // PRODUCTS_PER_USER) as readers:
                if name == "idle":
                    time.sleep(IDLE_SECONDS)
                else:
                    published_apart(url, rows)
            windows.append(readers.p99())
    found = {}
    for asked, *_ in Readers.STATEMENTS:
        idle, publishing = (np.array([window[asked] for window in p99[name]]) for name in ("idle", "publishing"))
        found |= {f"{asked}, idle": float(np.median(idle)), f"{asked}, publishing": float(np.median(publishing))}
        found[f"{asked}, publishing of idle"] = float(np.median(publishing / idle))
    return found


def run(url: str, rows: int) -> dict[str, object]:
    """All figures for books of so many personal prices."""
    migrate(url)
    with transaction(url) as connection, connection.cursor() as cursor:
        cursor.execute(SNAPSHOT)
        cursor.execute("INSERT INTO data.users (dataset, user_id) SELECT 'shop', 'u' || lpad(n::text, 7, '0')"
                       f" FROM generate_series(0, {rows // PRODUCTS_PER_USER}) AS n")  # fmt: skip
    figures: dict[str, object] = {"rows": rows}
    figures["first_book"] = published_apart(url, rows)
    figures["p99_ms"] = waits(url, rows)
    with transaction(url) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        cursor.execute("SELECT pricing.make_live(NULL, 'rollback')")
        connection.commit()
        figures["rollback_seconds"] = time.perf_counter() - began
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, required=True, help="A folder for the database of this run.")
    given = parser.parse_args()
    server = ensure_running(given.home)
    try:
        print(json.dumps(run(server, given.rows), indent=2))  # noqa: T201
    finally:
        stop(given.home)
