"""The deployments name flows that exist and parameters that those flows accept."""

from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
import yaml

from models.evidence.drift import Action
from tasks.monitoring.judge import Alarm

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
    assert deployment["work_pool"]["name"] == "pricing"  # type: ignore[index]
    assert deployment["tags"] == ["pricing", deployment["name"]]
    # A run that hangs would keep every later one waiting; only repricing goes on and on.
    assert (flow.timeout_seconds is None) == (deployment["name"] == "reprice")


def test_what_runs_by_itself_runs_when_it_should() -> None:
    schedules = {deployment["name"]: deployment.get("schedules", []) for deployment in DEPLOYMENTS}
    found = {name: [(one["cron"], one["timezone"]) for one in schedule] for name, schedule in schedules.items()}
    assert {name: schedule for name, schedule in found.items() if schedule} == {
        "train": [("0 2 * * *", "UTC")], "monitor": [("15 * * * *", "UTC")]
    }  # fmt: skip


def test_every_trigger_waits_for_an_event_that_somebody_raises() -> None:
    raised = {Alarm(action, ()).event for action in get_args(Action)} | {"prefect.flow-run.Completed"}
    triggers = [trigger for deployment in DEPLOYMENTS for trigger in deployment.get("triggers", [])]
    assert triggers
    assert {event for trigger in triggers for event in trigger["expect"]} <= raised


def test_a_deployment_follows_a_training() -> None:
    (deploy,) = (deployment for deployment in DEPLOYMENTS if deployment["name"] == "deploy")
    (trigger,) = deploy["triggers"]
    assert trigger["match_related"]["prefect.resource.name"] in {deployment["name"] for deployment in DEPLOYMENTS}


def test_nothing_rolls_back_by_itself_until_somebody_says_so() -> None:
    (rollback,) = (deployment for deployment in DEPLOYMENTS if deployment["name"] == "rollback")
    assert [trigger["enabled"] for trigger in rollback["triggers"]] == [False]
