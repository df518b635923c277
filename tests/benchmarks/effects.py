"""Effect estimators by EconML, and the demand curve a practitioner draws from an effect and a base rate.

Around the price r0 that the log would have shown, P(r) = base + effect * (r - r0), cut to 0..1.

Cross-fitting decides what these estimators find. A product's offers of one week share market, instrument and hidden
shock, so a flexible first stage whose folds are random rows recognises the week and predicts its price and its
instrument from it. That helps double machine learning, which is left with the shop's dither, and ruins the instrument.
Each estimator has the folds it did better with on the first e-commerce marketplace, judged by its regret against the
truth: random rows (12 % against 31 %) and whole product weeks (8 % and 11 % in two draws of the folds, against 51 %).
No other method was chosen so; where there is doubt, the choice favours these peers.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from models.features.columns import number_column
from models.features.decisions import INSTRUMENT_PREFIXES, Decisions
from tests.benchmarks.curves import IndexCurves
from tests.benchmarks.scenario import Scenario

Array = NDArray[np.float64]

_FOLDS = 2
_WEEK = 7 * 86_400_000_000
_FEWER = ("user_attr_", "activity_", "log_list_price", "behaviour_ever_")


@dataclass(frozen=True)
class LinearDML:
    """Double machine learning, price ratio as treatment, its effect linear in what `Tabular.responsive` names.

    It takes the log as unconfounded given the features (Chernozhukov et al. 2018).
    """

    estimator: Any
    names: list[str]

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        from econml.dml import LinearDML as Estimator

        names = scenario.tabular.responsive
        estimator = Estimator(
            model_y=_nuisance(scenario),
            model_t=_nuisance(scenario),
            cv=_FOLDS,
            random_state=scenario.market.config.seed,
        )
        varying, fixed = _split(scenario.tabular.scaled_learning, names)
        learning = scenario.learning
        estimator.fit(learning.purchased, learning.price_ratio, X=varying, W=fixed, inference=None)
        return cls(estimator, names)

    def curves(self, scenario: Scenario) -> IndexCurves:
        return _around_expected(self.estimator.models_y, self.estimator.models_t, self.estimator, self.names, scenario)


@dataclass(frozen=True)
class OrthoIV:
    """Orthogonal instrumental variables by all `instrument_` columns, its effect linear in fewer columns.

    An instrument bears few of them before the effects' errors outgrow the effects.
    """

    estimator: Any
    names: list[str]

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        from econml.iv.dml import OrthoIV as Estimator

        learning = scenario.learning
        names = [name for name in scenario.tabular.responsive if name.startswith(_FEWER)]
        instruments = [number_column(learning.frame, name) for name in learning.features(INSTRUMENT_PREFIXES)]
        estimator = Estimator(
            model_y_xw=_nuisance(scenario),
            model_t_xw=_nuisance(scenario),
            **(_projected if len(instruments) > 1 else _direct)(scenario),
            fit_cate_intercept=True,
            cv=_FOLDS,
            random_state=scenario.market.config.seed,
        )
        varying, fixed = _split(scenario.tabular.scaled_learning, names)
        estimator.fit(
            learning.purchased,
            learning.price_ratio,
            Z=np.nan_to_num(np.column_stack(instruments)),
            groups=_product_weeks(learning),
            X=varying,
            W=fixed,
            inference=None,
        )
        return cls(estimator, names)

    def curves(self, scenario: Scenario) -> IndexCurves:
        return _around_expected(
            self.estimator.models_y_xw, self.estimator.models_t_xw, self.estimator, self.names, scenario
        )


def _around_expected(outcome: Any, treatment: Any, estimator: Any, names: list[str], scenario: Scenario) -> IndexCurves:
    """Base rate and usual price are what the estimator's own first stages, one a fold, expect of a request."""
    varying, fixed = _split(scenario.tabular.scaled_requests, names)
    features = np.column_stack([varying, fixed])
    base, usual = (np.mean([model.predict(features) for model in stage[0]], axis=0) for stage in (outcome, treatment))
    effect = np.ravel(estimator.effect(varying, T0=0, T1=1))
    return IndexCurves(base - effect * usual, effect, "linear")


def _split(scaled: Any, names: list[str]) -> tuple[Array, Array]:
    """Return the columns the effect may differ by, and all others."""
    return scaled[names].to_numpy("float64"), scaled.drop(columns=names).to_numpy("float64")


def _product_weeks(decisions: Decisions) -> NDArray[np.int64]:
    """Number the weeks of each product (rows,)."""
    week = (decisions.decided_at - decisions.decided_at.min()) // _WEEK
    return decisions.frame.groupby(["product_id", week]).ngroup().to_numpy("int64")


def _direct(scenario: Scenario) -> dict[str, Any]:
    """Return the first stage of a single instrument: what is expected of it."""
    return {"projection": False, "model_z_xw": _nuisance(scenario)}


def _projected(scenario: Scenario) -> dict[str, Any]:
    """Return the first stage of several: the price they and the features make one expect."""
    return {"projection": True, "model_t_xwz": _nuisance(scenario)}


def _nuisance(scenario: Scenario) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(max_iter=100, random_state=scenario.market.config.seed)
