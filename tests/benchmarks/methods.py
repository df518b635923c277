"""Every method of the benchmark by its name: how it is fit and how it is called in tables."""

from typing import Protocol, Self

from tests.benchmarks.curves import Curves
from tests.benchmarks.effects import LinearDML, OrthoIV
from tests.benchmarks.mixed_logit import MixedLogit
from tests.benchmarks.ours import DemandModel, UncorrectedDemandModel
from tests.benchmarks.peers import LightGBM, LinearRegression, Logit, MonotoneLightGBM, RandomForest
from tests.benchmarks.scenario import Scenario
from tests.benchmarks.simple_prices import SIMPLE_PRICES


class Method(Protocol):
    """Learns from a scenario's logged offers, then answers for its requests."""

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        """Read the logged offers, never the truth."""
        ...

    def curves(self, scenario: Scenario) -> Curves:
        """Return the response of each request."""
        ...


OURS = "demand_model"
FITTED: dict[str, type[Method]] = {
    OURS: DemandModel,
    "linear_regression": LinearRegression,
    "logit": Logit,
    "random_forest": RandomForest,
    "lightgbm": LightGBM,
    "lightgbm_monotone": MonotoneLightGBM,
    "mixed_logit": MixedLogit,
    "linear_dml": LinearDML,
    "ortho_iv": OrthoIV,
}
VARIANTS: dict[str, type[Method]] = {"uncorrected_demand_model": UncorrectedDemandModel}
METHODS = (*FITTED, *SIMPLE_PRICES)

LABELS = {
    OURS: "**demand model (ours)**",
    "linear_regression": "linear regression",
    "logit": "logit, price x attributes",
    "random_forest": "random forest",
    "lightgbm": "LightGBM",
    "lightgbm_monotone": "LightGBM, monotone in price",
    "mixed_logit": "mixed logit (xlogit)",
    "linear_dml": "LinearDML (EconML)",
    "ortho_iv": "OrthoIV (EconML)",
    "list_price": "list price",
    "last_logged": "last logged price",
    "best_uniform": "best uniform price (knows the truth)",
}
