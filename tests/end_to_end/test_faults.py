"""Publication under faults: whatever dies when, readers see whole books, and the next run succeeds by itself.

The deploying process is a fork of this one, in which a step of publication is made to wait; at that point it is killed,
or its server, or its connection. The product itself knows nothing of this.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psycopg2
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url

import models.pricing.price_book
import tasks.books.price
import tasks.books.publish
from flows.deploy import DeployParameters, deploy
from models.demand.demand_curve import DemandCurve
from models.features.content import NO_ENCODERS
from models.features.decisions import Decisions
from models.pricing.policy import Guardrails, PricingPolicy
from tasks.books.blocks import Block
from tasks.books.certify import certify
from tasks.books.choose import choose_candidates
from tasks.books.history import verify_ledger
from tasks.books.price import NothingToPriceError, price
from tasks.books.price_stream import PriceStream
from tasks.books.publish import LiveBook, PublicationError, already_live, publish, roll_back
from tasks.books.score import score_candidates
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.data.snapshots import take_snapshot
from tasks.database import migrate, transaction
from tasks.registry.promote import Promotion
from tasks.registry.versions import (
    CHAMPION,
    MODEL_NAME,
    PREVIOUS,
    RegisteredDemand,
    create_version,
    set_alias,
)
from tasks.servers.environment import answers
from tasks.servers.ports import free_port
from tasks.servers.postgres import ensure_running, stop
from tasks.servers.processes import with_descendants
from tests.crash import cut_power

Tables = dict[str, pd.DataFrame]
CHAMPION_VERSION = tasks.books.publish._champion_version
STEP = 0.3
POLICY = PricingPolicy(guardrails=Guardrails(minimum_margin=0.05, maximum_markup=0.0, maximum_step=STEP))


def scored(promotion: Promotion) -> list[Block]:
    return [score_candidates.fn(block, promotion) for block in choose_candidates.fn(promotion)]


class SteadyDemand:
    encoders = NO_ENCODERS

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        own = 0.01 * decisions.frame["pair_product_events"].fillna(0).to_numpy("float64")
        return DemandCurve(np.full(len(own), 6.0), 0.9 - own * (decisions.consent & personal))


@dataclass(frozen=True)
class Registered(RegisteredDemand):
    model: Any = None

    def demand(self) -> Any:
        return self.model or SteadyDemand()


# The points at which publication is interrupted: what is called there, and whether before or after the call.
POINTS = {
    "the book's tables are made": (tasks.books.price, "stage_book", "after"),
    "a part of the prices is sent": (PriceStream, "rows", "between"),
    "all prices are sent": (tasks.books.price, "complete_book", "before"),
    "the keys are made": (tasks.books.price, "complete_book", "after"),
    "the book goes live": (tasks.books.publish, "_go_live", "before"),
    "the book is live but for the commit": (tasks.books.publish, "_go_live", "after"),
    "the book is live": (tasks.books.publish, "align_champion", "before"),
    "the registry knows": (tasks.books.publish, "align_champion", "after"),
    "old books are dropped": (tasks.books.publish, "_drop_old_books", "after"),
}
LIVE_AFTER = ("the book is live", "the registry knows", "old books are dropped")


class Deployment:
    """A deploying process of its own, which waits at a point until it is let go on."""

    def __init__(self, shop: "Shop", weight: float, point: str) -> None:
        self.reached, self._reached = os.pipe()
        self._go, self.go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                self._wait_at(point)
                shop.deploy(weight)
                status = 0
            finally:
                if status:
                    traceback.print_exc(file=sys.__stderr__)
                os._exit(status)
        os.close(self._reached)
        assert os.read(self.reached, 1), f"{point} was never reached"

    def resume(self) -> int:
        """Let it go on; returns its exit status."""
        os.write(self.go, b"!")
        return self.ended()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL

    def ended(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.reached)
        return os.waitstatus_to_exitcode(status)

    def _pause(self) -> None:
        os.write(self._reached, b"!")
        os.read(self._go, 1)

    def _wait_at(self, point: str) -> None:
        where, name, when = POINTS[point]
        original = getattr(where, name)

        def paused(*arguments: Any) -> Any:
            if when == "before":
                self._pause()
            result = original(*arguments)
            if when == "after":
                self._pause()
            return result

        def between(*arguments: Any) -> Iterator[Any]:
            for number, block in enumerate(original(*arguments)):
                if number == 1:
                    self._pause()
                yield block

        setattr(where, name, between if when == "between" else paused)


class Readers:
    """A storefront meanwhile: every answer must come from one whole book that was published."""

    def __init__(self, shop: "Shop") -> None:
        self.shop, self.answers, self.problems = shop, 0, list[str]()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Readers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stopped.is_set():
            try:
                with closing(psycopg2.connect(self.shop.plain_url)) as connection:
                    connection.autocommit = True
                    while not self._stopped.wait(0.02):
                        self._look(connection)
            except psycopg2.OperationalError:
                time.sleep(0.1)  # the server is away

    def _look(self, connection: Connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute(WHOLE)
            ((book, expected, found, uniform),) = cursor.fetchall()
            cursor.execute("SELECT source FROM pricing.quote('u001', 'p01')")
            ((source,),) = cursor.fetchall()
        self.answers += 1
        if expected != found or uniform != 12 or source != "personal":
            self.problems.append(f"book {book}: {found} of {expected} prices, {uniform} uniform, quote {source}")


WHOLE = """
SELECT live.book_id, books.personal_rows,
       (SELECT count(*) FROM pricing.personal_prices AS prices WHERE prices.book_id = live.book_id),
       (SELECT count(*) FROM pricing.uniform_prices AS prices WHERE prices.book_id = live.book_id)
