"""What satisfaction costs in profit: the frontier of a book's prices as the satisfaction weight moves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.pricing.book_sample import BookSample
from models.pricing.decide import price_decisions


def profit_satisfaction_frontier(sample: BookSample, weights: Sequence[float]) -> pd.DataFrame:
    """Return satisfaction_weight, profit and surplus (money a decision, in expectation), a row a weight.

    Everything but the weight stays as the book has it: guardrails, live prices and the worth of its limits.
    Surplus is the consumer surplus of the demand curve. Nothing is explored.
    """
    return pd.DataFrame([_point(sample, weight) for weight in weights])


def _point(sample: BookSample, weight: float) -> dict[str, float]:
    request, decisions = sample.request, sample.request.decisions
    prices = price_decisions(
        decisions, request.curve, request.uniform_curve,
        request.policy.model_copy(update={"satisfaction_weight": weight}), request.currency,
        live_price=request.live_price, live_uniform_price=request.live_uniform_price, terms=sample.terms,
    )  # fmt: skip
    quantity = decisions.get("quantity", pd.Series(1.0, decisions.index)).to_numpy(np.float64)
    ratio = (prices["price"] / decisions["list_price"]).to_numpy()
    surplus = request.curve.consumer_surplus(ratio, decisions["list_price"].to_numpy())
    profit = prices["expected_profit"].to_numpy()
    asked = float(quantity[np.isfinite(profit)].sum())
    return {
        "satisfaction_weight": weight,
        "profit": float(np.nansum(quantity * profit)) / asked,
        "surplus": float(np.nansum(quantity * surplus)) / asked,
    }
