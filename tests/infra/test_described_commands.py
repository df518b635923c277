"""The commands that the headers of Dockerfile, compose file and manifests tell a person to type."""

import argparse
import re
import shlex
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
FILES = [INFRA / "Dockerfile", *INFRA.glob("compose*.yaml"), *INFRA.glob("kubernetes*/*.yaml")]


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of ending the tests."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def existing(word: str) -> Path:
    path = ROOT / word
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{word} is not there")
    return path


def parser() -> Parser:
    """What docker and kubectl take, as far as it is described."""
    programs = Parser(allow_abbrev=False)
    program = programs.add_subparsers(required=True)
    docker = program.add_parser("docker").add_subparsers(required=True)
    build = docker.add_parser("build")
    build.add_argument("--file", type=existing)
    build.add_argument("--tag")
    build.add_argument("--build-arg")
    build.add_argument("context", type=existing)
    compose = docker.add_parser("compose")
    compose.add_argument("--file", type=existing, action="append")
    compose.add_argument("--profile")
    up = compose.add_subparsers(required=True).add_parser("up")
    up.add_argument("--scale", action="append")
    kubectl = program.add_parser("kubectl")
    kubectl.add_argument("--namespace")
    verbs = kubectl.add_subparsers(required=True)
    create = verbs.add_parser("create")
    create.add_argument(
        "kind", nargs="+", choices=["namespace", "secret", "generic", "configmap", "pricing", "mlflow-auth"]
    )
    create.add_argument("--from-literal", action="append")
    create.add_argument("--from-file", type=existing)
    verbs.add_parser("apply").add_argument("--kustomize", type=existing, required=True)
    delete = verbs.add_parser("delete")
    delete.add_argument("kind", choices=["job"])
    delete.add_argument("name")
    delete.add_argument("--ignore-not-found", action="store_true")
    return programs


def described(file: Path) -> list[list[str]]:
    """The commands in a file's comments, further in than the text; variables may stand before them."""
    comments = "\n".join(re.findall(r"^#(.*)$", file.read_text("utf-8"), re.MULTILINE)).replace("\\\n", " ")
    return [
        shlex.split(line) for line in re.findall(r"^   (?:\w+=\S+ )*((?:docker|kubectl) .*)$", comments, re.MULTILINE)
    ]


COMMANDS = [(file.name, command) for file in FILES for command in described(file)]


@pytest.mark.parametrize(("file", "command"), COMMANDS, ids=lambda part: part if isinstance(part, str) else part[-1])
def test_a_described_command_names_files_and_options_that_exist(file: str, command: list[str]) -> None:
    parser().parse_args(command)


def test_those_who_are_started_so_describe_it() -> None:
    assert {"Dockerfile", "compose.yaml", "platform.yaml"} <= {file for file, _ in COMMANDS}


@pytest.mark.parametrize("wrong", ["docker compose --file infra/no.yaml up", "docker build --push .", "kubectl apply"])
def test_a_wrong_command_would_be_found(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"no\.yaml is not there|required|unrecognized"):
        parser().parse_args(shlex.split(wrong))


def test_kubernetes_commands_speak_of_the_namespace_that_is_applied() -> None:
    namespace = yaml.safe_load((INFRA / "kubernetes" / "kustomization.yaml").read_text())["namespace"]
    asked = [parser().parse_args(command).namespace for _, command in COMMANDS if "--namespace" in command]
    assert set(asked) == {namespace}
