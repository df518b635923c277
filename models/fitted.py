"""A fitted demand model: what is stored, registered and asked for demand curves."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.decisions import Decisions
from models.demand import DemandConfig, DemandModel
from models.demand_curve import DemandCurve
from models.encoding import Encoding
from models.features import move
from models.first_stage import FirstStage, FirstStageReport
from models.recalibration import Recalibration, fit_recalibration
from models.training import (
    Log,
    Progress,
    TrainingConfig,
    TrainingReport,
    refit_population,
    start_from_pooled,
    train,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FittedDemand:
    """Encoding, network and recalibrations: decisions in, demand curves out.

    `recalibration` corrects personal curves and `population` those without personal data.
    """

    encoding: Encoding
    config: DemandConfig
    network: DemandModel
    recalibration: Recalibration
    population: Recalibration

    def curve(self, decisions: Decisions, personal: bool = True, block: int = 16_384) -> DemandCurve:
        """Return the demand curve of every decision, free of what moved logged prices.

        Without `personal`, and for users without consent, it is the population's. Memory is bounded by `block` rows;
        decisions of one user are scored side by side, so that the user tower runs about once a user.
        """
        order = np.lexsort([decisions.decided_at, pd.factorize(decisions.frame["user_id"])[0]])
        sensitivity, level = np.empty(len(decisions)), np.empty(len(decisions))
        for rows, response in self._responses(decisions, order, personal, block):
            sensitivity[rows], level[rows] = response
        curve = DemandCurve(sensitivity, 1 + level / sensitivity)
        if not personal:
            return self.population.apply(curve)
        own, masked = self.recalibration.apply(curve), self.population.apply(curve)
        consent = decisions.consent
        return DemandCurve(
            np.where(consent, own.sensitivity, masked.sensitivity),
            np.where(consent, own.valuation, masked.valuation),
        )

    def probability(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Return the purchase probability (rows,) at price / list price (rows,)."""
        return self.curve(decisions).purchase_probability(price_ratio)

    def recalibrated(self, training: Decisions, validation: Decisions) -> Self:
        """Return the same network, corrected on the randomised offers of both parts or else on `validation`."""
        offers = training.select(training.randomised).join(validation)
        is_validation = np.arange(len(offers)) >= len(offers) - len(validation)
        raw = replace(self, recalibration=Recalibration(), population=Recalibration())
        consent = offers.consent
        own = fit_recalibration(
            raw.curve(offers).take(consent), offers.select(consent), validation=is_validation[consent]
        )
        population = fit_recalibration(raw.curve(offers, personal=False), offers, validation=is_validation)
        return replace(self, recalibration=own, population=population)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the weights, and everything else as a JSON-able description."""
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
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
        encoding = Encoding.from_dict(description["encoding"])
        config = DemandConfig(**description["config"])
        network = DemandModel(config, encoding)
        network.load_state_dict(weights)
        own, population = (Recalibration.from_dict(description[name]) for name in ("recalibration", "population"))
        return cls(encoding, config, network.eval(), own, population)

    @torch.no_grad()
    def _responses(
        self, decisions: Decisions, order: NDArray[np.int64], personal: bool, block: int
    ) -> Iterator[tuple[NDArray[np.int64], tuple[Array, Array]]]:
        device = self.network.randomised_shift.device
        events = move(self.encoding.encode_events(decisions.events), device)
        for start in range(0, len(order), block):
            rows = order[start : start + block]
            encoded = self.encoding.encode(decisions.select(rows), personal=personal, events=events)
            response = self.network(move(encoded, device))
            yield rows, (_array(response.sensitivity), _array(response.level))


@dataclass(frozen=True)
class FitReport:
    """How a demand model came about."""

    first_stage: FirstStageReport
    training: TrainingReport


def fit_demand(
    training: Decisions,
    validation: Decisions,
    config: DemandConfig,
    training_config: TrainingConfig,
    device: torch.device,
    progress: Progress | None = None,
) -> tuple[FittedDemand, FitReport]:
    """Return encoding, first stage, network and recalibration in their order.

    The validation part stops the training and, together with the training part, recalibrates.

    Raises:
        TrainingError: the offers have one outcome only, or the loss is not finite.

    """
    torch.manual_seed(training_config.seed)  # the network's first weights
    encoding = Encoding.fit(training)
    first_stage = FirstStage.fit(training, encoding, training_config.seed)
    residual = first_stage.residual(training)
    network = DemandModel(config, encoding)
    start_from_pooled(network, training, encoding, residual)
    network.to(device)
    log = Log.of(training, encoding, residual, device)
    report = train(
        network,
        log,
        Log.of(validation, encoding, first_stage.residual(validation), device),
        training_config,
        progress,
    )
    refit_population(network, log)
    fitted = FittedDemand(encoding, config, network, Recalibration(), Recalibration())
    return fitted.recalibrated(training, validation), FitReport(first_stage.report, report)


def _array(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()
