"""The best admissible price of each row on its own: the uniform one, then the personal one it may bound."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from models.pricing.guardrails import Bound, Interval, bounds, intersect
from models.pricing.inputs import PricingInputs
from models.pricing.objective import Objective
from models.pricing.policy import PricingPolicy
from models.pricing.price_grid import LARGEST_TICK, PriceGrid
from models.pricing.shadow_prices import ChargedObjective, ShadowPrices

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class BestPrice:
    """The best admissible price of each row (a rung of the interval's grid) and what it was found from."""

    shadow: ShadowPrices
    rules: list[Bound]
    interval: Interval
    optimum: FloatArray
    rung: FloatArray

    @property
    def price(self) -> FloatArray:
        """The price, in money."""
        return self.interval.grid.price(self.rung)

    @property
    def is_in_range(self) -> Flags:
        """Whether the price is small enough for float64 to hold every tick."""
        return self.rung * self.interval.grid.step < LARGEST_TICK

    @property
    def has_price(self) -> Flags:
        """Whether an admissible price exists."""
        return ~self.interval.conflict & self.is_in_range


@dataclass(frozen=True)
class RowPrices:
    """Uniform and personal prices of the same rows, and why a row has none (None where it has)."""

    uniform: BestPrice
    personal: BestPrice
    refused: NDArray[np.object_]

    @property
    def has_price(self) -> Flags:
        """Whether the row was not refused."""
        return pd.isna(self.refused)


def objectives(given: PricingInputs, policy: PricingPolicy) -> tuple[Objective, Objective]:
    """Return what the uniform and the personal price of each row are chosen for."""
    amounts = given.list_price, given.unit_cost, policy.satisfaction_weight
    return Objective(given.uniform_curve, *amounts), Objective(given.curve, *amounts)


def best_prices(
    given: PricingInputs,
    policy: PricingPolicy,
    currency: str,
    shadow: ShadowPrices,
    parity_band: float | None = None,
) -> RowPrices:
    """Return the best uniform and personal price of each row under these shadow prices.

    The personal price stays within the uniform price × (1 ± ``parity_band``) where there is one. Raises
    PolicyError where the currency cannot have the policy's price ending.
    """
    rails, grid = policy.guardrails, policy.guardrails.price_grid(currency)
    for_uniform, for_personal = objectives(given, policy)
    amounts = given.list_price, given.unit_cost, given.floor, given.ceiling
    uniform = _best_price(for_uniform, bounds(rails, *amounts, given.live_uniform_price), shadow, grid)
    # A row without consent is priced as the uniform price is, so a bound by that price could only rename
    # its reasons.
    reference = np.where(given.consent & uniform.has_price, uniform.price, np.nan)
    rules = bounds(rails, *amounts, given.live_price, reference, parity_band)
    personal = _best_price(for_personal, rules, shadow, grid)
    return RowPrices(uniform, personal, _refusals(given, uniform, personal))


def standing_interval(
    products: pd.DataFrame,
    uniform_price: ArrayLike,
    policy: PricingPolicy,
    currency: str,
    parity_band: float | None = None,
) -> Interval:
    """Return where a personal price may stand that was set beside an earlier uniform price of its product.

    Every rule that a new one has to keep but the step, which a price that stays as it is does not take. ``products``
    has list_price, unit_cost, floor and ceiling (NaN: none), and ``uniform_price`` is the newest, float64 ``[n]``.
    """
    rails, newest = policy.guardrails, np.asarray(uniform_price, np.float64)
    list_price, unit_cost, floor, ceiling = (
        products[name].to_numpy("float64") for name in ("list_price", "unit_cost", "floor", "ceiling")
    )
    rules = bounds(rails, list_price, unit_cost, floor, ceiling, uniform_price=newest, parity_band=parity_band)
    return intersect(rules, len(products), rails.price_grid(currency))


def _best_price(objective: Objective, rules: Iterator[Bound], shadow: ShadowPrices, grid: PriceGrid) -> BestPrice:
    kept = list(rules)
    charged = ChargedObjective(objective, shadow)
    interval, optimum = intersect(kept, len(objective.list_price), grid), charged.optimum()
    return BestPrice(shadow, kept, interval, optimum, interval.best_rung(charged, optimum))


def _refusals(given: PricingInputs, uniform: BestPrice, personal: BestPrice) -> NDArray[np.object_]:
    """Return why each row has no price (its input, its rules, its uniform price), or None."""
    refused = np.where(pd.isna(given.invalid), personal.interval.conflict_names(), given.invalid)
    refused[pd.isna(refused) & ~personal.is_in_range] = "price_out_of_range"
    refused[pd.isna(refused) & ~uniform.has_price] = "no_uniform_price"
    return refused
