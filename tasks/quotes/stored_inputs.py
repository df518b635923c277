"""Prices computed again from what is stored beside them: the same pricing code, under their book's policy and terms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import numpy as np
import pandas as pd

from models.demand.demand_curve import DemandCurve
from models.demand.fitted import FittedDemand
from models.features.decisions import Decisions
from models.pricing.decide import explain, price_decisions
from models.pricing.guardrails import Interval
from models.pricing.policy import PricingPolicy
from models.pricing.row_prices import standing_interval
from models.pricing.shadow_prices import BookTerms
from tasks.books.candidates import exploration_period
from tasks.data.snapshots import Snapshot

DEMAND_TOLERANCE = 1e-5  # relative: a row scored alone differs from the same row scored in a block
PRODUCT_TERMS = ("list_price", "unit_cost", "floor", "ceiling", "pool_id", "bid_price")
AMOUNTS = (
    "list_price", "unit_cost", "floor", "ceiling", "bid_price", "sensitivity", "valuation", "live_price",
    "live_propensity", "uniform_sensitivity", "uniform_valuation", "live_uniform_price",
)  # fmt: skip
LOGGED = ("pool_id", "repriced_as_of", *(name for name in AMOUNTS if name != "list_price"))  # list prices are decimals


def inputs_of(quote: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row of pricing.quotes says that its price was set from, without what it leaves open."""
    return {name: quote[name] for name in LOGGED if quote[name] is not None}


@dataclass(frozen=True)
class BookInputs:
    """What all prices of a book have in common, those set between it and the next included."""

    policy: PricingPolicy
    currency: str
    terms: BookTerms
    period: date

    @classmethod
    def of(cls, book: Mapping[str, Any]) -> Self:
        """Read a row with the columns of pricing.books and of its snapshot."""
        policy = PricingPolicy.from_mapping(book["policy"], origin=f"book {book['book_id']}")
        return cls(policy, book["currency"], BookTerms(**book["terms"]), exploration_period(Snapshot.of_row(book)))

    def personal_prices(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Price rows of user_id, product_id, pool_id and AMOUNTS (those absent: NaN), as `price_decisions` gives them.

        Only users who consent have personal prices.
        """
        return self._of_users(price_decisions, rows)

    def personal_steps(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the waterfall of the same, as `explain` gives it."""
        return self._of_users(explain, rows)

    def uniform_prices(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Price the products of such rows for nobody in particular: nobody is asked for consent, and nothing drawn."""
        return self._of_nobody(price_decisions, rows)

    def uniform_steps(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the waterfall of the same."""
        return self._of_nobody(explain, rows)

    def standing_interval(self, rows: pd.DataFrame) -> Interval:
        """Return where personal prices of before may stand beside the `price` of such products."""
        price, band = rows["price"].astype("float64"), self.terms.parity_band
        return standing_interval(_complete(rows), price, self.policy, self.currency, band)

    def _of_users(self, made: Callable[..., pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
        given = _complete(rows)
        return made(
            given, _curve(given), _curve(given, "uniform_"), self.policy, self.currency,
            live_price=given["live_price"], live_uniform_price=given["live_uniform_price"],
            live_propensity=given["live_propensity"], exploration_period=self.period, terms=self.terms,
        )  # fmt: skip

    def _of_nobody(self, made: Callable[..., pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
        given = _complete(rows)
        curve, live = _curve(given, "uniform_"), given["live_uniform_price"]
        return made(
            given, curve, curve, self.policy.of_uniform_prices, self.currency,
            live_price=live, live_uniform_price=live, terms=self.terms,
        )  # fmt: skip


def _complete(rows: pd.DataFrame) -> pd.DataFrame:
    given = rows.reindex(columns=["user_id", "product_id", "pool_id", *AMOUNTS])
    given["pool_id"] = given["pool_id"].astype(object)
    return given.astype(dict.fromkeys(AMOUNTS, "float64")).assign(consent=True)


def _curve(given: pd.DataFrame, prefix: str = "") -> DemandCurve:
    return DemandCurve(given[f"{prefix}sensitivity"].to_numpy(), given[f"{prefix}valuation"].to_numpy())


def demand_difference(demand: FittedDemand, decision: Decisions, given: Mapping[str, Any], personal: bool) -> float:
    """How far, relatively, what a model says of one decision is from the demand that a price was set from."""
    curve, prefix = demand.curve(decision, personal=personal), "" if personal else "uniform_"
    stored = np.array([given[f"{prefix}sensitivity"], given[f"{prefix}valuation"]])
    return float(np.max(np.abs(np.array([curve.sensitivity[0], curve.valuation[0]]) / stored - 1)))
