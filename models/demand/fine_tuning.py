"""Fine-tuning of a text encoder on the demand likelihood: a new encoder, read from then on like a frozen one."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.demand.first_stage import FirstStage
from models.demand.network import DemandConfig, DemandModel
from models.demand.text_places import TextPlaces
from models.demand.training import TrainingConfig, full_log_odds, log_loss, start_from_pooled, train
from models.features.content import ContentError
from models.features.decisions import Decisions
from models.features.encoding import EncodedDecisions, Encoding
from models.features.offer_log import Log
from models.features.text import TextEncoder

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class FineTuning:
    """How a text encoder is fine-tuned.

    Args:
        method: `lora` trains an addition of low rank to each linear map (Hu et al., ICLR 2022), `whole` all weights.
        rank: of LoRA's additions.
        epochs: passes over the offers; the best on the validation part is kept.
        histories: user histories in a batch, whose products' texts are each read once.
        lora_learning_rate: peak of AdamW's rate for LoRA's additions.
        whole_learning_rate: the same for all weights of an encoder, which have more to lose.
        head_learning_rate: the same for the demand model on top, which has been fit already.
        identity_mask_share: share of a batch's products whose identity is hidden. A product that is known needs no
            text, so most are hidden, and the encoder learns from what only texts can tell.
        demand: the demand model on top.
        training: how it is fit to the frozen encoder's vectors first.
        seed: of first weights, order, masks and dropout.

    """

    method: Literal["lora", "whole"] = "lora"
    rank: int = 8
    epochs: int = 4
    histories: int = 256
    lora_learning_rate: float = 5e-4
    whole_learning_rate: float = 5e-5
    head_learning_rate: float = 1e-3
    identity_mask_share: float = 0.7
    demand: DemandConfig = field(default_factory=DemandConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 0

    @property
    def encoder_learning_rate(self) -> float:
        """The rate of the method."""
        return self.lora_learning_rate if self.method == "lora" else self.whole_learning_rate


@dataclass(frozen=True)
class FineTuningReport:
    """Log loss on the validation part, all products' identities hidden; first with the frozen encoder (epoch 0)."""

    validation_loss: list[float]

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept; 0 is the frozen encoder."""
        return int(np.nanargmin(self.validation_loss))


def fine_tune(
    encoder: TextEncoder,
    texts: Mapping[str, str],
    training: Decisions,
    validation: Decisions,
    config: FineTuning,
    device: torch.device,
    progress: Progress | None = None,
) -> tuple[TextEncoder, FineTuningReport]:
    """Return an encoder whose vectors tell more of demand; the one given stays as it is.

    A demand model is fit to the frozen vectors, then trained on together with the encoder. The place of a text is that
    of its new vector in the space of the frozen ones. `progress` is called with each epoch and its validation loss.

    Args:
        encoder: made the text vectors of the decisions' content.
        texts: by product id.
        training: learnt from.
        validation: chooses the epoch.
        config: the method and its settings.
        device: of the training; the result is there too.
        progress: told of every epoch.

    Raises:
        ContentError: the texts do not differ, the encoder has a decoder, or LoRA is asked for without peft.
        TrainingError: the offers hold one outcome only, or the loss is not finite.

    """
    network = copy.deepcopy(encoder.network).to(device)
    tuned = replace(encoder, network=_trainable(network, config))
    encoding = Encoding.fit(training, content_directions=config.demand.content_directions)
    if encoding.text is None:
        raise ContentError("the texts of the products on offer do not differ: there is nothing to fine-tune on")
    places = TextPlaces.of(tuned, texts, encoding.text, device)
    first_stage = FirstStage.fit(training, encoding, config.seed)
    numbered = replace(encoding, text=places.number_space)
    logs = _Logs(
        *(Log.of(places.number(part), numbered, first_stage.residual(part), device) for part in (training, validation))
    )
    torch.manual_seed(config.seed)
    head = DemandModel(config.demand, encoding)
    start_from_pooled(head, training, encoding, first_stage.residual(training))
    report = _Run(head.to(device), places, logs, config).tune(progress)
    return replace(encoder, network=_merged(tuned.network, config).eval().requires_grad_(False)), report


class _Logs(NamedTuple):
    """Offers whose products have numbers for texts."""

    training: Log
    validation: Log


@dataclass
class _Run:
    """Encoder and demand model as they learn together."""

    head: DemandModel
    places: TextPlaces
    logs: _Logs
    config: FineTuning
    losses: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    def tune(self, progress: Progress | None) -> FineTuningReport:
        """Leave the encoder with the weights of its best epoch."""
        self._fit_head()
        optimizer, schedule = self._optimizer()
        generator = torch.Generator().manual_seed(self.config.seed)
        for epoch in range(self.config.epochs + 1):
            if epoch:
                self._pass(optimizer, schedule, generator)
            self._judge()
            if progress:
                progress(epoch, self.losses[-1])
        self._encoder.load_state_dict(self.best, strict=False)
        return FineTuningReport(self.losses)

    @property
    def _encoder(self) -> nn.Module:
        return self.places.encoder.network

    def _fit_head(self) -> None:
        training, validation = map(self.places.filled, (self.logs.training, _unknown(self.logs.validation)))
        config = replace(self.config.training, identity_mask_share=self.config.identity_mask_share)
        train(self.head, training, validation, config)

    def _optimizer(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        groups: list[dict[str, Any]] = [
            {"params": list(_trained(self._encoder).values()), "lr": self.config.encoder_learning_rate},
            {"params": list(self.head.parameters()), "lr": self.config.head_learning_rate},
        ]
        optimizer = torch.optim.AdamW(groups)
        steps = max(2, math.ceil(len(self.logs.training.count) / self.config.histories) * self.config.epochs)

        def rate(step: int) -> float:
            return min((step + 1) / (steps / 10), 0.5 + 0.5 * math.cos(math.pi * step / steps))

        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def _pass(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        generator: torch.Generator,
    ) -> None:
        """Take every batch once; the encoder itself drops nothing out."""
        self.head.train()
        training = self.logs.training
        for decisions, offers in training.read(training.batches(self.config.histories, generator)):
            decisions = _hide(self.places.fill(decisions), self.config, generator)
            log_odds = full_log_odds(self.head, self.head(decisions), offers)
            loss = functional.binary_cross_entropy_with_logits(log_odds, offers.purchased, offers.weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()

    def _judge(self) -> None:
        """Measure the epoch on the validation part, and keep the encoder's weights where it is the best so far."""
        self.losses.append(log_loss(self.head, self.places.filled(_unknown(self.logs.validation))))
        if FineTuningReport(self.losses).best_epoch == len(self.losses) - 1:
            self.best = {name: weight.detach().clone() for name, weight in _trained(self._encoder).items()}


