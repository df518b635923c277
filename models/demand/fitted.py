"""A fitted demand model: what is stored, registered and asked for demand curves."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.demand.checkpoint import Checkpoint
from models.demand.demand_curve import DemandCurve
from models.demand.first_stage import FirstStage, FirstStageReport
from models.demand.network import DemandConfig, DemandModel, Response
from models.demand.recalibration import PRIOR_SD, Recalibration, averaging, fit_newest, recalibrate
from models.demand.training import (
    Progress,
    TrainingConfig,
    TrainingReport,
    refit_population,
    start_from_pooled,
    train,
)
from models.features.columns import move
from models.features.content import Encoders
from models.features.decisions import Decisions
from models.features.encoding import Encoding
from models.features.offer_log import Log

if TYPE_CHECKING:
    from accelerate import Accelerator

Array = NDArray[np.float64]

_BLOCK = 16_384
_ENCODING, _MEMBER = "encoding.", "member."


@dataclass(frozen=True)
class FittedDemand:
    """Encoding, networks and recalibrations: decisions in, demand curves out.

    `recalibration` corrects personal curves and `population` those without personal data. `others` are the further
    members of an ensemble (Lakshminarayanan et al., NeurIPS 2017): the same network, learnt from another seed.
    """

    encoding: Encoding
    config: DemandConfig
    network: DemandModel
    recalibration: Recalibration
    population: Recalibration
    others: tuple[DemandModel, ...] = ()

    @property
    def members(self) -> tuple[DemandModel, ...]:
        """All networks of the ensemble."""
        return (self.network, *self.others)

    @property
    def encoders(self) -> Encoders:
        """The encoders of products' texts and images that decisions must bring their content from."""
        return self.encoding.encoders

    def curve(self, decisions: Decisions, personal: bool = True, block: int = _BLOCK) -> DemandCurve:
        """Return the demand curve of every decision, averaged over what moved logged prices and nobody recorded.

        Without `personal`, and for users without consent, it is the population's. Memory is bounded by `block` rows;
        decisions of one user are scored side by side, so that the user tower runs about once a user.
        """
        level, sensitivity, _ = self._members_responses(decisions, personal, block).mean(axis=0)
        return self._recalibrate(DemandCurve(sensitivity, 1 + level / sensitivity), decisions, personal)

    def spread(self, decisions: Decisions, price_ratio: Array | float = 1.0, personal: bool = True) -> Array:
        """Return the members' standard deviation of the log-odds of purchase at a price ratio (rows,).

        It is 0 everywhere for a single network, which does not know what it does not know.
        """
        responses = self._members_responses(decisions, personal)
        curves = [DemandCurve(sensitivity, 1 + level / sensitivity) for level, sensitivity, _ in responses]
        logits = [self._recalibrate(curve, decisions, personal).logit(price_ratio) for curve in curves]
        return np.asarray(np.std(logits, axis=0))

    def probability(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Return the purchase probability (rows,) at price / list price (rows,)."""
        return self.curve(decisions).purchase_probability(price_ratio)

    def averaged(self, unrecorded: float) -> Self:
        """Return the same curves averaged over unrecorded demand, of this standard deviation in the log-odds."""
        scale = averaging(unrecorded)
        mean = Recalibration(level_scale=scale, sensitivity_scale=scale)
        return replace(self, recalibration=self.recalibration.then(mean), population=self.population.then(mean))

    def recalibrated(self, offers: Decisions) -> Self:
        """Return the same curves, corrected on the offers whose price was drawn."""
        drawn = offers.select(offers.randomised)

        def corrected(personal: bool, rows: NDArray[np.bool_]) -> Recalibration:
            curve, seen = self.curve(drawn, personal).take(rows), drawn.select(rows)
            known = self.recalibration if personal else self.population
            return known.then(recalibrate(curve, seen.price_ratio, seen.purchased, seen.weight, PRIOR_SD))

        everyone = np.ones(len(drawn), dtype=bool)
        return replace(self, recalibration=corrected(True, drawn.consent), population=corrected(False, everyone))

    def fitting_newest(self, newest: Decisions, residual: Array, unrecorded: float) -> Self:
        """Return the same curves with level and spread of the newest offers, which the networks did not learn from.

        The market's level drifts over a log, while who differs from whom stays. `residual` (rows,) is the first
        stage's, so that a passing shock which also moved those offers' prices is not taken for the level; where it is
        known, the curve is not averaged over it (see `averaged`).
        """
        scale, explained = averaging(unrecorded), newest.unconfounded | (residual != 0)

        def moved(personal: bool, rows: NDArray[np.bool_]) -> Recalibration:
            confounding = self._members_responses(newest, personal)[:, 2].mean(axis=0)
            mean = self.curve(newest, personal).logit(newest.price_ratio)
            log_odds = np.where(residual == 0, mean, mean / scale + confounding * residual)
            known = self.recalibration if personal else self.population
            return known.then(fit_newest(log_odds[rows], newest.purchased[rows], newest.weight[rows], explained[rows]))

        everyone = np.ones(len(newest), dtype=bool)
        return replace(self, recalibration=moved(True, newest.consent), population=moved(False, everyone))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the weights, and everything else as a JSON-able description."""
        weights = {
            f"{_prefix(number)}{name}": tensor.detach().cpu().contiguous()
            for number, network in enumerate(self.members)
            for name, tensor in network.state_dict().items()
        }
        weights |= {f"{_ENCODING}{name}": tensor.contiguous() for name, tensor in self.encoding.tensors().items()}
        description = {
            "encoding": self.encoding.to_dict(),
            "config": asdict(self.config),
            "recalibration": self.recalibration.to_dict(),
            "population": self.population.to_dict(),
        }
        return weights, description

    @classmethod
    def from_state(cls, weights: dict[str, Tensor], description: dict[str, Any]) -> Self:
        """Return the model that `state` gave, on the CPU."""
        encoding = Encoding.from_dict(description["encoding"], _under(_ENCODING, weights))
        config = DemandConfig(**description["config"])
        first = {name: weights[name] for name in weights if not name.startswith((_ENCODING, _MEMBER))}
        parts = [first, *(_under(_prefix(number), weights) for number in range(1, config.members))]
        networks = [DemandModel(config, encoding).eval() for _ in parts]
        for network, part in zip(networks, parts, strict=True):
            network.load_state_dict(part)
        own, population = (Recalibration.from_dict(description[name]) for name in ("recalibration", "population"))
        return cls(encoding, config, networks[0], own, population, tuple(networks[1:]))

    def _recalibrate(self, curve: DemandCurve, decisions: Decisions, personal: bool) -> DemandCurve:
        if not personal:
            return self.population.apply(curve)
        own, masked = self.recalibration.apply(curve), self.population.apply(curve)
        consent = decisions.consent
        return DemandCurve(
            np.where(consent, own.sensitivity, masked.sensitivity),
            np.where(consent, own.valuation, masked.valuation),
        )

    @torch.no_grad()
    def _members_responses(self, decisions: Decisions, personal: bool, block: int = _BLOCK) -> Array:
        """Return level, sensitivity and confounding by each member (members, 3, rows)."""
        order = np.lexsort([decisions.decided_at, pd.factorize(decisions.frame["user_id"])[0]])
        device = self.network.randomised_shift.device
        events = self.encoding.encode_events(decisions.events)
        on_device = move(events, device)
        found = np.empty((len(self.members), len(Response._fields), len(decisions)))
        for start in range(0, len(order), block):
            rows = order[start : start + block]
            encoded = self.encoding.encode(decisions.select(rows), personal=personal, events=events)
            encoded = move(encoded._replace(events=on_device), device)
            for number, network in enumerate(self.members):
                found[number][:, rows] = _array(torch.stack(network(encoded)))
        return found


@dataclass(frozen=True)
class FitReport:
    """How a demand model came about; `training` is that of the ensemble's first network."""

    first_stage: FirstStageReport
    training: TrainingReport


def fit_demand(
    training: Decisions,
    validation: Decisions,
    config: DemandConfig,
    training_config: TrainingConfig,
    device: torch.device,
    progress: Progress | None = None,
    checkpoint_of: Callable[[int], Checkpoint] | None = None,
    accelerator: "Accelerator | None" = None,
) -> tuple[FittedDemand, FitReport]:
    """Return encoding, first stage, networks and recalibration in their order.

    The validation part stops the training and, together with the training part, recalibrates. The networks of an
    ensemble differ in their seeds: first weights, order of the batches, masks and dropout. `checkpoint_of` gives each
    network, by its number, the place from which a killed training goes on. With an `accelerator` all of its
    processes make this call with equal arguments, share each batch, and end with equal models.

    Raises:
        TrainingError: the offers have one outcome only, or the loss is not finite.

    """
    encoding = Encoding.fit(training, content_directions=config.content_directions)
    first_stage = FirstStage.fit(training, encoding, training_config.seed)
    residual = first_stage.residual(training)
    newest_residual = first_stage.residual(validation)
    logs = (Log.of(training, encoding, residual, device), Log.of(validation, encoding, newest_residual, device))
    networks, reports, spreads = [], [], []
    for number in range(config.members):
        seeded = replace(training_config, seed=training_config.seed + number)
        torch.manual_seed(seeded.seed)  # the network's first weights
        network = DemandModel(config, encoding)
        start_from_pooled(network, training, encoding, residual)
        checkpoint = checkpoint_of(number) if checkpoint_of else None
        reports.append(train(network.to(device), *logs, seeded, progress, checkpoint, accelerator))
        spreads.append(refit_population(network, logs[0]))
        networks.append(network)
    identity = Recalibration()
    fitted = FittedDemand(encoding, config, networks[0], identity, identity, tuple(networks[1:]))
    unrecorded = float(np.mean(spreads))
    fitted = fitted.averaged(unrecorded).recalibrated(training.join(validation))
    fitted = fitted.fitting_newest(validation, newest_residual, unrecorded)
    return fitted, FitReport(first_stage.report, reports[0])


def _prefix(member: int) -> str:
    """Return how the names of a member's weights begin; the first has them as they are."""
    return f"{_MEMBER}{member}." if member else ""


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _array(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()
