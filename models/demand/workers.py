"""The processes that train one network together, as `accelerate launch` starts them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator  # costs seconds that one process alone need not wait for


@contextmanager
def launched_processes(cpu: bool) -> Iterator["Accelerator"]:
    """The processes that `accelerate launch` started, until all of them have done their work.

    Their group has threads of its own, which must have ended when the interpreter does: one that still holds a tensor
    then aborts the process. The functions of `torch.distributed.nn` keep for ever the group that is there when they
    are imported, which a training does somewhere on its way; so it is imported while there is none.
    """
    import torch.distributed.nn  # noqa: F401
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=cpu)
    yield accelerator
    accelerator.free_memory()
    accelerator.end_training()


@dataclass(frozen=True)
class Workers:
    """One process of those that train together; without an accelerator it is the only one.

    Every process walks through the same batches and takes its share of each, so that a step is the same step however
    many processes take it.
    """

    accelerator: "Accelerator | None" = None

    @property
    def count(self) -> int:
        """How many processes there are."""
        return self.accelerator.num_processes if self.accelerator else 1

    @property
    def number(self) -> int:
        """Which of them this is, from 0."""
        return self.accelerator.process_index if self.accelerator else 0

    def share(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch (B,); every `count`th, since batches are sorted by length."""
        return batch[self.number :: self.count]

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network whose backward pass leaves the mean of all processes' gradients."""
        return cast(nn.Module, self.accelerator.prepare(network)) if self.accelerator else network

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        return cast(Tensor, self.accelerator.reduce(value, "sum")) if self.accelerator else value

    def from_first(self, make: Callable[[], Any]) -> Any:
        """Return what the first process makes, on all of them."""
        if self.accelerator is None:
            return make()
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([make() if self.number == 0 else None])[0]