def _hide(decisions: EncodedDecisions, config: FineTuning, generator: torch.Generator) -> EncodedDecisions:
    """Hide the personal data of some histories, and the identity of most products."""

    def drawn(rows: Tensor, share: float) -> Tensor:
        return (torch.rand(len(rows), generator=generator) < share).to(rows.device)

    decisions = decisions.mask(drawn(decisions.histories.start, config.training.personal_mask_share))
    return decisions.mask_products(drawn(decisions.products.product, config.identity_mask_share))


def _unknown(log: Log) -> Log:
    """Return the log as if none of its products had been seen before, which leaves it to texts to tell them apart."""
    product = log.decisions.products.product
    return replace(log, decisions=log.decisions.mask_products(torch.ones_like(product, dtype=torch.bool)))


def _trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def _trainable(network: nn.Module, config: FineTuning) -> nn.Module:
    """Return the network with the weights that the method trains."""
    settings: Any = network.config
    if getattr(settings, "is_encoder_decoder", False):
        raise ContentError(
            f"a text encoder of an encoder with a decoder ({settings.model_type}) cannot be fine-tuned: name one that"
            " is an encoder alone, or leave it frozen"
        )
    if config.method == "whole":
        return network.requires_grad_(True)
    if find_spec("peft") is None:
        raise ContentError("LoRA needs the package peft: install it with `pip install peft`, or tune the whole encoder")
    from peft import LoraConfig, LoraModel

    torch.manual_seed(config.seed)  # the additions' first weights
    lora = LoraConfig(r=config.rank, lora_alpha=2 * config.rank, lora_dropout=0.0, target_modules="all-linear")
    adapted: nn.Module = LoraModel(network, lora, "default")
    return adapted.eval()


def _merged(network: nn.Module, config: FineTuning) -> nn.Module:
    """Return the network as one of Hugging Face's own, LoRA's additions added to its weights."""
    merged: nn.Module = network.merge_and_unload() if config.method == "lora" else network  # type: ignore[operator]
    return merged
