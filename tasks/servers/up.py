"""`pricing up`: Postgres, Prefect, MLflow, Data Docs and a worker on 127.0.0.1, until one Ctrl-C ends them all.

What a server says goes to HOME/logs/NAME.log. A server that the environment names elsewhere (PREFECT_API_URL,
MLFLOW_TRACKING_URI, PRICING_DATA_DOCS_URL) is used there and not started here.
"""

import logging
import os
import threading
from pathlib import Path

from sqlalchemy.engine import make_url

from tasks.database import database_url
from tasks.servers.claim import LOGS, HeldClaim, claim
from tasks.servers.deployments import FILE as DEPLOYMENTS
from tasks.servers.environment import environment
from tasks.servers.ports import free_port, is_free
from tasks.servers.postgres import stop
from tasks.servers.signals import asked_to_stop
from tasks.servers.supervision import Child, Program, ServerError, Stopping, end_all
from tasks.settings import Settings

POOL = "pricing"
LOOK_SECONDS = 2.0  # between two looks at whether everything still lives

_log = logging.getLogger("pricing.servers")


def run_servers(settings: Settings) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP; returns when the last process has ended.

    Raises ClaimedError where another process does so on this home, and ServerError where a port is taken or a
    server does not start.
    """
    children: list[Child] = []
    with claim(settings.home) as held, asked_to_stop() as stopping:
        _require_free_ports(settings)
        try:
            _start(settings, held, children, stopping)
            while not stopping.wait(LOOK_SECONDS):
                database_url(settings)  # starts the embedded Postgres again where it died
                for child in children:
                    child.revive()
        except Stopping:
            pass
        finally:
            _end(settings, children)


def _require_free_ports(settings: Settings) -> None:
    ports = []
    if _runs_prefect(settings):
        ports.append(("Prefect", settings.prefect_port, "PRICING_PREFECT_PORT"))
    if settings.mlflow_tracking_uri is None:
        ports.append(("MLflow", settings.mlflow_port, "PRICING_MLFLOW_PORT"))
    if settings.data_docs_url is None:
        ports.append(("the Data Docs", settings.data_docs_port, "PRICING_DATA_DOCS_PORT"))
    for name, port, variable in ports:
        if not is_free(port):
            raise ServerError(
                f"port {port}, meant for {name}, is taken by another program: end that, or set {variable}"
            )


def _start(settings: Settings, held: HeldClaim, children: list[Child], stopping: threading.Event) -> None:
    """Bring up the servers, the worker, the deployments; each child is noted as soon as it lives."""
    url = make_url(database_url(settings))
    _log.info("Postgres ready: %s", url.render_as_string(hide_password=True))
    variables = os.environ | environment(settings) | _addresses(settings)
    servers = [_mlflow(settings, variables)] if settings.mlflow_tracking_uri is None else []
    if _runs_prefect(settings):
        servers.append(_prefect(settings, variables))
    if settings.data_docs_url is None:
        servers.append(_data_docs(settings, variables))
    children += [Child(program) for program in servers]
    for child in children:
        child.await_ready(stopping)
        _log.info("%s ready: %s", child.program.name, child.program.address)
    worker = Child(_worker(settings, variables))
    children.append(worker)
    worker.await_ready(stopping)
    _log.info("worker ready: it takes flow runs from the work pool %s", POOL)
    _deploy(settings, variables, children, stopping)
    children.append(Child(_reprice(settings, variables)))
    _log.info("repricing: live prices follow what users do and what the market does")
    held.announce(variables["PREFECT_API_URL"])
    # MLflow's first page is about chatbots; the models are behind a switch there.
    models = settings.mlflow_tracking_uri or f"http://127.0.0.1:{settings.mlflow_port}"
    _log.info("models and price books: %s/#/models", models)
    _log.info("everything is up; Ctrl-C ends it all")


def _deploy(
    settings: Settings,
    variables: dict[str, str],
    children: list[Child],
    stopping: threading.Event,
) -> None:
    """Give the Prefect server all deployments with their schedules, where it has not got them yet."""
    arguments = ["tasks.servers.deployments", str(DEPLOYMENTS)]
    deploy = Child(Program("deploy", arguments, variables, _log_file(settings, "deploy")))
    children.append(deploy)
    deploy.await_success(stopping)
    children.remove(deploy)
    _log.info("deployments ready: %s/deployments", variables["PREFECT_API_URL"].removesuffix("/api"))


def _end(settings: Settings, children: list[Child]) -> None:
    """End who runs flows while Prefect still hears how they ended, then the servers, then Postgres."""
    _log.info("ending the servers")
    running = [child for child in children if child.program.name in ("worker", "reprice")]
    end_all(running)
    end_all([child for child in children if child not in running])
    if settings.database_url is None:
        stop(settings.home)
    _log.info("all servers have ended")


def _own_prefect(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.prefect_port}/api"


def _runs_prefect(settings: Settings) -> bool:
    """Whether the Prefect server is ours to start: none is named, or just the one that we would start."""
    return settings.prefect_api_url in (None, _own_prefect(settings))


def _addresses(settings: Settings) -> dict[str, str]:
    """What the servers, the worker and its flow runs need to know of the Prefect server.

    Its user interface calls port 4200 unless it is told its own address in all these ways.
    """
    if not _runs_prefect(settings):
        return {"PREFECT_API_URL": str(settings.prefect_api_url)}
    return {
        "PREFECT_API_URL": _own_prefect(settings),
        "PREFECT_UI_API_URL": _own_prefect(settings),
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(settings.prefect_port),
        # In memory, the default, the leases on a deployment's concurrency slots would not outlive a restart.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }


def _prefect(settings: Settings, variables: dict[str, str]) -> Program:
    return Program(
        name="Prefect",
        arguments=["prefect", "server", "start"],
        environment=variables,
        log=_log_file(settings, "prefect"),
        address=f"http://127.0.0.1:{settings.prefect_port}",
        health="/api/health",
    )


def _mlflow(settings: Settings, variables: dict[str, str]) -> Program:
    """The tracking server; its job workers would take 2 GB, and more than one process nothing but memory."""
    artifacts = variables["_MLFLOW_SERVER_ARTIFACT_ROOT"]
    options = ["--no-serve-artifacts", "--default-artifact-root", artifacts, "--workers", "1"]
    own = {
        "MLFLOW_BACKEND_STORE_URI": variables["MLFLOW_TRACKING_URI"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return Program(
        name="MLflow",
        arguments=["mlflow", "server", "--host", "127.0.0.1", "--port", str(settings.mlflow_port), *options],
        environment=variables | own,
        log=_log_file(settings, "mlflow"),
        address=f"http://127.0.0.1:{settings.mlflow_port}",
        health="/health",
    )


def _data_docs(settings: Settings, variables: dict[str, str]) -> Program:
    """The newest validation's pages, for the links that lead to them."""
    settings.data_docs.mkdir(parents=True, exist_ok=True)
    port = str(settings.data_docs_port)
    return Program(
        name="Data Docs",
        arguments=["http.server", port, "--bind", "127.0.0.1", "--directory", str(settings.data_docs)],
        environment=variables,
        log=_log_file(settings, "data_docs"),
        address=f"http://127.0.0.1:{port}",
        health="/",
    )


def _worker(settings: Settings, variables: dict[str, str]) -> Program:
    port = free_port(None)
    own = {"PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
    options = ["--pool", POOL, "--type", "process", "--name", "pricing-up", "--with-healthcheck"]
    return Program(
        name="worker",
        arguments=["prefect", "worker", "start", *options],
        environment=variables | own,
        log=_log_file(settings, "worker"),
        address=f"http://127.0.0.1:{port}",
        health="/health",
        runs_flows=True,
    )


def _reprice(settings: Settings, variables: dict[str, str]) -> Program:
    return Program("reprice", ["flows.command", "reprice"], variables, _log_file(settings, "reprice"))


def _log_file(settings: Settings, name: str) -> Path:
    return settings.home / LOGS / f"{name}.log"
