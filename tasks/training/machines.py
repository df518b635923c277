"""The machines that share one training: the first is that of the run, which invites the others to its home."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from models.demand.training import TrainingError
from tasks.settings import Settings

LOOK_SECONDS = 1.0  # that the first machine has to accept a connection


@dataclass(frozen=True)
class Invitation:
    """A training that waits for the other machines: its folder in the home, and its processes on all of them."""

    folder: str
    processes: int
    number: str


@dataclass(frozen=True)
class Machines:
    """How many machines share each training, and where the first listens while it trains."""

    home: Path
    count: int
    address: str

    @classmethod
    def here(cls) -> Self:
        """Those that the environment names."""
        settings = Settings()
        return cls(settings.home, settings.training_machines, settings.training_address)

    def processes_each(self, processes: int) -> int:
        """Of so many processes those of one machine; raises TrainingError where they cannot be shared out evenly."""
        if processes % self.count:
            raise TrainingError(
                f"{processes} processes cannot be shared by {self.count} machines: ask for a multiple of {self.count}"
            )
        return processes // self.count

    def launcher_options(self, processes: int, rank: int) -> list[str]:
        """What accelerate's launcher is told of the machines, on the one with this rank (0: the first)."""
        threads = max(1, (os.cpu_count() or 1) // self.processes_each(processes))
        options = [f"--num_processes={processes}", f"--num_machines={self.count}", f"--machine_rank={rank}"]
        host, port = self.address.split(":") if self.count > 1 else ("127.0.0.1", "0")  # 0: any that is free
        reached = [f"--main_process_ip={host}", f"--main_process_port={port}", "--same_network"]
        return [*options, *reached, f"--num_cpu_threads_per_process={threads}"]

    @contextmanager
    def inviting(self, folder: Path, processes: int) -> Iterator[None]:
        """Let the other machines know of the training in a folder of the home, as long as it lasts."""
        if self.count == 1:
            yield
            return
        invitation = Invitation(str(folder.relative_to(self.home)), processes, uuid4().hex)
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(invitation)), encoding="utf-8")
        unfinished.replace(self._file)
        try:
            yield
        finally:
            self._file.unlink(missing_ok=True)

    def invitation(self, taken: Invitation | None) -> Invitation | None:
        """The training that the first machine waits with, other than the one that was taken; None while there is none.

        Whether it listens tells a training from one that was killed and left its invitation behind; what is read after
        that is of the training that listens, since it invites before.
        """
        if self._written() in (None, taken) or not self._listens():
            return None
        return self._written()

    def _written(self) -> Invitation | None:
        try:
            return Invitation(**json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def _listens(self) -> bool:
        host, port = self.address.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=LOOK_SECONDS).close()
        except OSError:
            return False
        return True

    @property
    def _file(self) -> Path:
        return self.home / "training.json"
