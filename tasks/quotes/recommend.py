"""Recommend: the products a user is best shown, each with its live price."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

import sql
from models.demand.demand_curve import DemandCurve
from models.errors import PricingError
from models.pricing.objective import Objective
from tasks.database import database_url, read_frame, transaction
from tasks.settings import Settings


@dataclass(frozen=True)
class Recommendation:
    """A product to show a user; expected profit and objective are in money a showing."""

    product_id: str
    title: str | None
    price: float
    currency: str
    source: str
    purchase_probability: float
    expected_profit: float
    objective: float


class NothingToRecommendError(PricingError):
    """No product has a live price."""


def recommend(user_id: str, count: int = 10) -> list[Recommendation]:
    """A user's top products by the expected objective at their live prices, best first.

    The objective is the live policy's: profit, plus consumer surplus at its satisfaction weight. The demand curves
    are those the prices were set from; a user without personal prices is met with everybody's.

    Raises:
        NothingToRecommendError: no book is live.
    """
    with transaction(database_url(Settings())) as connection:
        found = read_frame(connection, sql.query("recommendable"), {"user_id": user_id})
    if found.empty:
        raise NothingToRecommendError("no price book is live yet: publish one with `pricing run`")
    best = _valued(found).nlargest(count, "objective")
    return [Recommendation(*row) for row in best.itertuples(index=False)]


def _valued(found: pd.DataFrame) -> pd.DataFrame:
    price, list_price, unit_cost, sensitivity, valuation = (
        found[name].to_numpy(np.float64) for name in ("price", "list_price", "unit_cost", "sensitivity", "valuation")
    )
    curve = DemandCurve(sensitivity, valuation)
    objective = Objective(curve, list_price, unit_cost, float(found["satisfaction_weight"].iloc[0]))
    return found[["product_id", "title", "price", "currency", "source"]].assign(
        purchase_probability=curve.purchase_probability(price / list_price),
        expected_profit=objective.expected_profit(price),
        objective=objective.value(price),
    )
