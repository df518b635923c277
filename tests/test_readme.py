"""What the README tells a person to type is what the project understands."""

import re
import shlex
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import typer
from psycopg2 import sql as names

from flows.command import app
from models.pricing.policy import PricingPolicy
from tasks.database import migrate, transaction

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def command_lines() -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def test_the_first_two_commands_are_run_and_test() -> None:
    assert command_lines()[:2] == [["make", "run"], ["make", "test"]]


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in command_lines():
        if line[0] == "make":
            assert re.search(rf"^{line[1]}:", makefile, flags=re.MULTILINE), line


def test_continuous_integration_runs_the_readme_s_test_command() -> None:
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def pricing_lines() -> list[list[str]]:
    lines = [line[next(i for i, word in enumerate(line) if "=" not in word) :] for line in command_lines()]
    return [line[1:] for line in lines if line[0].endswith("pricing")]


def commands() -> dict[str, Any]:
    return typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_readme_shows_every_subcommand_but_the_one_of_make_up() -> None:
    assert {line[0] for line in pricing_lines()} == commands().keys() - {"up"}


@pytest.mark.parametrize("line", pricing_lines(), ids=" ".join)
def test_every_pricing_command_is_understood(line: list[str]) -> None:
    name, *arguments = line
    command = commands()[name]
    command.make_context(name, arguments)  # raises a usage error for an option that does not exist


def test_the_policy_is_one() -> None:
    (text,) = blocks("toml")
    policy = PricingPolicy.from_toml(text, origin="README.md")
    assert policy.guardrails.maximum_markup == 0
    assert policy.fairness.parity_bound == 0.02


def test_the_storefront_s_statements_name_functions_that_exist(database_url: str) -> None:
    migrate(database_url)
    (text,) = blocks("sql")
    statements = [statement.strip() for statement in text.split(";") if statement.strip()]
    assert len(statements) == 3
    with transaction(database_url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute("SAVEPOINT before")
            bound = statement.replace(":quote_id", "gen_random_uuid()")
            try:
                cursor.execute(names.SQL(bound))
            except psycopg2.errors.NoDataFound:  # no book is live, and the quote is unknown: the functions answered
                cursor.execute("ROLLBACK TO before")
