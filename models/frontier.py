"""What satisfaction costs in profit: the frontier of a book's prices as the satisfaction weight moves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from models.price_book import BookRequest, PriceBook
from models.pricing import price_decisions
from models.shadow_prices import BookTerms


@dataclass(frozen=True)
class BookSample:
    """Some priced rows of a book, with all they were priced from; what is refused is left out."""

    request: BookRequest
    terms: BookTerms
    prices: pd.DataFrame

    @classmethod
    def draw(cls, request: BookRequest, book: PriceBook, rows: int, seed: int) -> Self:
        """Return at most this many rows, each as likely as another, in the book's order."""
        priced = np.flatnonzero(book.prices["refused"].isna())
        chosen = np.sort(np.random.default_rng(seed).permutation(priced)[:rows])

        def of_chosen(column: ArrayLike | None) -> pd.Series | None:
            return None if column is None else pd.Series(column).iloc[chosen].reset_index(drop=True)

        drawn = replace(
            request,
            decisions=request.decisions.iloc[chosen].reset_index(drop=True),
            curve=request.curve.take(chosen),
            uniform_curve=request.uniform_curve.take(chosen),
            live_price=of_chosen(request.live_price),
            live_uniform_price=of_chosen(request.live_uniform_price),
            live_propensity=of_chosen(request.live_propensity),
            group=of_chosen(request.group),
        )
        return cls(drawn, book.terms, book.prices.iloc[chosen].reset_index(drop=True))


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
    return {
        "satisfaction_weight": weight,
        "profit": float(np.nanmean(quantity * profit)),
        "surplus": float(np.nanmean(quantity * surplus)),
    }