FROM pricing.live JOIN pricing.books USING (book_id)
"""


class Shop:
    """A shop on a server of its own, with one book live."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = ensure_running(home)

    @property
    def plain_url(self) -> str:
        return make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)

    def promotion(self, weight: float, model: Any = None, version: int = 1) -> Promotion:
        with transaction(self.url) as connection:
            snapshot = take_snapshot(
                connection, "shop", "EUR", {}, pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime()
            )
        policy = POLICY.model_copy(update={"satisfaction_weight": weight})
        registered = Registered(version, "run", "shop", model)
        return Promotion(registered, snapshot, policy, cold_start=False, gates=())

    def deploy(self, weight: float, model: Any = None) -> LiveBook:
        """The stations of the deploy flow."""
        promotion = self.promotion(weight, model)
        if (live := already_live(promotion)) is not None:
            return live
        priced = price.fn(promotion, scored(promotion))
        return publish.fn(priced, certify.fn(priced, promotion))

    def live(self) -> int:
        return int(self.rows("SELECT book_id FROM pricing.live")[0][0])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with transaction(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def kill_server(self) -> None:
        cut_power(self.home)
        self.url = ensure_running(self.home)

    def drop_connections(self) -> None:
        self.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database() AND query NOT LIKE '%quote%'"
        )


def fill(url: str, tables: Tables) -> None:
    migrate(url)
    with transaction(url) as connection:
        for name, frame in tables.items():
            rows = conform(frame, TABLES[name], name, first_row=1)
            copy_frame(connection, ["data", name], rows.assign(dataset="shop"))


def small(tables: Tables) -> Tables:
    """A shop of fewer events, so that a book is priced in a second."""
    return {name: frame.tail(1500) if name in ("behaviour", "offers") else frame for name, frame in tables.items()}


@contextmanager
def shop_at(home: Path, tables: Tables) -> Iterator[Shop]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PRICING_DATABASE_URL", raising=False)
        patch.setenv("PRICING_HOME", str(home))
        patch.setattr(tasks.books.publish, "_champion_version", lambda: 1)
        patch.setattr(models.pricing.price_book, "ROWS_PER_BLOCK", 50)
        shop = Shop(home)
        try:
            fill(shop.url, small(tables))
            shop.deploy(0.0)
            yield shop
        finally:
            stop(home)


