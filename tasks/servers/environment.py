"""The variables by which Prefect, MLflow and Great Expectations find the database, stay quiet, and give up in time."""

import os
import urllib.request
from contextlib import closing

import psycopg2
from psycopg2 import errors
from psycopg2 import sql as names
from sqlalchemy.engine import URL, make_url

from models.errors import PricingError
from tasks.database import database_url
from tasks.servers.claim import holder
from tasks.settings import Settings

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",  # of Prefect's own lines; the platform's are the extra loggers
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pricing",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # an empty database takes 15
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # half a minute, not four: a book is live before MLflow is told
    "GIT_PYTHON_REFRESH": "quiet",
    "GX_ANALYTICS_ENABLED": "False",
}
ANSWER_SECONDS = 2.0  # of patience with a server's word that it is well
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class CompanionDatabaseError(PricingError):
    """The database of Prefect or MLflow, beside the platform's own, is missing and cannot be made."""


def environment(settings: Settings) -> dict[str, str]:
    """What to add to os.environ before Prefect or MLflow is imported; what the user set stays.

    Starts the embedded Postgres where it is used, and makes the databases DATABASE_mlflow and DATABASE_prefect
    beside the platform's own. Flow runs go to the server of a `pricing up` on this home, else to one
    that lives as long as this process (its first start takes about 15 seconds, a later one 8).
    """
    url = make_url(database_url(settings))
    found = QUIET | {"PREFECT_HOME": str(settings.home / "prefect")}
    if settings.mlflow_tracking_uri is None:
        found["MLFLOW_TRACKING_URI"] = _text(companion(url, "mlflow"))
        # Else files would go to ./mlruns of the working folder, and to another place under `pricing up`.
        found["_MLFLOW_SERVER_ARTIFACT_ROOT"] = (settings.home / "mlflow").as_uri()
    if settings.prefect_api_url is None:
        if (live := _live_prefect(settings)) is not None:
            found["PREFECT_API_URL"] = live
        found["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = _asyncpg(companion(url, "prefect"))
    return {name: value for name, value in found.items() if name not in os.environ}


def answers(url: str) -> bool:
    """Whether a server of this machine answers a GET with success, in time."""
    try:
        with _LOCAL.open(url, timeout=ANSWER_SECONDS) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


def companion(url: URL, name: str) -> URL:
    """The database DATABASE_name on the same server as DATABASE, made where it is missing."""
    beside = url.set(database=f"{url.database}_{name}")
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:
            connection.autocommit = True  # CREATE DATABASE runs in no transaction
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [beside.database])
            if cursor.fetchone() is None:
                cursor.execute(names.SQL("CREATE DATABASE {}").format(names.Identifier(str(beside.database))))
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        pass  # another command made it meanwhile
    except psycopg2.Error as error:
        shown = url.render_as_string(hide_password=True)
        raise CompanionDatabaseError(
            f"cannot find or make the database {beside.database} on {shown}: {str(error).strip()}. "
            f'Run CREATE DATABASE "{beside.database}", or set MLFLOW_TRACKING_URI and PREFECT_API_URL'
        ) from error
    return beside


def _live_prefect(settings: Settings) -> str | None:
    """The API of the Prefect server that `pricing up` runs on this home, if it is there and well."""
    up = holder(settings.home)
    url = up.prefect_api_url if up is not None else None
    return url if url is not None and answers(f"{url}/health") else None


def _asyncpg(url: URL) -> str:
    """The same database for asyncpg, which has other query parameters than libpq."""
    secure = {"ssl": url.query["sslmode"]} if "sslmode" in url.query else {}
    host = {"host": url.query["host"]} if "host" in url.query else {}
    return _text(url.set(drivername="postgresql+asyncpg", query=secure | host))


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
