"""One marketplace as a benchmark sees it: offers to learn from, requests to price, and the truth to judge by."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.features.decisions import Decisions
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from tests.benchmarks.embeddings import product_content
from tests.benchmarks.tabular import Tabular

Array = NDArray[np.float64]

VALIDATION_SHARE = 0.1  # of the log, its last part; the requests after the log are the test


@dataclass(frozen=True)
class Scenario:
    """A marketplace's log in two parts, and the visits after it.

    Methods that need no validation part learn from both parts, so that all see the same offers.
    """

    market: Marketplace
    training: Decisions
    validation: Decisions
    requests: Decisions

    def changed(self, change: Callable[[Decisions], Decisions]) -> "Scenario":
        """Return the same marketplace as seen by one who lacks something."""
        return replace(
            self,
            training=change(self.training),
            validation=change(self.validation),
            requests=change(self.requests),
        )

    @cached_property
    def learning(self) -> Decisions:
        """All logged offers, in their order of time."""
        return self.training.join(self.validation)

    @cached_property
    def tabular(self) -> Tabular:
        """The same knowledge as one plain table, made once for all methods that read tables."""
        return Tabular.of(self.learning, self.requests)

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest admissible price ratio of each request (rows,), (rows,)."""
        return self.market.bounds(self.requests)

    @cached_property
    def last_logged(self) -> Array:
        """The price ratio each request's product was last shown at, random draws aside, inside the bounds (rows,).

        It is what the shop would go on charging, and the price around which counterfactuals are asked.
        """
        return self.last_logged_of(self.requests)

    def last_logged_of(self, decisions: Decisions) -> Array:
        """Return the same of other decisions of this marketplace (rows,)."""
        log = self.learning.select(~self.learning.randomised)
        last = dict(zip(log.frame["product_id"], log.price_ratio, strict=True))
        ratio = decisions.frame["product_id"].map(last).fillna(1.0).to_numpy("float64")
        return np.clip(ratio, *self.market.bounds(decisions))

    @cached_property
    def outcome(self) -> Array:
        """Whether each request is taken at its product's last price, drawn from the truth (rows,)."""
        probability = self.true_probability(self.last_logged)
        return (np.random.default_rng(self.market.config.seed).random(len(probability)) < probability).astype("float64")

    @cached_property
    def best_profit(self) -> Array:
        """True expected profit of each request at the best price, in money (rows,)."""
        return self.market.profit(self.requests, self.market.oracle(self.requests))

    def true_probability(self, price_ratio: Array) -> Array:
        """Return the true purchase probability of each request (rows,)."""
        return self.market.purchase_probability(self.requests, price_ratio)


def load_scenario(config: MarketplaceConfig, cache: Path) -> Scenario:
    """Simulate a marketplace and read its texts and pictures, whose vectors are kept in the folder `cache`."""
    market = simulate(config)
    market = market.with_content(product_content(market, cache))
    order = np.argsort(market.log.decided_at, kind="stable")
    first_validation = round((1 - VALIDATION_SHARE) * len(order))
    training, validation = (market.log.select(part) for part in np.split(order, [first_validation]))
    return Scenario(market, training, validation, market.requests)


def thinned(scenario: Scenario, offers: int) -> Scenario:
    """Return the same marketplace with that many of its logged offers, drawn at random over the whole time."""
    rng = np.random.default_rng(scenario.market.config.seed)
    share = offers / (len(scenario.training) + len(scenario.validation))

    def draw(part: Decisions) -> Decisions:
        return part.select(np.sort(rng.permutation(len(part))[: round(share * len(part))]))

    return replace(scenario, training=draw(scenario.training), validation=draw(scenario.validation))


def of_new_products(scenario: Scenario) -> Scenario:
    """Return the same log with the requests for products that it has never offered, to be priced by what they are."""
    seen = scenario.learning.frame["product_id"].unique()
    market = scenario.market
    requests = market.requests.select(~market.requests.frame["product_id"].isin(seen).to_numpy())
    return replace(scenario, market=replace(market, requests=requests), requests=requests)
