"""The deployments name flows that exist and parameters that those flows accept."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml

FILE = Path(__file__).parents[2] / "infra" / "prefect.yaml"
DEPLOYMENTS = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]


def test_every_flow_has_a_deployment() -> None:
    flows = {path.stem for path in (FILE.parents[1] / "flows").glob("*.py")} - {"__init__", "command", "answers"}
    assert {deployment["entrypoint"].split(".")[1] for deployment in DEPLOYMENTS} == flows


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_its_flow_accepts_its_parameters(deployment: dict[str, object]) -> None:
    module, name = str(deployment["entrypoint"]).rsplit(".", 1)
    flow = getattr(import_module(module), name)
    assert flow.validate_parameters(deployment["parameters"])
    assert deployment["description"]
    assert deployment["concurrency_limit"]["limit"] == 1  # type: ignore[index]
