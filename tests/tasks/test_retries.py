"""Which tasks are tried again, by one policy, and after what."""

from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from prefect import Task, flow, task

from models.errors import PricingError
from tasks.data.contract import ContractError
from tasks.retries import RETRIED, is_transient

ROOT = Path(__file__).parents[2]
REPEATABLE = {  # they read, or write what written twice is written once
    "collect", "collect_period", "cut_offers", "extract_block", "evaluate", "find_registered", "promote",
    "choose_candidates", "score_candidates", "certify", "report_book", "repair_champion", "observe",
    "choose_source", "choose_policy",
}  # fmt: skip


def all_tasks() -> dict[str, Task[Any, Any]]:
    paths = [path for path in (ROOT / "tasks").rglob("*.py") if "\n@task" in path.read_text(encoding="utf-8")]
    modules = [import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in paths]
    return {name: found for module in modules for name, found in vars(module).items() if isinstance(found, Task)}


def policy_of(found: Task[Any, Any]) -> tuple[Any, ...]:
    return found.retries, found.retry_delay_seconds, found.retry_jitter_factor, found.retry_condition_fn


def test_every_task_that_may_be_repeated_has_the_shared_policy_and_no_other_any() -> None:
    shared = policy_of(task(**RETRIED)(lambda: None))
    found = all_tasks()
    assert found.keys() >= REPEATABLE
    assert {"fit", "register", "publish", "validate", "price", "raise_alarms"} <= found.keys() - REPEATABLE
    assert {name for name, one in found.items() if policy_of(one) == shared} == REPEATABLE
    assert {name for name, one in found.items() if one.retries} == REPEATABLE


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (psycopg2.OperationalError("server closed the connection"), True),
        (ConnectionResetError(), True),
        (MlflowException("503", TEMPORARILY_UNAVAILABLE), True),
        (MlflowException("no such thing", INVALID_PARAMETER_VALUE), False),
        (ContractError("offers.csv", "the price is missing"), False),
        (PricingError("a gate was not passed"), False),
        (psycopg2.ProgrammingError("syntax"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_passes_by_itself(error: Exception, transient: bool) -> None:
    assert is_transient(error) == transient


def test_prefect_tries_again_after_the_one_and_not_after_the_other() -> None:
    attempts = {"away": 0, "wrong": 0}
    quickly = RETRIED | {"retry_delay_seconds": 0, "retry_jitter_factor": None}

    @task(**quickly)
    def read(what: str) -> int:
        attempts[what] += 1
        if what == "wrong":
            raise ContractError("offers.csv", "the price is missing")
        if attempts[what] < 3:
            raise psycopg2.OperationalError("the database is starting up")
        return attempts[what]

    @flow
    def reading() -> int:
        found = read("away")
        with pytest.raises(ContractError):
            read("wrong")
        return found

    assert reading() == 3
    assert attempts == {"away": 3, "wrong": 1}
