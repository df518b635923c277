"""Logged offers as tensors on a device, batched by history without Python per row."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features.columns import move, take
from models.features.decisions import Decisions
from models.features.encoding import EncodedDecisions, Encoding


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

    Row numbers sorted by history are `rows` (R,); history h owns `rows[first[h] : first[h] + count[h]]`.
    """

    decisions: EncodedDecisions
    offers: Offers
    rows: Tensor
    first: Tensor
    count: Tensor

    @classmethod
    def of(cls, decisions: Decisions, encoding: Encoding, residual: NDArray[np.float64], device: torch.device) -> Self:
        """Return the log of `decisions` on `device`."""
        encoded = move(encoding.encode(decisions), device)
        count = encoded.history.bincount(minlength=len(encoded.histories.start))
        rows = encoded.history.argsort(stable=True)
        offers = move(Offers.of(decisions, residual), device)
        return cls(encoded, offers, rows, count.cumsum(0) - count, count)

    def batch(self, histories: Tensor) -> tuple[EncodedDecisions, Offers]:
        """All offers of some histories (B,)."""
        count = self.count[histories]
        history = torch.arange(len(histories), device=count.device).repeat_interleave(count)
        place = torch.arange(len(history), device=count.device) - (count.cumsum(0) - count)[history]
        rows = self.rows[self.first[histories][history] + place]
        return self.decisions.batch(histories, rows, history), take(self.offers, rows)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """History numbers (B,), by length or, with a generator, in random batches of similar length.

        Sorting 16 batches at a time by length keeps the order random and saves most of the padding.
        """
        events = (self.decisions.histories.end - self.decisions.histories.start).cpu()
        if generator is None:
            chunks = [events.argsort(stable=True)]
        else:
            chunks = list(torch.split(torch.randperm(len(events), generator=generator), 16 * size))
        ordered = [chunk[events[chunk].argsort(stable=True)] for chunk in chunks]
        batches = [batch for chunk in ordered for batch in torch.split(chunk, size)]
        turn = torch.randperm(len(batches), generator=generator).tolist() if generator else range(len(batches))
        for number in turn:
            yield batches[number].to(self.rows.device)
