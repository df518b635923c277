"""A server as a child process: started, waited for until it answers, started again when it dies or hangs, ended."""

import logging
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from models.errors import PricingError
from tasks.servers.environment import answers
from tasks.servers.processes import MARK, Process, end, marked

START_SECONDS = 180  # of patience with one server: the first start makes its tables
END_SECONDS = 5  # of patience with a server, or with the flow runs of the worker, before they are killed
MISSES = 60  # looks in a row without an answer before a server hangs: minutes, for a busy machine answers late
LONGEST_PAUSE = 60.0  # seconds between two starts of a server that keeps dying

_log = logging.getLogger("pricing.servers")


class ServerError(PricingError):
    """A server of `pricing up` cannot be started."""


class Stopping(Exception):  # noqa: N818 - no error: the person asked for it
    """The servers are asked to end while they are still starting."""


@dataclass(frozen=True)
class Program:
    """A Python module run as a server; `health` is the path at its address that answers once it is ready.

    What it started is ended before it starts again, unless it `runs_flows`: those go on alone, and tell Prefect how
    they ended.
    """

    name: str
    arguments: list[str]
    environment: dict[str, str]
    log: Path
    address: str = ""
    health: str = ""
    runs_flows: bool = False

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, so that Ctrl-C in the terminal reaches `pricing up` alone."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                env=self.environment | {MARK: str(self.log)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def failure(self, problem: str) -> ServerError:
        """The error that shows what it said last."""
        said = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        return ServerError(f"{self.name} {problem}. The end of {self.log}:\n{said}")


class Child:
    """A running program. The pause before it is started again doubles each time, up to a minute."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._pause = 1.0
        self._start()

    def _start(self) -> None:
        self.process = self.program.start()
        self._began = time.monotonic()
        self._misses = 0

    def await_ready(self, stopping: threading.Event) -> None:
        """Wait until it answers; raises ServerError where it ends or stays silent."""
        give_up = time.monotonic() + START_SECONDS
        while not self._answers():
            if (code := self.process.poll()) is not None:
                raise self.program.failure(f"ended with exit code {code} instead of starting")
            if time.monotonic() > give_up:
                raise self.program.failure(f"has not answered in {START_SECONDS} seconds")
            if stopping.wait(0.2):
                raise Stopping

    def await_success(self, stopping: threading.Event) -> None:
        """Wait until it has done its work and ended; raises ServerError where it fails."""
        while (code := self.process.poll()) is None:
            if stopping.wait(0.2):
                raise Stopping
        if code != 0:
            raise self.program.failure(f"failed with exit code {code}")

    def revive(self) -> None:
        """Start it again if it is dead and has lain for the pause, or if it has not answered for so many looks."""
        code = self.process.poll()
        if code is None and self._hangs():
            _log.warning("%s has not answered %d times in a row: killing it", self.program.name, MISSES)
            self.process.kill()
            code = self.process.wait()
        lived = time.monotonic() - self._began
        if code is None or lived < self._pause:
            return
        self._pause = 1.0 if lived > 10 * LONGEST_PAUSE else min(2 * self._pause, LONGEST_PAUSE)
        said = "%s ended with exit code %s (see %s): starting it again"
        _log.warning(said, self.program.name, code, self.program.log)
        if not self.program.runs_flows:
            end(marked(self.program.log), END_SECONDS)  # its own helpers would keep its port
        self._start()

    def _answers(self) -> bool:
        return answers(self.program.address + self.program.health)

    def _hangs(self) -> bool:
        self._misses = 0 if not self.program.health or self._answers() else self._misses + 1
        return self._misses >= MISSES


def end_all(children: list[Child]) -> None:
    """End what the children have started, whatever became of its parent since, and then the children.

    In this order the worker lives to hear how its flow runs ended, and they can still tell Prefect.
    """
    own = {child.process.pid for child in children}
    end([process for process in _started(children) if process.pid not in own], END_SECONDS)
    end(_started(children), END_SECONDS)
    for child in children:
        child.process.wait()


def _started(children: list[Child]) -> list[Process]:
    """The children and all that was ever started by them."""
    return [process for child in children for process in marked(child.program.log)]
