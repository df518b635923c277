"""A panel mixed logit by xlogit: each user has a price sensitivity of his own, drawn from a normal distribution."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from tests.benchmarks.curves import MixedCurves
from tests.benchmarks.scenario import Scenario
from tests.benchmarks.tabular import PRODUCT_RATE

Array = NDArray[np.float64]

FIT_ROWS = 12_000  # offers of whole users that the simulated likelihood is fit on
DRAWS = 60
_NODES = 15
_CONSTANT, _PRICE = "constant", "price_ratio"


@dataclass(frozen=True)
class MixedLogit:
    """Coefficients of the table's columns, the distribution of the price's, and each known user's place in it.

    `users` (users, nodes) are posterior weights of the distribution's nodes given all of a user's logged choices
    (Revelt & Train 1998); `prior` (nodes,) is for everyone else.
    """

    columns: list[str]
    effects: Array
    slopes: Array
    prior: Array
    users: pd.DataFrame

    @classmethod
    def fit(cls, scenario: Scenario) -> Self:
        columns = _columns(scenario)
        effects, mean, deviation = _maximum_simulated_likelihood(scenario, columns)
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        slopes, prior = mean + deviation * nodes, weights / weights.sum()
        level = _level(scenario.tabular.scaled_learning, columns, effects)
        users = _posterior(scenario, level, slopes, prior)
        return cls(columns, effects, slopes, prior, users)

    def curves(self, scenario: Scenario) -> MixedCurves:
        requests = scenario.requests
        known = self.users.reindex(requests.frame["user_id"]).to_numpy()
        unknown = np.isnan(known[:, :1]) | ~requests.consent[:, None]
        level = _level(scenario.tabular.scaled_requests, self.columns, self.effects)
        return MixedCurves(level, self.slopes, np.where(unknown, self.prior, known))


def _columns(scenario: Scenario) -> list[str]:
    """Return what enters the utility beside price: who the user is, what he did, the product's rate and the market."""
    tabular = scenario.tabular
    shared = [name for name in tabular.scaled_learning if name.startswith(("pair_", "market_", "image_", "text_"))]
    names = [*tabular.responsive, *shared, PRODUCT_RATE]
    varying = tabular.scaled_learning[names].std() > 1e-9
    return [name for name in names if varying[name] and "missingindicator" not in name]


def _maximum_simulated_likelihood(scenario: Scenario, columns: list[str]) -> tuple[Array, float, float]:
    """Return the effects of constant and columns, and mean and deviation of the price's."""
    from xlogit import MixedLogit as Estimator

    rows = _whole_users(scenario)
    count = len(rows)
    bought = scenario.tabular.scaled_learning[columns].to_numpy("float64")[rows]
    bought = np.column_stack([np.ones(count), bought, scenario.learning.price_ratio[rows]])
    utilities = np.zeros((2 * count, bought.shape[1]))
    utilities[1::2] = bought
    chosen = np.zeros(2 * count)
    chosen[1::2] = scenario.learning.purchased[rows]
    chosen[::2] = 1 - chosen[1::2]
    user = pd.factorize(scenario.learning.frame["user_id"].to_numpy()[rows])[0]
    names = [_CONSTANT, *columns, _PRICE]
    model = Estimator()
    model.fit(
        X=utilities,
        y=chosen,
        varnames=names,
        ids=np.repeat(np.arange(count), 2),
        alts=np.tile([0, 1], count),
        panels=np.repeat(user, 2),
        randvars={_PRICE: "n"},
        n_draws=DRAWS,
        optim_method="L-BFGS-B",
        maxiter=200,
        skip_std_errs=True,
        verbose=0,
        random_state=scenario.market.config.seed,
    )
    found = dict(zip(model.coeff_names, model.coeff_, strict=True))
    effects = np.array([found[name] for name in [_CONSTANT, *columns]])
    return effects, float(found[_PRICE]), abs(float(found[f"sd.{_PRICE}"]))


def _whole_users(scenario: Scenario) -> NDArray[np.int64]:
    """Return the rows of as many users as fit, each user's together, as xlogit wants its panels."""
    user = pd.factorize(scenario.learning.frame["user_id"])[0]
    rank = np.random.default_rng(scenario.market.config.seed).permutation(user.max() + 1)[user]
    order = np.lexsort([np.arange(len(user)), rank])
    return order[:FIT_ROWS].astype(np.int64)


def _level(scaled: pd.DataFrame, columns: list[str], effects: Array) -> Array:
    return np.asarray(effects[0] + scaled[columns].to_numpy("float64") @ effects[1:])


def _posterior(scenario: Scenario, level: Array, slopes: Array, prior: Array) -> pd.DataFrame:
    learning = scenario.learning
    sign = 2 * learning.purchased - 1
    index = level[:, None] + learning.price_ratio[:, None] * slopes
    likelihood = pd.DataFrame(-np.logaddexp(0, -sign[:, None] * index))
    by_user = likelihood.groupby(learning.frame["user_id"].to_numpy()).sum()
    return pd.DataFrame(softmax(np.log(prior) + by_user.to_numpy(), axis=1), index=by_user.index)