@pytest.fixture(scope="module")
def module_shop(stopped_home: Path, learnable_shop: Tables, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = stopped_home.parent / "faults"
    subprocess.run(["cp", "-a", stopped_home, home], check=True)
    with shop_at(home, learnable_shop) as shop:
        yield shop


WEIGHTS = iter(
    np.linspace(0.001, 0.4, 200).tolist()
)  # every deployment is of another policy, so that its book is another


@contextmanager
def surviving(shop: Shop) -> Iterator[None]:
    """What holds after any fault: whole books all the time, the ledger verifies, the next run needs no repair."""
    with Readers(shop) as readers:
        yield
        shop.deploy(next(WEIGHTS))
        assert verify_ledger().live_book_id == shop.live()
    assert readers.answers > 0
    assert readers.problems == []


def kill_process(shop: Shop, deployment: Deployment) -> None:
    deployment.kill()


def kill_server(shop: Shop, deployment: Deployment) -> None:
    shop.kill_server()
    deployment.resume()


def drop_connections(shop: Shop, deployment: Deployment) -> None:
    shop.drop_connections()
    deployment.resume()


CORE = {
    (kill_process, "a part of the prices is sent"),
    (kill_process, "the book is live"),
    (kill_server, "the book is live but for the commit"),
}


def fault_points() -> Iterator[Any]:
    for fault in (kill_process, kill_server, drop_connections):
        for point in POINTS:
            is_core = (fault, point) in CORE
            yield pytest.param(fault, point, marks=() if is_core else pytest.mark.slow, id=f"{fault.__name__}-{point}")


@pytest.mark.parametrize(("fault", "point"), list(fault_points()))
def test_a_fault_while_publishing(module_shop: Shop, fault: Callable[[Shop, Deployment], None], point: str) -> None:
    shop = module_shop
    before, entries = shop.live(), verify_ledger().entries
    with surviving(shop):
        fault(shop, Deployment(shop, next(WEIGHTS), point))
        if point in LIVE_AFTER:
            assert shop.live() > before, "what was committed stays"
        else:
            assert shop.live() == before
            assert verify_ledger().entries == entries


def test_two_deployments_at_once_publish_one_after_the_other_or_not(module_shop: Shop) -> None:
    shop = module_shop
    with surviving(shop):
        first = Deployment(shop, next(WEIGHTS), "the book goes live")
        live = shop.deploy(next(WEIGHTS)).book_id
        assert first.resume() == 1  # it was priced against a book that is not live any more
        assert shop.live() == live


@pytest.mark.slow
def test_the_same_deployment_started_twice_publishes_once(module_shop: Shop) -> None:
    shop, weight = module_shop, next(WEIGHTS)
    with surviving(shop):
        twin = Deployment(shop, weight, "the book goes live")
        live = shop.deploy(weight)
        assert twin.resume() == 1
        assert shop.deploy(weight) == live
        assert shop.rows(f"SELECT count(*) FROM pricing.ledger WHERE book_id > {live.book_id - 2}") == [(1,)]


@pytest.mark.slow
def test_a_rollback_before_a_publication_commits_wins(module_shop: Shop) -> None:
    shop = module_shop
    shop.deploy(next(WEIGHTS))
    with surviving(shop):
        deployment = Deployment(shop, next(WEIGHTS), "the book goes live")
        back = roll_back.fn(None)
        assert deployment.resume() == 1
        assert shop.live() == back.book_id


@pytest.mark.slow
def test_a_rollback_waits_for_a_publication_that_is_going_live(module_shop: Shop) -> None:
    shop, live = module_shop, module_shop.live()
    with surviving(shop):
        deployment = Deployment(shop, next(WEIGHTS), "the book is live but for the commit")
        returned: list[LiveBook] = []
        rollback = threading.Thread(target=lambda: returned.append(roll_back.fn(live)))
        rollback.start()
        time.sleep(0.3)
        assert deployment.resume() == 0
        rollback.join()
        assert [book.book_id for book in returned] in ([live], [])


class NotANumber(SteadyDemand):
    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        return DemandCurve(*(np.full(len(decisions.frame), np.nan) for _ in range(2)))


class AnotherSchema(SteadyDemand):
    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        return DemandCurve(decisions.frame["attribute_that_is_gone"].to_numpy(), np.ones(len(decisions.frame)))


class Ceiling(SteadyDemand):
    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        return DemandCurve(np.full(len(decisions.frame), 0.5), np.full(len(decisions.frame), 40.0))


@pytest.mark.parametrize(
    ("poison", "refusal"),
    [(NotANumber, NothingToPriceError), pytest.param(AnotherSchema, KeyError, marks=pytest.mark.slow)],
)
def test_a_poisoned_challenger_changes_nothing(module_shop: Shop, poison: type, refusal: type[Exception]) -> None:
    shop, live = module_shop, module_shop.live()
    books = shop.rows("SELECT count(*) FROM pricing.books")
    with surviving(shop):
        with pytest.raises(refusal):
            shop.deploy(next(WEIGHTS), poison())
        assert shop.live() == live
        assert shop.rows("SELECT count(*) FROM pricing.books") == books


@pytest.mark.slow
def test_a_model_that_wants_the_ceiling_gets_no_further_than_a_step(module_shop: Shop) -> None:
    shop, live = module_shop, module_shop.live()
    with surviving(shop):
        quoted = dict(shop.rows("SELECT user_id || product_id, price::float FROM pricing.live_prices"))
        shop.deploy(next(WEIGHTS), Ceiling())
        now = dict(shop.rows("SELECT user_id || product_id, price::float FROM pricing.live_prices"))
        assert max(now[pair] / quoted[pair] for pair in now) <= 1 + STEP + 1e-9
        assert roll_back.fn(None).book_id == live


@pytest.mark.slow
def test_without_mlflow_a_book_goes_live_and_the_alias_follows(
    module_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, aliases = module_shop, dict[str, int]()

    def away(*_: object) -> None:
        raise MlflowException("connection refused")

    monkeypatch.setattr(tasks.books.publish, "_champion_version", lambda: aliases.get("champion"))
    with surviving(shop):
        monkeypatch.setattr(tasks.books.publish, "set_alias", away)
        live = shop.deploy(next(WEIGHTS))
        assert shop.live() == live.book_id
        monkeypatch.setattr(tasks.books.publish, "set_alias", aliases.__setitem__)
        tasks.books.publish.repair_champion.fn()
        assert aliases == {"champion": 1}


class MLflowServer:
    """A tracking server with versions 1 and 2 of the model, 1 the champion."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port(None)
        self.start()
        os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{self.port}"
        for version in (1, 2):
            run = MlflowClient().create_run("0").info
            assert create_version(f"{run.artifact_uri}/demand", run.run_id, {"dataset": "shop"}, "") == version
        set_alias(CHAMPION, 1)

    def start(self) -> None:
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/store", "--artifacts-destination", str(self.folder)]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--workers", "1", *store],
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(600):
            if answers(f"http://127.0.0.1:{self.port}/health"):
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        for process in with_descendants([self.process.pid]):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self.process.wait()

    def champions(self) -> tuple[int, int | None]:
        """The version that is champion, and the one that was."""
        aliases = MlflowClient().get_registered_model(MODEL_NAME).aliases
        return int(aliases[CHAMPION]), int(aliases[PREVIOUS]) if PREVIOUS in aliases else None


@pytest.fixture
def mlflow_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MLflowServer]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # what the server sets is undone after the test
    server = MLflowServer(tmp_path)
    try:
        yield server
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["before the aliases are looked at", "between the two aliases"])
def test_mlflow_killed_while_publishing_agrees_with_the_book_after_its_next_start(
    module_shop: Shop, mlflow_server: MLflowServer, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    shop = module_shop
    monkeypatch.setattr(tasks.books.publish, "_champion_version", CHAMPION_VERSION)

    def set_one_alias(alias: str, version: int) -> None:
        set_alias(alias, version)
        mlflow_server.kill()

    with surviving(shop):
        promotion = shop.promotion(next(WEIGHTS), version=2)
        priced = price.fn(promotion, scored(promotion))
        certificate = certify.fn(priced, promotion)
        if cut == "between the two aliases":
            monkeypatch.setattr(tasks.books.publish, "set_alias", set_one_alias)
        else:
            mlflow_server.kill()
        live = publish.fn(priced, certificate)
        assert (shop.live(), live.model_version) == (priced.book.book_id, 2)
        monkeypatch.setattr(tasks.books.publish, "set_alias", set_alias)
        mlflow_server.start()
        assert mlflow_server.champions()[0] == 1  # it has not been told
        tasks.books.publish.repair_champion.fn()  # as every run begins
        assert mlflow_server.champions() == (2, 1)
        roll_back.fn(None)
        assert mlflow_server.champions() == (1, 2)


@pytest.mark.slow
def test_without_prefect_nothing_begins(module_shop: Shop) -> None:
    shop, live = module_shop, module_shop.live()
    away = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with surviving(shop):
        with temporary_settings(away), pytest.raises((RuntimeError, httpx.TransportError)):
            deploy(DeployParameters())
        assert shop.live() == live


@pytest.mark.slow
def test_a_full_disk_stops_one_run_and_no_reader(
    stopped_home: Path, learnable_shop: Tables, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with small_disk(stopped_home.parent / "disk") as disk:
        subprocess.run(["cp", "-a", stopped_home, disk / "home"], check=True)
        with shop_at(disk / "home", learnable_shop) as shop:
            live = shop.live()
            with surviving(shop):
                filler = disk / "filler"
                with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
                    while True:
                        file.write(bytes(1 << 20))
                with pytest.raises((psycopg2.Error, tasks.database.DatabaseUnavailableError)):
                    for _ in range(20):  # until the room inside the tables that are there is used up
                        shop.deploy(next(WEIGHTS))
                filler.unlink()
                shop.url = ensure_running(shop.home)
                assert shop.live() >= live


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m,mode=755", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no file system of its own can be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_the_refusals_say_what_to_do(module_shop: Shop) -> None:
    shop = module_shop
    promotion = shop.promotion(next(WEIGHTS))
    priced = price.fn(promotion, scored(promotion))
    certificate = certify.fn(priced, promotion)
    shop.deploy(next(WEIGHTS))
    with pytest.raises(PublicationError, match=r"was priced when book \d+ was live, and book \d+ is live now: deploy"):
        publish.fn(replace(priced), certificate)
