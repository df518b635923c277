"""Fits a demand model to logged offers."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.demand.checkpoint import Checkpoint, TrainingRun
from models.demand.logistic import OPEN, maximum_likelihood
from models.demand.network import DemandModel, Response
from models.demand.recorded_step import RecordedSteps
from models.demand.workers import Workers
from models.errors import PricingError
from models.features.decisions import Decisions
from models.features.encoding import EncodedDecisions, Encoding, Layout
from models.features.offer_log import Log, Offers
from models.form import FORM, Within

if TYPE_CHECKING:
    from accelerate import Accelerator

ALONE = Workers()
Progress = Callable[[int, float, float], None]
Step = Callable[[Layout, Tensor, float], Tensor]
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
        weight_decay: decoupled decay of matrices and embeddings, but for the maps of texts and images.
        personal_mask_share: share of histories whose personal data are hidden, so that the masked curve is the
            population's.
        identity_mask_share: share of a batch's products whose identity is hidden, so that texts, images and attributes
            learn to speak for new products; only where texts or images are read. Of a half (Volkovs et al., DropoutNet,
            NeurIPS 2017) known products' prices lose nothing, and those of new ones forgo less.
        compiled: whether a GPU compiles the network first; that takes most of a minute for each size of batch, and
            training is 1.4 to 1.6 times as fast from then on.
        seed: of weights, order, masks and dropout.

    """

    __pydantic_config__: ClassVar = FORM

    epochs: Annotated[int, Within(ge=1, le=1000)] = 5
    patience: Annotated[int, Within(ge=1, le=1000)] = 2
    histories: Annotated[int, Within(ge=1, le=1_000_000)] = 512
    learning_rate: Annotated[float, Within(gt=0, le=1)] = 2e-3
    weight_decay: Annotated[float, Within(ge=0, le=100)] = 0.1
    personal_mask_share: Annotated[float, Within(ge=0, le=1)] = 0.15
    identity_mask_share: Annotated[float, Within(ge=0, le=1)] = 0.5
    compiled: bool = False
    seed: Annotated[int, Within(ge=0, lt=2**32)] = 0


# What suits some ten thousand offers: smaller batches for enough steps, a stronger pull of all weights to 0, and all of
# the schedule, since the few validation offers are too noisy to stop by.
SMALL_LOG_TRAINING = TrainingConfig(epochs=6, patience=6, histories=64, learning_rate=4e-3, weight_decay=0.5)


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
    checkpoint: Checkpoint | None = None,
    accelerator: "Accelerator | None" = None,
) -> TrainingReport:
    """Fits the network in place by weighted maximum likelihood and keeps the epoch best on `validation`.

    `progress` is called after each epoch with its number, training and validation loss. With a `checkpoint` a killed
    run goes on from its last finished epoch, with the result of one that was never killed. With an `accelerator` its
    processes share each batch; all of them hold both logs and the same first weights.

    Raises:
        CheckpointError: the checkpoint is of another run.
        TrainingError: the loss is not finite.

    """
    workers = Workers(accelerator)
    identity = asdict(config) | {"offers": len(training.rows), "validation_offers": len(validation.rows)}
    state = workers.from_first(checkpoint.load) if checkpoint else None
    run = TrainingRun.resume(network, *_optimizer(network, training, config), identity, state)
    step = _step(network, training, config, workers)
    while run.epochs < config.epochs and run.epochs - run.best_epoch < config.patience:
        losses = (
            _epoch(run, network, step, training, config, workers),
            log_loss(network, validation, workers=workers),
        )
        run.record(*(_finite(loss, run.epochs + 1, config) for loss in losses))
        if checkpoint and workers.number == 0:
            checkpoint.save(run.state())
        if progress:
            progress(run.epochs, *losses)
    network.load_state_dict(run.best_weights)
    network.eval()
    return TrainingReport(run.training_loss, run.validation_loss, run.best_epoch)


def _epoch(
    run: TrainingRun, network: DemandModel, step: Step, training: Log, config: TrainingConfig, workers: Workers
) -> float:
    """Take every batch once and return the mean log loss.

    Order and hidden histories are the same in all processes; dropout and hidden products are each one's own.
    """
    generator = torch.Generator().manual_seed(_seed(config.seed, run.epochs))
    torch.manual_seed(_seed(config.seed, run.epochs, workers.number))
    network.train()
    total = torch.zeros((), device=training.rows.device)
    batches = training.batches(config.histories, generator)
    layouts = training.layouts(list(map(workers.share, batches)))
    for histories, layout in zip(batches, layouts, strict=True):
        hidden = torch.rand(len(histories), generator=generator) < config.personal_mask_share
        # The processes' gradients are averaged; times their number it is the sum over the batch.
        total += step(layout, workers.share(hidden), int(training.count[histories].sum()) / workers.count)
        run.optimizer.step()
        run.schedule.step()
    return float(workers.total(total)) / len(training.rows)


