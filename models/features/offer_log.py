"""Logged offers as tensors on a device, batched by history without Python per row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features.columns import move, take
from models.features.decisions import Decisions
from models.features.encoding import EncodedDecisions, Encoding, Layout

_LAID_OUT_AT_ONCE = 64  # batches


class Offers(NamedTuple):
    """What was shown and what happened (R,)."""

    price_ratio: Tensor
    purchased: Tensor
    weight: Tensor
    residual: Tensor
    randomised: Tensor

    @classmethod
    def of(cls, decisions: Decisions, residual: NDArray[np.float64]) -> Self:
        """Return the offers' columns, weights normalised to mean 1."""
        weight = decisions.weight / decisions.weight.mean()
        columns = (decisions.price_ratio, decisions.purchased, weight, residual, decisions.randomised)
        return cls(*(torch.tensor(column, dtype=torch.float32) for column in columns))


@dataclass(frozen=True)
class Log:
    """Encoded decisions, their offers, and the rows of each history, ready to be batched on a device.

    Row numbers sorted by history are `rows` (R,); history h owns `rows[first[h] : first[h] + count[h]]` and has seen
    `events[h]` events. `count` and `events` (H,) are in main memory as well as the order of the batches: a number that
    Python asks of a GPU comes only when all that it was told before is done.
    """

    decisions: EncodedDecisions
    offers: Offers
    rows: Tensor
    first: Tensor
    count: Tensor
    events: Tensor

    @classmethod
    def of(cls, decisions: Decisions, encoding: Encoding, residual: NDArray[np.float64], device: torch.device) -> Self:
        """Return the log of `decisions` on `device`."""
        encoded = encoding.encode(decisions)
        count = encoded.history.bincount(minlength=len(encoded.histories.start))
        events = encoded.histories.end - encoded.histories.start
        rows, first = encoded.history.argsort(stable=True), count.cumsum(0) - count
        offers = move(Offers.of(decisions, residual), device)
        return cls(move(encoded, device), offers, rows.to(device), first.to(device), count, events)

    def batches(self, size: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """History numbers (B,), by length or, with a generator, in random batches of similar length.

        Sorting 16 batches at a time by length keeps the order random and saves most of the padding.
        """
        if generator is None:
            chunks = [self.events.argsort(stable=True)]
        else:
            chunks = list(torch.split(torch.randperm(len(self.events), generator=generator), 16 * size))
        ordered = [chunk[self.events[chunk].argsort(stable=True)] for chunk in chunks]
        batches = [batch for chunk in ordered for batch in torch.split(chunk, size)]
        turn = torch.randperm(len(batches), generator=generator).tolist() if generator else range(len(batches))
        return [batches[number] for number in turn]

    def read(self, batches: Sequence[Tensor]) -> Iterator[tuple[EncodedDecisions, Offers]]:
        """Yield all offers of each batch of histories (B,)."""
        return map(self.take, self.layouts(batches))

    def take(self, layout: Layout) -> tuple[EncodedDecisions, Offers]:
        """Return the offers of a batch."""
        return self.decisions.batch(layout), take(self.offers, layout.rows)

    def layouts(self, batches: Sequence[Tensor]) -> Iterator[Layout]:
        """Yield which rows, histories and products are those of each batch of histories (B,)."""
        for first in range(0, len(batches), _LAID_OUT_AT_ONCE):
            yield from self._lay_out(list(batches[first : first + _LAID_OUT_AT_ONCE]))

    def _lay_out(self, batches: list[Tensor]) -> Iterator[Layout]:
        """Lay out some batches together, so that a GPU is waited for once and not in each."""
        device, known = self.rows.device, len(self.decisions.products.product)
        sizes, offers = [len(batch) for batch in batches], [int(self.count[batch].sum()) for batch in batches]
        longest = [int(self.events[batch].max()) if len(batch) else 0 for batch in batches]
        chosen = torch.cat(batches)
        histories, count = chosen.to(device), self.count[chosen].to(device)
        history = _repeated(count)
        place = torch.arange(sum(offers), device=device) - _before(count)[history]
        rows = self.rows[self.first[histories][history] + place]
        batch = _repeated(torch.tensor(offers, device=device))
        found, product = torch.unique(batch * known + self.decisions.product[rows], return_inverse=True)
        shown = torch.bincount(found // known, minlength=len(batches))
        history = history - _before(torch.tensor(sizes, device=device))[batch]
        product = product - _before(shown)[batch]
        sections = ((rows, offers), (histories, sizes), (history, offers), (found % known, shown.tolist()),
                    (product, offers))  # fmt: skip
        yield from map(Layout, *(torch.split(part, lengths) for part, lengths in sections), longest)


def _repeated(count: Tensor) -> Tensor:
    """Return each place of `count` (N,) as often as it says."""
    return torch.arange(len(count), device=count.device).repeat_interleave(count)


def _before(count: Tensor) -> Tensor:
    """Return how many there are before each place of `count` (N,)."""
    return count.cumsum(0) - count
