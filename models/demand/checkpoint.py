"""A training run between two epochs, kept so that a killed run goes on as if it had not been killed."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from models.errors import PricingError

State = dict[str, Any]


class CheckpointError(PricingError):
    """A checkpoint belongs to another training run."""


class Checkpoint(Protocol):
    """A place for the state of one training run; a state holds tensors, numbers, text, lists and dicts alone."""

    def load(self) -> State | None:
        """Return the state saved last, None where there is none."""

    def save(self, state: State) -> None:
        """Replace the state; a reader sees the old one or the new one, whatever fails."""


@dataclass
class TrainingRun:
    """Network, optimiser and what happened so far.

    No state of a random generator is part of it: each epoch draws from generators seeded by its number.

    Args:
        network: trained in place.
        optimizer: of the network.
        schedule: of the optimiser's learning rate.
        identity: what tells this run from another one.
        training_loss: log loss of each finished epoch.
        validation_loss: likewise.
        best_weights: those of the best epoch on the validation part.

    """

    network: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    identity: State
    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def resume(cls, network: nn.Module, optimizer: Optimizer, schedule: LRScheduler, identity: State,
               state: State | None) -> Self:  # fmt: skip
        """Return the run as `state` left it, or one not begun without it.

        Raises:
            CheckpointError: the state is that of another run.

        """
        if state is None:
            return cls(network, optimizer, schedule, identity)
        if state["identity"] != identity:
            raise CheckpointError(
                f"the checkpoint is of a run with {state['identity']}, and this one has {identity}; "
                "remove the checkpoint or train as it says"
            )
        for name, part in (("network", network), ("optimizer", optimizer), ("schedule", schedule)):
            part.load_state_dict(state[name])
        return cls(
            network, optimizer, schedule, identity,
            list(state["training_loss"]), list(state["validation_loss"]), state["best_weights"],
        )  # fmt: skip

    def state(self) -> State:
        """Return all that `resume` needs."""
        return {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "training_loss": self.training_loss,
            "validation_loss": self.validation_loss,
            "best_weights": self.best_weights,
        }

    @property
    def epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.validation_loss)

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) with the lowest validation loss; 0 before the first."""
        return int(np.argmin(self.validation_loss)) + 1 if self.validation_loss else 0

    def record(self, training_loss: float, validation_loss: float) -> None:
        """Close an epoch; its weights are kept where it is the best so far."""
        best = min(self.validation_loss, default=math.inf)
        self.training_loss.append(training_loss)
        self.validation_loss.append(validation_loss)
        if validation_loss < best:
            self.best_weights = copy.deepcopy(self.network.state_dict())
