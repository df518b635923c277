"""A simulated marketplace whose truth is known: the contract's tables, and how its users would answer any price.

Prices on its log follow a weekly shock of each product's demand that no table records, so a model that takes the log
as it stands mistakes demand for price. The same draws without that link make the log's unconfounded twin.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import PricingError
from models.features.content import ProductContent
from models.features.decisions import Decisions
from models.form import FORM, Within
from models.simulation.catalogue import LATE_EVERY, Image
from models.simulation.demand_shift import DemandShift
from models.simulation.domains import CURVE_COLUMNS, TRUTHS, Domain
from models.simulation.draws import Draws
from models.simulation.offers import OFFERS_PER_VISIT

Array = NDArray[np.float64]

FEWEST_DAYS = 14
_BLOCK = 20_000


class MarketplaceError(PricingError, ValueError):
    """A marketplace that cannot be simulated, or a decision that is none of its own."""


@dataclass(frozen=True)
class MarketplaceConfig:
    """What a simulated marketplace is.

    Args:
        domain: whose truth it follows.
        users: how many there are.
        products: how many there are to choose from.
        offers: how many are logged; each user visits often enough to be shown his.
        days: length of the log.
        confounded: whether logged prices follow the hidden demand shock.
        randomised_share: share of logged prices drawn over the whole guardrail range.
        new_share: share of the products that are first offered when the log ends.
        seed: of every draw.

    """

    __pydantic_config__: ClassVar = FORM

    domain: Domain = "ecommerce"
    users: Annotated[int, Within(ge=1, le=10_000_000)] = 4_000
    products: Annotated[int, Within(ge=OFFERS_PER_VISIT, le=100_000)] = 60
    offers: Annotated[int, Within(ge=1, le=1_000_000_000)] = 80_000
    days: Annotated[int, Within(ge=FEWEST_DAYS, le=3660)] = 112
    confounded: bool = True
    randomised_share: Annotated[float, Within(ge=0, le=1)] = 0.1
    new_share: Annotated[float, Within(ge=0, lt=1)] = 0.0
    seed: Annotated[int, Within(ge=0, lt=2**32)] = 0

    @property
    def new_products(self) -> int:
        """How many products the log has never seen."""
        return round(self.new_share * self.products)

    def __post_init__(self) -> None:
        if self.domain not in TRUTHS:
            raise MarketplaceError(f"domain {self.domain!r} is unknown; choose one of {', '.join(TRUTHS)}")
        if min(self.users, self.offers) < 1 or self.products < OFFERS_PER_VISIT or self.days < FEWEST_DAYS:
            raise MarketplaceError(
                f"{self.users} users, {self.products} products, {self.offers} offers and {self.days} days are too few: "
                f"at least 1, {OFFERS_PER_VISIT}, 1 and {FEWEST_DAYS} are needed"
            )
        if not 0 <= self.randomised_share <= 1:
            raise MarketplaceError(f"the randomised share {self.randomised_share} must lie from 0 to 1")
        old = self.products - self.new_products - self.products // LATE_EVERY
        if self.new_share < 0 or old < OFFERS_PER_VISIT:
            raise MarketplaceError(
                f"a share of {self.new_share} new products leaves {old} of {self.products} at the log's start; "
                f"at least {OFFERS_PER_VISIT} are needed"
            )


@dataclass(frozen=True)
class Marketplace:
    """Tables, their feature form, and the truth behind them.

    Args:
        config: what it is.
        tables: the contract's tables; products have their pictures in `images` instead.
        images: (64, 64, 3) a product, where the domain has pictures.
        log: all logged offers with their features.
        requests: visits after the log's end, to be priced; their events stand beside the log's.
        curves: level, sensitivity, business share, hidden shock and willingness (a factor of what the user is ready to
            pay) of every decision, by decision id.

    """

    config: MarketplaceConfig
    tables: dict[str, pd.DataFrame]
    images: dict[str, Image]
    log: Decisions
    requests: Decisions
    curves: pd.DataFrame

    def with_content(self, content: ProductContent) -> Self:
        """Return the same marketplace whose decisions carry what the products' texts and pictures say."""
        return replace(self, log=replace(self.log, content=content), requests=replace(self.requests, content=content))

    def purchase_probability(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Return the true probability (rows,) at price / list price (rows,), averaged over the hidden shock.

        Raises:
            MarketplaceError: a decision is not of this marketplace.

        """
        return self._probability(self._curves_of(decisions), price_ratio)

    def probability_under(self, decisions: Decisions, price_ratio: Array, shock: Array) -> Array:
        """Return the true probability (rows,) at price / list price (rows,), in weeks of these hidden shocks (rows,).

        Raises:
            MarketplaceError: a decision is not of this marketplace.

        """
        return self._probability_under(self._curves_of(decisions), price_ratio, shock)

    def shifted(self, shift: DemandShift) -> Self:
        """Return the same marketplace whose users answer differently from a moment on; what was logged stays."""
        times = [part.frame.set_index("decision_id")["decided_at"] for part in (self.log, self.requests)]
        return replace(self, curves=shift.applied(self.curves, pd.concat(times).loc[self.curves.index]))

    def bounds(self, decisions: Decisions) -> tuple[Array, Array]:
        """Return the full guardrail range of each decision as price / list price (rows,), (rows,)."""
        floor, ceiling = (decisions.frame[name].to_numpy("float64") for name in ("floor", "ceiling"))
        return floor / decisions.list_price, ceiling / decisions.list_price

    def oracle(self, decisions: Decisions) -> Array:
        """Return the price / list price (rows,) of the highest true expected profit inside the guardrails."""
        return self.best_ratio(decisions, decisions.frame["unit_cost"].to_numpy("float64"))

    def best_ratio(self, decisions: Decisions, cost: Array, bounds: tuple[Array, Array] | None = None) -> Array:
        """Return the ratio (rows,) of the highest true profit at a cost (rows,), which may hold a bid price.

        `bounds` are the lowest and highest ratio (rows,), (rows,), in place of the full guardrail range.
        """
        lower, upper = bounds or self.bounds(decisions)
        curves, margin = self._curves_of(decisions), cost / decisions.list_price
        best = np.empty(len(decisions))
        for rows in _blocks(len(decisions)):
            best[rows] = self._search(curves.iloc[rows], margin[rows], lower[rows], upper[rows])
        return best

    def profit(self, decisions: Decisions, price_ratio: Array) -> Array:
        """Return the true expected profit (rows,), in money, of price / list price (rows,)."""
        frame = decisions.frame
        margin = price_ratio * decisions.list_price - frame["unit_cost"].to_numpy("float64")
        return np.asarray(
            frame["quantity"].to_numpy("float64") * self.purchase_probability(decisions, price_ratio) * margin
        )

    def _search(self, curves: pd.DataFrame, cost: Array, lower: Array, upper: Array) -> Array:
        """A grid of 65 ratios, then two finer ones around its best, since profit may have two peaks."""
        rows, best = np.arange(len(curves)), lower
        for _ in range(3):
            ratios = np.linspace(lower, upper, 65, axis=1)
            profits = np.stack([self._probability(curves, ratio) * (ratio - cost) for ratio in ratios.T], axis=1)
            place = profits.argmax(axis=1)
            best = np.asarray(ratios[rows, place])
            lower, upper = ratios[rows, np.maximum(place - 1, 0)], ratios[rows, np.minimum(place + 1, 64)]
        return best

    def _probability(self, curves: pd.DataFrame, price_ratio: Array) -> Array:
        return TRUTHS[self.config.domain].mean_probability(*_at(curves, price_ratio))

    def _probability_under(self, curves: pd.DataFrame, price_ratio: Array, shock: Array | float) -> Array:
        return TRUTHS[self.config.domain].probability(*_at(curves, price_ratio), shock)

    def _curves_of(self, decisions: Decisions) -> pd.DataFrame:
        curves = self.curves.reindex(decisions.frame["decision_id"])
        if curves["level"].isna().any():
            unknown = curves.index[curves["level"].isna()][:3].tolist()
            raise MarketplaceError(f"the decisions {unknown} are not of this marketplace; ask for its log or requests")
        return curves

    def best_uniform_ratio(self, decisions: Decisions, bounds: tuple[Array, Array] | None = None) -> Array:
        """Return the ratio (rows,) of the highest true profit if a product costs the same to all who ask.

        `bounds` as in `best_ratio`; where they differ within a product, it is the same place between them.
        """
        lower, upper = bounds or self.bounds(decisions)
        code, _ = pd.factorize(decisions.frame["product_id"])
        share = np.linspace(0, 1, 101)
        profits = np.stack(
            [np.bincount(code, self.profit(decisions, lower + s * (upper - lower))) for s in share], axis=1
        )
        best = share[profits.argmax(axis=1)][code]
        return np.asarray(lower + best * (upper - lower))


def simulate(config: MarketplaceConfig) -> Marketplace:
    """Simulate users, products, visits and offers; equal configurations give equal marketplaces.

    Raises:
        MarketplaceError: the configuration cannot be simulated.

    """
    draws = Draws.of(config)
    tables, behaviour = draws.tables, pd.concat(draws.behaviour(), ignore_index=True)
    logged = tables.named(draws.shown.iloc[draws.logged], "offer")
    requested = tables.named(draws.asked, "request")
    whole = {name: pd.concat(draws.blocks(name), ignore_index=True) for name in draws.table_names() - {"behaviour"}}
    return Marketplace(
        config=config,
        tables=whole | {"behaviour": behaviour},
        images=draws.catalogue.images,
        log=tables.decisions(logged, behaviour, is_log=True),
        requests=tables.decisions(requested, behaviour, is_log=False),
        curves=pd.concat([logged, requested])
        .set_index("decision_id")[[*CURVE_COLUMNS, "shock"]]
        .assign(willingness=1.0),
    )


def _at(curves: pd.DataFrame, price_ratio: Array) -> tuple[Array, Array, Array, Array]:
    """Return level, sensitivity and business share (rows,), and the ratio to what the user is ready to pay (rows,)."""
    level, sensitivity, business = (curves[name].to_numpy("float64") for name in CURVE_COLUMNS)
    return level, sensitivity, business, price_ratio / curves["willingness"].to_numpy("float64")


def _blocks(rows: int) -> Iterator[slice]:
    for first in range(0, rows, _BLOCK):
        yield slice(first, min(first + _BLOCK, rows))
