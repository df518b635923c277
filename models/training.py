"""Fits a demand model to logged offers."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

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
from models.features import move, take
from models.logistic import OPEN, maximum_likelihood

Progress = Callable[[int, float, float], None]
_FIXED_AT_0, _FIXED_AT_1, _RESCALING = (0.0, 0.0), (1.0, 1.0), (0.1, 10.0)
# A start outside of this comes from too little price variation, or from confounding, and is not to be believed.
_POOLED_SENSITIVITY = (0.5, 50.0)


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

    epochs: int = 5
    patience: int = 2
    histories: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
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


@dataclass(frozen=True)
class TrainingReport:
    """Log loss of each epoch, and the epoch (from 1) whose weights were kept."""

    training_loss: list[float]
    validation_loss: list[float]
    best_epoch: int


def train(
    network: DemandModel,
    training: Log,
    validation: Log,
    config: TrainingConfig,
    progress: Progress | None = None,
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


def start_from_pooled(
    network: DemandModel, training: Decisions, encoding: Encoding, residual: NDArray[np.float64]
) -> None:
    """Start the network at one response for all.

    It is that of a logit on price and residual with all numeric features and a level for each product, so that
    neither the products that are often cheap nor the users who meet low prices are mistaken for a price effect.

    Raises:
        TrainingError: all offers were bought, or none.

    """
    purchased, weight, ratio = training.purchased, training.weight, training.price_ratio
    rate = np.average(purchased, weights=weight)
    if not 0 < rate < 1:
        raise TrainingError("the training offers are all bought or all refused; a demand model needs both")
    shared = np.column_stack([1 - ratio, residual, training.randomised])
    features = encoding.flat(training)
    features = features[[name for name in features if not str(name).endswith("_code")]]
    controls = np.column_stack([features.fillna(0), features.isna()])
    columns = np.column_stack([np.ones(len(ratio)), shared, controls - controls.mean(axis=0)])
    start = np.zeros(columns.shape[1])
    start[0] = np.log(rate / (1 - rate))
    bounds = [OPEN if column.any() else _FIXED_AT_0 for column in columns.T]
    bounds[1] = _POOLED_SENSITIVITY
    product = pd.factorize(training.frame["product_id"])[0].astype("int64")
    slopes = maximum_likelihood(columns, purchased, weight, start, bounds, product)[1:4]
    around = np.column_stack([np.ones(len(ratio)), shared @ slopes])
    level, _ = maximum_likelihood(around, purchased, weight, np.array([start[0], 1.0]), [OPEN, _FIXED_AT_1])
    network.start_from(float(level), *slopes.tolist())


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
    price = response.sensitivity * (1 - offers.price_ratio)
    rest = full_log_odds(network, response, offers) - price
    columns = torch.stack([rest, price, torch.ones_like(rest), offers.residual, offers.randomised], dim=1)
    table, purchased, weight = (part.double().cpu().numpy() for part in (columns, offers.purchased, offers.weight))
    shifts = [OPEN if column.any() else _FIXED_AT_0 for column in table.T[2:]]
    start, bounds = np.array([1.0, 1.0, 0.0, 0.0, 0.0]), [_FIXED_AT_1, _RESCALING, *shifts]
    fit = maximum_likelihood(table, purchased, weight, start, bounds)
    network.adjust(*fit[1:].tolist())


def _negative_log_likelihood(network: DemandModel, decisions: EncodedDecisions, offers: Offers) -> Tensor:
    """Weighted sum over the rows, in full precision."""
    device = offers.weight.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        response = network(decisions)
    log_odds = full_log_odds(network, response, offers)
    return functional.binary_cross_entropy_with_logits(log_odds, offers.purchased, offers.weight, reduction="sum")


def full_log_odds(network: DemandModel, response: Response, offers: Offers) -> Tensor:
    """Log-odds (R,) with what only the log has: the first stage's residual and whether the price was drawn."""
    logged = response.confounding * offers.residual + network.randomised_shift * offers.randomised
    return response.log_odds(offers.price_ratio) + logged


def _optimizer(
    network: DemandModel, config: TrainingConfig, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    rest = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]
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
