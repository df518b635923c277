"""Checkpoints: the state of a training run in a file, so that a killed run goes on from its last epoch."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from models.demand.checkpoint import State

log = logging.getLogger("pricing.checkpoints")


@dataclass(frozen=True)
class FileCheckpoint:
    """One training run's state in the file `path`; its folder is made when the first epoch is done."""

    path: Path

    def load(self) -> State | None:
        """Return the state saved last, None where there is none. The file holds data alone: it can run no code."""
        if not self.path.exists():
            return None
        state: State = torch.load(self.path, map_location="cpu", weights_only=True)
        log.info("going on from the checkpoint of epoch %d, %s", len(state["validation_loss"]), self.path)
        return state

    def save(self, state: State) -> None:
        """Write under another name, to the disk, then rename: the file is always whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(f"{self.path.name}.unfinished")
        with unfinished.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.path)


def member_checkpoints(folder: Path) -> Callable[[int], FileCheckpoint]:
    """Return where the training of each network of an ensemble is kept, by its number."""
    return lambda member: FileCheckpoint(folder / f"member-{member}.pt")