def _step(network: DemandModel, training: Log, config: TrainingConfig, workers: Workers) -> Step:
    """Return what leaves the gradients of a batch in the network, and returns its loss."""
    device = training.rows.device
    is_recorded = device.type == "cuda" and workers.count == 1
    forward = workers.wrap(network)
    if is_recorded and config.compiled:
        forward = cast(nn.Module, torch.compile(network, dynamic=False))

    def loss_of(decisions: EncodedDecisions, offers: Offers, hidden: Tensor) -> Tensor:
        return _negative_log_likelihood(network, _hide(decisions, hidden, config), offers, forward)

    if is_recorded:
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return RecordedSteps.on_gpu(training, parameters, loss_of, config.histories, network.user.history_length)

    def step(layout: Layout, hidden: Tensor, divisor: float) -> Tensor:
        network.zero_grad(set_to_none=True)
        loss = loss_of(*training.take(layout), hidden.to(device, non_blocking=True))
        (loss / divisor).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return step


def _hide(decisions: EncodedDecisions, histories: Tensor, config: TrainingConfig) -> EncodedDecisions:
    """Hide the personal data of `histories` (H,), and the identity of a share of the products."""
    decisions = decisions.mask(histories)
    if not (config.identity_mask_share and decisions.has_content):
        return decisions
    shown = decisions.products.product
    products = torch.rand(len(shown), device=shown.device) < config.identity_mask_share
    return decisions.mask_products(products)


@torch.no_grad()
def log_loss(network: DemandModel, log: Log, histories: int = 1024, workers: Workers = ALONE) -> float:
    """Weighted mean log loss of the network on a log."""
    network.eval()
    batches = list(map(workers.share, log.batches(histories)))
    parts = [_negative_log_likelihood(network, *batch) for batch in log.read(batches)]
    return float(workers.total(torch.stack(parts).sum())) / len(log.rows)


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
def refit_population(network: DemandModel, log: Log, histories: int = 1024) -> float:
    """Fits what all rows share once more, unpenalised, given how the network lets them differ.

    Returns the standard deviation that unrecorded demand then has in the log-odds of the rows whose price it may have
    moved; 0 without such rows.

    The start knew no levels of users and products, and a logit that leaves out such levels flattens every slope
    (Yatchew & Griliches, Review of Economics and Statistics 1985); few epochs of a penalised fit do not undo that.
    """
    network.eval()
    parts = [(network(decisions), offers) for decisions, offers in log.read(log.batches(histories))]
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
    unrecorded = (response.confounding.double().cpu().numpy() + fit[3]) * table[:, 3]
    moved = table[:, 3] != 0
    return float(np.sqrt(np.average(unrecorded[moved] ** 2, weights=weight[moved]))) if moved.any() else 0.0


def _negative_log_likelihood(
    network: DemandModel, decisions: EncodedDecisions, offers: Offers, forward: nn.Module | None = None
) -> Tensor:
    """Weighted sum over the rows, in full precision; `forward` is the network as it is trained."""
    device = offers.weight.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        response = (network if forward is None else forward)(decisions)
    log_odds = full_log_odds(network, response, offers)
    return functional.binary_cross_entropy_with_logits(log_odds, offers.purchased, offers.weight, reduction="sum")


def full_log_odds(network: DemandModel, response: Response, offers: Offers) -> Tensor:
    """Log-odds (R,) with what only the log has: the first stage's residual and whether the price was drawn."""
    logged = response.confounding * offers.residual + network.randomised_shift * offers.randomised
    return response.log_odds(offers.price_ratio) + logged


def _optimizer(
    network: DemandModel, training: Log, config: TrainingConfig
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # Each batch says little of what texts and pictures tell, so that a decay would hold their maps near 0 and leave new
    # products to be taken for typical ones.
    content = set(network.product.content.parameters())
    matrices = [parameter for parameter in parameters if parameter.ndim > 1 and parameter not in content]
    rest = [parameter for parameter in parameters if parameter.ndim <= 1 or parameter in content]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay, fused=True)
    total = max(2, math.ceil(len(training.count) / config.histories) * config.epochs)

    def rate(step: int) -> float:
        warm = total / 10
        return min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / total))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _seed(*numbers: int) -> int:
    """One seed of several numbers; neighbouring ones share nothing."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _finite(loss: float, epoch: int, config: TrainingConfig) -> float:
    if math.isfinite(loss):
        return loss
    raise TrainingError(
        f"the loss of epoch {epoch} is {loss}; lower the learning rate ({config.learning_rate}) or look for "
        "extreme prices or weights in the offers"
    )
