"""What the README and the pages of docs/ tell a person to type is what the project understands."""

import os
import re
import shlex
import subprocess
import sys
from itertools import dropwhile
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest
import typer
from psycopg2 import sql as names

from flows.command import app
from models.pricing.policy import PricingPolicy
from tasks.database import migrate, transaction

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DOMAINS = ("ecommerce", "hotel", "finance", "automobile")
FEW_WORDS = 2_600  # ten minutes' reading


class Block(NamedTuple):
    """A fenced block of a page: its language and its text."""

    page: str
    language: str
    text: str

    def __repr__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}"


def blocks(*languages: str) -> list[Block]:
    found = [
        Block(page.name, language, text)
        for page in PAGES
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    ]
    return [block for block in found if not languages or block.language in languages]


def command_lines(block: Block) -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for line in block.text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line]


def understood(line: list[str]) -> bool:
    """Whether a line is a target of the Makefile or a command with options that exist; a wrong option raises."""
    program, *arguments = dropwhile(lambda word: "=" in word, line)  # variables of the environment stand before it
    if program == "make":
        return bool(re.search(rf"^{arguments[0]}:", MAKEFILE, flags=re.MULTILINE))
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name, *options = arguments
    commands[name].make_context(name, options)
    return program in (".venv/bin/pricing", "pricing")


def test_blocks_are_of_kinds_that_are_checked() -> None:
    assert {block.language for block in blocks()} <= {"", "sh", "sql", "toml", "python", "text"}


@pytest.mark.parametrize("block", blocks("sh"), ids=repr)
def test_every_command_is_understood(block: Block) -> None:
    for line in command_lines(block):
        assert understood(line), line


@pytest.mark.parametrize("block", blocks("toml"), ids=repr)
def test_every_policy_is_one(block: Block) -> None:
    assert PricingPolicy.from_toml(block.text, origin=block.page) != PricingPolicy()


@pytest.mark.parametrize("block", blocks("sql"), ids=repr)
def test_statements_name_functions_tables_and_columns_that_exist(block: Block, database_url: str) -> None:
    migrate(database_url)
    statements = [statement.strip() for statement in block.text.split(";") if statement.strip()]
    with transaction(database_url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute("SAVEPOINT before")
            bound = statement.replace(":quote_id", "gen_random_uuid()")
            try:
                cursor.execute(names.SQL(bound))
            except psycopg2.errors.NoDataFound:  # no book is live, and the quote is unknown: the functions answered
                cursor.execute("ROLLBACK TO before")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not heading or heading in anchors(file), target


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert pictures
    assert all(picture.stat().st_size < 150_000 for picture in pictures)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in DOMAINS], ids=lambda page: page.name)
def test_walk_throughs_are_short(page: Path) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= 120


def test_the_readme_is_read_in_ten_minutes() -> None:
    assert len(PAGES[0].read_text("utf-8").split()) <= FEW_WORDS


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_walk_through_says_what_its_commands_say(domain: str, home: Path) -> None:
    """Run a page's commands in their order; what is printed is what the page shows, but for the digits."""
    shown = [block for block in blocks("text") if block.page == f"{domain}.md"]
    commands = [line for block in blocks("sh") if block.page == f"{domain}.md" for line in command_lines(block)]
    environment = os.environ | {"PRICING_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    printed = ""
    for _, *arguments in commands:
        command = [sys.executable, "-m", "flows.command", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550, check=False)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert shown
    for block in shown:
        expected = [wording(line) for line in block.text.splitlines() if line.strip()]
        assert set(expected) <= {wording(line) for line in printed.splitlines()}


def wording(line: str) -> str:
    """A line without its figures: their digits, hashes, signs and the spaces that align them; ids keep their names."""
    return " ".join(re.sub(r"-?\b[0-9a-f]{8,12}\b|[-+]?\d[\d,.a-f]*", "#", line).split())
