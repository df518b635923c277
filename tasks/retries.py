"""The one policy by which tasks are tried again: those that may, after what passes by itself, ever more slowly."""

from typing import Any

import psycopg2
import requests
import sqlalchemy.exc
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, REQUEST_LIMIT_EXCEEDED, TEMPORARILY_UNAVAILABLE, ErrorCode
from prefect.client.schemas.objects import State
from prefect.tasks import exponential_backoff

from tasks.database import DatabaseUnavailableError

TRANSIENT = (
    DatabaseUnavailableError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    requests.ConnectionError,
    requests.Timeout,
    ConnectionError,
    TimeoutError,
)
MLFLOW_TRANSIENT = {ErrorCode.Name(code) for code in (INTERNAL_ERROR, REQUEST_LIMIT_EXCEEDED, TEMPORARILY_UNAVAILABLE)}


def is_transient(error: object) -> bool:
    """Whether an error may be gone in some seconds, though nobody mends anything."""
    if isinstance(error, MlflowException):
        return error.error_code in MLFLOW_TRANSIENT
    return isinstance(error, TRANSIENT)


def _ended_by_a_transient_error(_task: object, _run: object, state: State[Any]) -> bool:
    return is_transient(state.result(raise_on_failure=False))


# For tasks that only read, or whose writing twice is writing once. A task that makes a version, merges or publishes
# is not one: its answer may have been lost on the way back.
RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(2),  # 2, 4 and 8 s
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _ended_by_a_transient_error,
}
