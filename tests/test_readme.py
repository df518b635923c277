"""What the README promises a newcomer: two commands, every subcommand, the storefront's three functions, a policy."""

import re
import shlex
from pathlib import Path
from typing import Any

import typer

from flows.command import app
from models.pricing.policy import PricingPolicy

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def command_lines() -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def test_the_first_two_commands_are_run_and_test() -> None:
    assert command_lines()[:2] == [["make", "run"], ["make", "test"]]


def test_continuous_integration_runs_the_readme_s_test_command() -> None:
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_readme_shows_every_subcommand_but_the_one_of_make_up() -> None:
    lines = [line[next(i for i, word in enumerate(line) if "=" not in word) :] for line in command_lines()]
    shown = {line[1] for line in lines if line[0].endswith("pricing")}
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert shown == commands.keys() - {"up"}


def test_its_policy_never_goes_above_list() -> None:
    (text,) = blocks("toml")
    policy = PricingPolicy.from_toml(text, origin="README.md")
    assert policy.guardrails.maximum_markup == 0
    assert policy.fairness.parity_bound == 0.02


def test_the_storefront_s_statements_are_its_three_functions() -> None:
    (text,) = blocks("sql")
    assert re.findall(r"pricing\.(\w+)\(", text) == ["quote", "record_event", "record_outcome"]


def test_the_house_is_as_the_readme_draws_it() -> None:
    """Every package is drawn, and what is drawn is there."""
    (house,) = re.findall(r"^## The house\n\n```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    drawn, package = set(), Path()
    for indented, name in re.findall(r"^( *)(\S+)", house, re.MULTILINE):
        path = package / name if indented else (package := Path(name))
        assert (ROOT / path).exists(), path
        drawn.add(path)
    packages = {path.parent.relative_to(ROOT) for name in ("flows", "tasks", "models") for path in
                (ROOT / name).glob("*/__init__.py")}  # fmt: skip
    assert packages <= drawn
