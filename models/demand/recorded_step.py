"""The forward and backward pass of a batch on a GPU, recorded once for each size and from then on launched as one.

A pass of this network is several hundred small kernels, and to launch one takes longer than to run it. A CUDA graph
(https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#cuda-graphs) launches them together, and so runs as
fast as they do. It has fixed sizes and fixed places in memory: a batch fills the beginning of buffers that are
somewhat larger, and what is behind it has the weight 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from models.features.encoding import EncodedDecisions, Layout
from models.features.offer_log import Log, Offers

Loss = Callable[[EncodedDecisions, Offers, Tensor], Tensor]
Run = Callable[[], None]
_WARM_UP = 3  # passes before the recording, in which libraries choose their kernels and take their memory
_SIZES_OF_AN_OCTAVE = 4  # from a size to twice that


class _Size(NamedTuple):
    """Rows, products and events of a history that a recording has room for."""

    rows: int
    products: int
    longest: int


@dataclass
class RecordedSteps:
    """Leaves in `parameters` the gradients of each batch of a log, as a step that is not recorded does.

    Args:
        log: that the batches are of.
        parameters: of the network.
        loss: the summed loss of decisions, their offers, and which histories (B,) are hidden.
        histories: most in a batch.
        history_length: events that the network reads of a history.
        record: makes a replay of what it runs.

    """

    log: Log
    parameters: Sequence[nn.Parameter]
    loss: Loss
    histories: int
    history_length: int
    record: Callable[[Run], Run]
    _steps: dict[_Size, "_Step"] = field(default_factory=dict)

    @classmethod
    def on_gpu(
        cls, log: Log, parameters: Sequence[nn.Parameter], loss: Loss, histories: int, history_length: int
    ) -> Self:
        """Record CUDA graphs, which share their memory."""
        pool = torch.cuda.graph_pool_handle()
        return cls(log, parameters, loss, histories, history_length, lambda run: _recorded(run, pool))

    def __call__(self, layout: Layout, hidden: Tensor, divisor: float) -> Tensor:
        """Return the loss of a batch; the gradients are those of the loss over `divisor`.

        It holds until the next call.
        """
        longest = min(_power_of_two(layout.longest), self.history_length)
        size = _Size(_room(len(layout.rows)), _power_of_two(len(layout.products)), longest)
        step = self._steps.get(size)
        if step is None:
            step = self._steps[size] = _Step(self, size)
            step.fill(layout, hidden, divisor)
            step.replay = self.record(step.run)
        step.fill(layout, hidden, divisor)
        step.replay()
        for parameter, gradient in zip(self.parameters, step.gradients, strict=True):
            parameter.grad = gradient
        return step.loss


class _Step:
    """Buffers of one size, what is computed of them, and the replay of that."""

    replay: Run
    loss: Tensor
    gradients: tuple[Tensor | None, ...]

    def __init__(self, steps: RecordedSteps, size: _Size) -> None:
        device = steps.log.rows.device

        def places(count: int) -> Tensor:
            return torch.zeros(count, dtype=torch.int64, device=device)

        self.steps = steps
        rows, histories, history, products, product = map(
            places, (size.rows, steps.histories, size.rows, size.products, size.rows)
        )
        self.layout = Layout(rows, histories, history, products, product, size.longest)
        self.hidden = torch.zeros(steps.histories, dtype=torch.bool, device=device)
        self.count, self.divisor = places(1), torch.ones(1, device=device)

    def fill(self, layout: Layout, hidden: Tensor, divisor: float) -> None:
        """Put a batch into the buffers; what an earlier one left behind it stays and is not counted."""
        for place, value in zip((*self.layout[:-1], self.hidden), (*layout[:-1], hidden), strict=True):
            place[: len(value)].copy_(value, non_blocking=True)
        self.count.fill_(len(layout.rows))
        self.divisor.fill_(divisor)

    def run(self) -> None:
        """Compute loss and gradients of what is in the buffers."""
        decisions, offers = self.steps.log.take(self.layout)
        is_counted = torch.arange(len(offers.weight), device=offers.weight.device) < self.count
        loss = self.steps.loss(decisions, offers._replace(weight=offers.weight * is_counted), self.hidden)
        self.gradients = torch.autograd.grad(loss / self.divisor[0], self.steps.parameters, allow_unused=True)
        self.loss = loss.detach()


def _recorded(run: Run, pool: Any) -> Run:
    """Record what `run` asks of the GPU; random numbers go on from where they were before."""
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng([torch.cuda.current_device()]):
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph, pool=pool):
            run()
    replay: Run = graph.replay
    return replay


def _room(count: int) -> int:
    """Return a size with room for `count`, at most a quarter larger; there are few of them."""
    step = max(1, _power_of_two(count) // (2 * _SIZES_OF_AN_OCTAVE))
    return -(-count // step) * step


def _power_of_two(count: int) -> int:
    """Return the smallest power of two that is not below, and 0 for nothing."""
    return 1 << (count - 1).bit_length() if count else 0
