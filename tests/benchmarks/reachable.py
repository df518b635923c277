"""How near any method could come to single users' true probabilities: what is observable does not tell all of them.

The mean of |predicted - true| is smallest for the median of the true probability given all that is observable, and what
is left then is no method's fault: a user's traits show only in the traces of some fifty events, and whether he wants to
buy now only in those of his last visit. That median is not known either, but trees fitted by absolute error to the
hidden truth itself, which no method may see, come near to it from above: some function of the observables does at least
this well, so that the floor is no higher. They read the peers' table, each product's mean truth beside it, and price
the requests of those users whose truth they were not told.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from tests.benchmarks.scenario import Scenario

Array = NDArray[np.float64]


def reachable_probability(scenario: Scenario, change: float) -> Array:
    """Return what trees that saw the truth of the logged offers expect of each request (rows,).

    Args:
        scenario: the log and the requests.
        change: of the last logged price of the product.

    """
    learning, requests, market = scenario.learning, scenario.requests, scenario.market
    truth = market.purchase_probability(learning, change * scenario.last_logged_of(learning))
    product = learning.frame.assign(truth=truth).groupby("product_id")["truth"].mean()
    known, asked = (
        np.column_stack([table, decisions.frame["product_id"].map(product).fillna(truth.mean())])
        for table, decisions in ((scenario.tabular.learning, learning), (scenario.tabular.requests, requests))
    )
    fold, own = (_half(decisions.frame["user_id"]) for decisions in (learning, requests))
    found = np.empty(len(requests))
    for half in (False, True):
        trees = HistGradientBoostingRegressor(
            loss="absolute_error", max_iter=400, max_leaf_nodes=63, random_state=market.config.seed
        )
        trees.fit(known[fold != half], truth[fold != half])
        found[own == half] = trees.predict(asked[own == half])
    return found.clip(0, 1)


def _half(user: pd.Series) -> NDArray[np.bool_]:
    """Return which half of the users each row is of, so that no truth of a user is told of himself (rows,)."""
    return (pd.util.hash_array(user.to_numpy(object)) % 2).astype(bool)
