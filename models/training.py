"""Fits a demand model to logged offers."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.decisions import Decisions
from models.demand import DemandModel, Response
from models.encoding import EncodedDecisions, Encoding
from models.errors import PricingError
from models.logistic import maximum_likelihood

Progress = Callable[[int, float, float], None]
_POOLED_SENSITIVITY = (0.5, 50.0)  # a start outside of it comes from too little price variation to be believed


class TrainingError(PricingError):
    """A demand model cannot be fit to these offers."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a demand model is fit.

    Args:
        epochs: most passes over the offers.
        patience: epochs without a better validation loss before it stops.
        histories: user histories in a batch.
        learning_rate: peak of AdamW's rate; it warms up over a tenth of the steps and falls to 0 along a cosine.
        weight_decay: decoupled decay of matrices and embeddings.
        personal_mask_share: share of histories whose personal data are hidden, so that the masked curve is the
            population's.
        seed: of weights, order, masks and dropout.

    """

    epochs: int = 8
    patience: int = 2
    histories: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    personal_mask_share: float = 0.15
    seed: int = 0


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

    def take(self, rows: Tensor) -> "Offers":
        """Return the offers of `rows` (N,)."""
        return Offers(*(column[rows] for column in self))

    def to(self, device: torch.device) -> "Offers":
        """Return the same offers on `device`."""
        return Offers(*(column.to(device) for column in self))


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
    def of(
        cls, decisions: Decisions, encoding: Encoding, residual: NDArray[np.float64], device: torch.device
    ) -> Self:
        """Return the log of `decisions` on `device`."""
        encoded = encoding.encode(decisions).to(device)
        count = encoded.history.bincount(minlength=len(encoded.histories.start))
        rows = encoded.history.argsort(stable=True)
        return cls(encoded, Offers.of(decisions, residual).to(device), rows, count.cumsum(0) - count, count)

    def batch(self, histories: Tensor) -> tuple[EncodedDecisions, Offers]:
        """All offers of some histories (B,)."""
        count = self.count[histories]
        history = torch.arange(len(histories), device=count.device).repeat_interleave(count)
        place = torch.arange(len(history), device=count.device) - (count.cumsum(0) - count)[history]
        rows = self.rows[self.first[histories][history] + place]
        return self.decisions.batch(histories, rows, history), self.offers.take(rows)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """History numbers (B,), by length or, with a generator, in random batches of similar length.

        Sorting 16 batches at a time by length keeps the order random and saves most of the padding.
        """
        events = (self.decisions.histories.end - self.decisions.histories.start).cpu()
        if generator is None:
            chunks = [events.argsort(stable=True)]
        else:
            chunks = list(torch.randperm(len(events), generator=generator).split(16 * size))
        batches = [part for chunk in chunks for part in chunk[events[chunk].argsort(stable=True)].split(size)]
        turn = torch.randperm(len(batches), generator=generator).tolist() if generator else range(len(batches))
        for number in turn:
            yield batches[number].to(self.rows.device)


@dataclass(frozen=True)
class TrainingReport:
    """Log loss of each epoch, and the epoch (from 1) whose weights were kept."""

    training_loss: list[float]
    validation_loss: list[float]
    best_epoch: int


def train(
    network: DemandModel, training: Log, validation: Log, config: TrainingConfig, progress: Progress | None = None
) -> TrainingReport:
    """Fits the network in place by weighted maximum likelihood and keeps the epoch best on `validation`.

    `progress` is called after each epoch with its number, training and validation loss.

    Raises:
        TrainingError: the loss is not finite.

    """
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)  # dropout
    optimizer, schedule = _optimizer(network, config, steps=len(list(training.batches(config.histories))))
    losses: tuple[list[float], list[float]] = ([], [])
    best, best_weights = math.inf, copy.deepcopy(network.state_dict())
    for epoch in range(1, config.epochs + 1):
        network.train()
        total = torch.zeros((), device=training.rows.device)
        for histories in training.batches(config.histories, generator):
            hidden = torch.rand(len(histories), generator=generator) < config.personal_mask_share
            decisions, offers = training.batch(histories)
            decisions = decisions.mask(hidden.to(histories.device))
            optimizer.zero_grad(set_to_none=True)
            loss = _negative_log_likelihood(network, decisions, offers)
            (loss / len(offers.weight)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach()
        for part, value in zip(losses, (float(total) / len(training.rows), log_loss(network, validation)), strict=True):
            part.append(_finite(value, epoch, config))
        if progress:
            progress(epoch, losses[0][-1], losses[1][-1])
        if losses[1][-1] < best:
            best, best_weights = losses[1][-1], copy.deepcopy(network.state_dict())
        elif epoch - _best_epoch(losses[1]) >= config.patience:
            break
    network.load_state_dict(best_weights)
    network.eval()
    return TrainingReport(*losses, best_epoch=_best_epoch(losses[1]))


@torch.no_grad()
def log_loss(network: DemandModel, log: Log, histories: int = 1024) -> float:
    """Weighted mean log loss of the network on a log."""
    network.eval()
    parts = [_negative_log_likelihood(network, *log.batch(batch)) for batch in log.batches(histories)]
    return float(torch.stack(parts).sum()) / len(log.rows)


def start_from_pooled(network: DemandModel, training: Decisions, residual: NDArray[np.float64]) -> None:
    """Start the network at one response for all: a logit on price, residual and the product's mean price ratio.

    The mean of the product (Mundlak, Econometrica 1978) takes up that products which differ in price differ in demand
    too; it is left out of the start, the product's own level replaces it.
    """
    rate = np.average(training.purchased, weights=training.weight)
    if not 0 < rate < 1:
        raise TrainingError("the training offers are all bought or all refused; a demand model needs both")
    ratio, product = training.price_ratio, pd.factorize(training.frame["product_id"])[0]
    typical = (np.bincount(product, ratio) / np.bincount(product))[product]
    columns = np.column_stack(
        [np.ones(len(ratio)), 1 - ratio, residual, training.randomised, typical - typical.mean()]
    )
    start = np.array([math.log(rate / (1 - rate)), 1.0, 0.0, 0.0, 0.0])
    bounds = [(None, None) if column.any() else (0.0, 0.0) for column in columns.T]
    bounds[1] = _POOLED_SENSITIVITY
    fit = maximum_likelihood(columns, training.purchased, training.weight, start, bounds)
    network.start_from(*fit[:4].tolist())


@torch.no_grad()
def refit_population(network: DemandModel, log: Log, histories: int = 1024) -> None:
    """Fits what all rows share once more, unpenalised, given how the network lets them differ.

    The start knew no levels of users and products, and a logit that leaves out such levels flattens every slope
    (Yatchew & Griliches, Review of Economics and Statistics 1985); few epochs of a penalised fit do not undo that.
    """
    network.eval()
    parts = [(network(decisions), offers) for decisions, offers in map(log.batch, log.batches(histories))]
    response = Response(*map(torch.cat, zip(*(part for part, _ in parts), strict=True)))
    offers = Offers(*map(torch.cat, zip(*(part for _, part in parts), strict=True)))
    level = full_log_odds(network, response, offers) - response.sensitivity * (1 - offers.price_ratio)
    price = response.sensitivity * (1 - offers.price_ratio)
    columns = torch.stack([level, price, torch.ones_like(level), offers.residual, offers.randomised], dim=1)
    columns, purchased, weight = (part.double().cpu().numpy() for part in (columns, offers.purchased, offers.weight))
    bounds = [(1.0, 1.0), (0.1, 10.0), *((None, None) if column.any() else (0.0, 0.0) for column in columns.T[2:])]
    start = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
    _, scale, *shifts = maximum_likelihood(columns, purchased, weight, start, bounds).tolist()
    network.adjust(scale, *shifts)


def _negative_log_likelihood(network: DemandModel, decisions: EncodedDecisions, offers: Offers) -> Tensor:
    """Weighted sum over the rows, in full precision."""
    device = offers.weight.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        response = network(decisions)
    log_odds = full_log_odds(network, response, offers)
    return functional.binary_cross_entropy_with_logits(
        log_odds, offers.purchased, offers.weight, reduction="sum"
    )


def full_log_odds(network: DemandModel, response: Response, offers: Offers) -> Tensor:
    """Log-odds (R,) with what only the log has: the first stage's residual and whether the price was drawn."""
    logged = response.confounding * offers.residual + network.randomised_shift * offers.randomised
    return response.log_odds(offers.price_ratio) + logged


def _optimizer(
    network: DemandModel, config: TrainingConfig, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    matrices = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay, fused=True)
    total = max(2, steps * config.epochs)

    def rate(step: int) -> float:
        warm = total / 10
        return min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / total))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _finite(loss: float, epoch: int, config: TrainingConfig) -> float:
    if math.isfinite(loss):
        return loss
    raise TrainingError(
        f"the loss of epoch {epoch} is {loss}; lower the learning rate ({config.learning_rate}) or look for "
        "extreme prices or weights in the offers"
    )


def _best_epoch(validation_loss: list[float]) -> int:
    return int(np.argmin(validation_loss)) + 1
