"""Every command that the README and docs/operations.md show, typed as they show it, one after the other in one home.

A walk-through's commands are run by tests/test_docs.py, `make up` by tests/tasks/servers/test_up.py, `make test` by who
reads this, and the parts of `make bench`, which takes hours, are tested in tests/benchmarks.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy
from sqlalchemy.engine import make_url

from tasks.database import transaction
from tasks.servers.postgres import ensure_running
from tests.conftest import fresh_database

ROOT = Path(__file__).parents[2]
PAGES = [(ROOT / page).read_text("utf-8") for page in ("README.md", "docs/operations.md")]
ELSEWHERE = {"make test", "make up", "make bench"}
PATIENCE_SECONDS = 1_800
pytestmark = pytest.mark.slow


def commands(heading: str = "") -> list[str]:
    """The command lines below a heading of the pages, or all of them, each once and without its comment."""
    parts = [part for page in PAGES for part in re.split(r"^## ", page, flags=re.MULTILINE)]
    below = "".join(part for part in parts if part.startswith(heading))
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", below, re.DOTALL | re.MULTILINE)).splitlines()
    return list(dict.fromkeys(shlex.join(shlex.split(line, comments=True)) for line in lines))


class Terminal:
    """A folder in which a person types what the pages show."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"PRICING_HOME": str(home), "COLUMNS": "200"}
        self.typed: set[str] = set()

    def type(self, line: str, instead: dict[str, str] | None = None) -> str:
        """Run a line to its end, with what it stands for in place of its example; returns what it printed."""
        with self.started(line, instead) as process:
            printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, f"{line}\n{printed}"
        return printed

    @contextmanager
    def typing(self, line: str, until: str) -> Iterator[subprocess.Popen[str]]:
        """Start a line that goes on, and wait until it has said something; by the end it must end well by itself."""
        with self.started(line) as process:
            assert process.stdout
            said = [""]
            while until not in said[-1]:
                said.append(process.stdout.readline())
                assert said[-1], f"{line} ended and had not said {until!r}\n{''.join(said)}"
            yield process
            printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, f"{line}\n{printed}"

    @contextmanager
    def started(self, line: str, instead: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        self.typed.add(line)
        for example, real in (instead or {}).items():
            assert example in line
            line = line.replace(example, real)
        line = line.replace("make run", ".venv/bin/pricing run")
        line = line.replace(".venv/bin/pricing", f"{Path(sys.executable).parent}/pricing")
        with subprocess.Popen(
            f"exec env {line}", shell=True, cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def shop_database(postgres_url: str, learnable_shop: dict[str, pd.DataFrame]) -> Iterator[str]:
    """Where a shop keeps the tables itself, for the README's reader with his password."""
    with fresh_database(postgres_url) as url:
        engine = sqlalchemy.create_engine(url)
        for name, table in learnable_shop.items():
            table.to_sql(name, engine, index=False)
        engine.dispose()
        yield make_url(url).render_as_string(hide_password=False)


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_what_the_pages_show_can_be_typed(
    tmp_path: Path, home: Path, learnable_shop: dict[str, pd.DataFrame], shop_folder: Path, shop_database: str
) -> None:
    terminal = Terminal(tmp_path, home)
    (tmp_path / "shop").symlink_to(shop_folder)
    (tmp_path / "my.toml").write_text(first_block("toml"))

    from_files, from_database, weekly = commands("Your own data")
    assert "Book 1 is live" in terminal.type(from_files)
    assert " is live" in terminal.type(from_database, {from_database.split()[0].partition("=")[2]: shop_database})
    assert "Snapshot" in terminal.type(weekly)
    (of_the_database,) = commands("A source's past")
    program = of_the_database.split()[0]
    assert "Snapshot" in terminal.type(of_the_database, {program: f"PRICING_SOURCE_URL={shop_database} {program}"})

    in_review, approve, require_approval, monitor = commands("What goes live")
    with terminal.typing(in_review, until="awaits approval"):
        assert "is approved" in terminal.type(approve)
    main_job, _ = commands("# Personalised")
    assert "Book 3 is live" in terminal.type(main_job)  # the same, and nothing new
    one, of_a_file, recommend, reprice, books, rollback, verify, replay, forget = commands("Ask for a price")
    user, product = shlex.split(one)[-2:]
    assert "(personal)" in terminal.type(one)
    (tmp_path / "requests.csv").write_text(
        f"request_id,user_id,product_id,requested_at\n1,{user},{product},2001-03-01T10:00:00Z\n"
    )
    terminal.type(of_a_file)
    assert pd.read_csv(tmp_path / "prices.csv")["price"].notna().all()
    terminal.type(recommend)
    with terminal.typing(reprice, until="reprice") as repricing:
        repricing.send_signal(signal.SIGINT)
    terminal.type(books)
    quote_id = asked_by_the_storefront(home)
    assert " is live" in terminal.type(rollback)
    assert "verifies" in terminal.type(verify)
    assert "Every digit is the same" in terminal.type(replay, {"QUOTE_ID": quote_id})

    terminal.type(monitor)
    terminal.type(forget)
    assert "verifies" in terminal.type(verify)
    for line in commands("Your own policy"):
        terminal.type(line)
    terminal.type(require_approval)
    for line in commands("Review"):
        if line not in terminal.typed:
            terminal.type(line)
    assert set(commands()) == terminal.typed | ELSEWHERE


def first_block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGES[0], re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def asked_by_the_storefront(home: Path) -> str:
    """Run the README's statements as the storefront's role; returns the id of the quote they are about."""
    quote, event, outcome = (statement.strip() for statement in first_block("sql").split(";") if statement.strip())
    with transaction(ensure_running(home)) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE pricing_storefront")
        cursor.execute(quote.replace("SELECT ", "SELECT quote_id::text, ", 1))
        quote_id, *answer = cursor.fetchone()
        assert all(value is not None for value in answer)
        cursor.execute(event)
        cursor.execute(outcome.replace(":quote_id", "%s"), [quote_id])
    return quote_id
