"""The request for a price book: the decisions to be priced together and all that their prices depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from models.demand.demand_curve import DemandCurve
from models.pricing.policy import PricingPolicy


@dataclass(frozen=True)
class BookRequest:
    """What a book is priced from: the arguments of `models.pricing.decide.price_decisions`, and the stock left.

    ``decisions`` may have pool_id (none: unlimited) and quantity (units at stake, none: 1) beside the
    columns pricing needs. ``remaining`` is the units left by pool; a pool it does not name is unlimited,
    one with none left is sold out; those in ``may_run_out`` may be sold out before their end where no price makes
    them last, others make the book uncertified then. ``group`` is each row's group of users, compared where the
    policy bounds parity and used for nothing else.
    """

    decisions: pd.DataFrame
    curve: DemandCurve
    uniform_curve: DemandCurve
    policy: PricingPolicy
    currency: str
    live_price: ArrayLike | None = None
    live_uniform_price: ArrayLike | None = None
    live_propensity: ArrayLike | None = None
    exploration_period: date | None = None
    remaining: Mapping[str, float] | None = None
    may_run_out: frozenset[str] = frozenset()
    group: ArrayLike | None = None

    def take(self, rows: slice | NDArray[np.integer]) -> Self:
        """Return the request of these rows alone, in this order, numbered anew."""

        def of_rows(column: ArrayLike | None) -> pd.Series | None:
            return None if column is None else pd.Series(column).iloc[rows].reset_index(drop=True)

        return replace(
            self,
            decisions=self.decisions.iloc[rows].reset_index(drop=True),
            curve=self.curve.take(rows),
            uniform_curve=self.uniform_curve.take(rows),
            live_price=of_rows(self.live_price),
            live_uniform_price=of_rows(self.live_uniform_price),
            live_propensity=of_rows(self.live_propensity),
            group=of_rows(self.group),
        )

    @classmethod
    def joined(cls, requests: "Sequence[BookRequest]") -> "BookRequest":
        """Return one request of the rows of all of them; what is not a row's is the first one's."""

        def of_all(columns: Sequence[ArrayLike | None]) -> pd.Series | None:
            given = [pd.Series(column) for column in columns if column is not None]
            return pd.concat(given, ignore_index=True) if given else None

        return replace(
            requests[0],
            decisions=pd.concat([request.decisions for request in requests], ignore_index=True),
            curve=DemandCurve.joined([request.curve for request in requests]),
            uniform_curve=DemandCurve.joined([request.uniform_curve for request in requests]),
            live_price=of_all([request.live_price for request in requests]),
            live_uniform_price=of_all([request.live_uniform_price for request in requests]),
            live_propensity=of_all([request.live_propensity for request in requests]),
            group=of_all([request.group for request in requests]),
        )
