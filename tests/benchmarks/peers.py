"""Methods a practitioner fits to a plain table: linear regression, a logit, a random forest and boosted trees."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge

from tests.benchmarks.curves import IndexCurves, TreeCurves
from tests.benchmarks.scenario import Scenario
from tests.benchmarks.tabular import Tabular

Array = NDArray[np.float64]

THREADS = 2
FOREST_TREES, FOREST_ROWS = 100, 40_000  # rows a tree; both bound what a forest costs
BOOSTING_ROUNDS, BOOSTING_PATIENCE = 600, 40


@dataclass(frozen=True)
class LinearRegression:
    """A linear probability model: one price effect for everyone."""

    regression: Ridge

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        rows = np.column_stack([scenario.learning.price_ratio, learning_design(scenario)])
        return cls(Ridge(1.0).fit(rows, scenario.learning.purchased))

    def curves(self, scenario: Scenario) -> IndexCurves:
        design = request_design(scenario)
        slope, effects = self.regression.coef_[0], self.regression.coef_[1:]
        level = self.regression.intercept_ + design @ effects
        return IndexCurves(level, np.full(len(level), slope), "linear")


@dataclass(frozen=True)
class Logit:
    """A logit with an intercept for each product, whose price effect differs by what `Tabular.responsive` names."""

    regression: LogisticRegression

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        ratio, tabular = scenario.learning.price_ratio, scenario.tabular
        priced = ratio[:, None] * _responsive(tabular.scaled_learning, tabular)
        rows = np.column_stack([ratio, priced, learning_design(scenario)])
        return cls(LogisticRegression(C=1.0, max_iter=300).fit(rows, scenario.learning.purchased))

    def curves(self, scenario: Scenario) -> IndexCurves:
        tabular, coefficients = scenario.tabular, self.regression.coef_[0]
        responsive = _responsive(tabular.scaled_requests, tabular)
        width = 1 + responsive.shape[1]
        level = self.regression.intercept_[0] + request_design(scenario) @ coefficients[width:]
        return IndexCurves(level, coefficients[0] + responsive @ coefficients[1:width], "logit")


@dataclass(frozen=True)
class RandomForest:
    """Breiman's random forest."""

    forest: RandomForestClassifier

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        rows = _with_price(scenario.tabular.scaled_learning.to_numpy("float64"), scenario.learning.price_ratio)
        forest = RandomForestClassifier(
            FOREST_TREES,
            min_samples_leaf=20,
            max_features=0.3,
            max_samples=min(FOREST_ROWS, len(rows)),
            n_jobs=THREADS,
            random_state=scenario.market.config.seed,
        )
        return cls(forest.fit(rows, scenario.learning.purchased))

    def curves(self, scenario: Scenario) -> TreeCurves:
        return TreeCurves(self.forest, scenario.tabular.scaled_requests.to_numpy("float64"))


@dataclass(frozen=True)
class LightGBM:
    """Gradient boosted trees that stop early on the validation part; on request demand never rises with the price."""

    trees: Any

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        return cls(_boost(scenario, monotone=False))

    def curves(self, scenario: Scenario) -> TreeCurves:
        return TreeCurves(self.trees, scenario.tabular.requests.to_numpy("float64"))


@dataclass(frozen=True)
class MonotoneLightGBM(LightGBM):
    """The same trees under a monotone constraint."""

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        return cls(_boost(scenario, monotone=True))


def learning_design(scenario: Scenario) -> Array:
    """Return the scaled table of the logged offers with a column for each product (rows, columns)."""
    tabular = scenario.tabular
    return np.column_stack([tabular.scaled_learning, tabular.view.product_columns(scenario.learning)])


def request_design(scenario: Scenario) -> Array:
    """Return the same of the requests (rows, columns)."""
    tabular = scenario.tabular
    return np.column_stack([tabular.scaled_requests, tabular.view.product_columns(scenario.requests)])


def _boost(scenario: Scenario, *, monotone: bool) -> Any:
    import lightgbm

    rows = _with_price(scenario.tabular.learning.to_numpy("float64"), scenario.learning.price_ratio)
    purchased, first = scenario.learning.purchased, len(scenario.training)
    trees = lightgbm.LGBMClassifier(
        n_estimators=BOOSTING_ROUNDS,
        learning_rate=0.05,
        num_leaves=31,
        min_child_samples=40,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        monotone_constraints=[-1, *[0] * (rows.shape[1] - 1)] if monotone else None,
        num_threads=THREADS,
        random_state=scenario.market.config.seed,
        verbosity=-1,
    )
    return trees.fit(
        rows[:first],
        purchased[:first],
        eval_set=[(rows[first:], purchased[first:])],
        callbacks=[lightgbm.early_stopping(BOOSTING_PATIENCE, verbose=False)],
    )


def _with_price(table: Array, price_ratio: Array) -> Array:
    return np.column_stack([price_ratio, table])


def _responsive(scaled: Any, tabular: Tabular) -> Array:
    return np.asarray(scaled[tabular.responsive], dtype=np.float64)
