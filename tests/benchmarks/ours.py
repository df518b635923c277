"""The platform's demand model as the benchmark fits it, whole and with one part taken away."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from models.demand.demand_curve import DemandCurve
from models.demand.fitted import FittedDemand, fit_demand
from models.demand.network import DemandConfig
from models.demand.recalibration import Recalibration
from models.demand.training import SMALL_LOG_TRAINING
from models.features.content import ProductContent
from models.features.decisions import INSTRUMENT_PREFIXES, Decisions
from tests.benchmarks.scenario import Scenario


@dataclass(frozen=True)
class DemandModel:
    """What `models.demand.fitted.fit_demand` makes of the log, as it is set for logs of this size."""

    fitted: FittedDemand

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        training = replace(SMALL_LOG_TRAINING, seed=scenario.market.config.seed)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        fitted, _ = fit_demand(scenario.training, scenario.validation, DemandConfig(), training, device)
        return cls(fitted)

    def curves(self, scenario: Scenario) -> DemandCurve:
        return self.fitted.curve(scenario.requests)


@dataclass(frozen=True)
class UncorrectedDemandModel(DemandModel):
    """The same without the correction on offers whose price was drawn."""

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        fitted = super().fit(scenario).fitted
        return cls(replace(fitted, recalibration=Recalibration(), population=Recalibration()))


def without_text(decisions: Decisions) -> Decisions:
    """Return decisions that say nothing of what products' texts say."""
    return _with_content(decisions, lambda content: replace(content, text=content.text[:, :0]))


def without_image(decisions: Decisions) -> Decisions:
    """Return decisions that say nothing of products' pictures."""
    return _with_content(decisions, lambda content: replace(content, image=content.image[:, :0]))


def without_sequence(decisions: Decisions) -> Decisions:
    """Return decisions whose users have no events; counts that were made of them stay."""
    nothing = np.zeros(len(decisions), dtype="int64")
    return replace(decisions, frame=decisions.frame.assign(events_start=nothing, events_end=nothing))


def without_instrument(decisions: Decisions) -> Decisions:
    """Return decisions without instruments, which leaves the model no control function."""
    return replace(decisions, frame=decisions.frame.drop(columns=decisions.features(INSTRUMENT_PREFIXES)))


def _with_content(decisions: Decisions, change: Callable[[ProductContent], ProductContent]) -> Decisions:
    assert decisions.content is not None
    return replace(decisions, content=change(decisions.content))
