"""Everything that is drawn for a simulated marketplace, and the contract's tables made of it block by block of users.

Draws are numbers and positions, so that a million users with 50 million events fit a machine; ids and names, which are
most of a table, exist for one block of users at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.simulation.catalogue import Catalogue, make_catalogue
from models.simulation.domains import CURVE_COLUMNS, PURCHASE, SHOPS, TRUTHS, Domain
from models.simulation.offers import OFFERS_PER_VISIT, add_curves, add_outcomes, add_prices, make_market, make_offers
from models.simulation.tables import START, SimulatedTables
from models.simulation.visits import REQUEST_DAYS, Users, Visits, make_events, make_users, make_visits

if TYPE_CHECKING:
    from models.simulation.marketplace import MarketplaceConfig

Integers = NDArray[np.int64]

USERS_PER_BLOCK = 10_000
STARTS_AT = START.value // 1_000  # microseconds
_A_MINUTE = 60_000_000  # after an offer it is bought


@dataclass(frozen=True)
class Draws:
    """Users and products as positions; `shown`, `asked` and `events` are ordered by user.

    Args:
        domain: whose truth it follows.
        users, catalogue, market: who and what there is.
        shown: the offers of the log's visits with their outcomes, ordered by user, then time.
        logged: which rows of `shown` the log holds (offers,).
        asked: the visits after the log, to be priced.
        events: what users did, purchases aside.

    """

    domain: Domain
    users: Users
    catalogue: Catalogue
    market: pd.DataFrame
    shown: pd.DataFrame
    logged: Integers
    asked: pd.DataFrame
    events: pd.DataFrame

    @classmethod
    def of(cls, config: "MarketplaceConfig") -> Self:
        """Draw a marketplace, each part from a stream of its own, so that a log and its twin share their draws."""
        shop, truth = SHOPS[config.domain], TRUTHS[config.domain]
        of_events, of_market, of_offers, of_outcomes = _streams(config)[3:]
        users, catalogue, visits = draw_visits(config)
        market = make_market(of_market, truth, config.products, config.days + REQUEST_DAYS)
        offers = make_offers(of_offers, shop, catalogue, visits, STARTS_AT)
        offers = add_curves(offers, truth, users, catalogue, visits, market)
        offers = add_prices(
            offers,
            truth,
            catalogue,
            confounded=config.confounded,
            randomised_share=config.randomised_share,
            period=f"{config.domain}-{config.seed}",
        )
        offers = add_outcomes(of_outcomes, offers, truth)
        shown, asked = offers[offers["kind"] == 1], offers[offers["kind"] == 2]
        del offers
        sampled = np.sort(of_outcomes.permutation(len(shown))[: config.offers])  # full visits may have shown some more
        events = make_events(of_events, shop, users, catalogue, visits, STARTS_AT)
        return cls(config.domain, users, catalogue, market, shown, sampled, asked, events)

    @property
    def tables(self) -> SimulatedTables:
        """What gives draws their ids and names."""
        return SimulatedTables(self.users, self.catalogue, SHOPS[self.domain])

    def table_names(self) -> frozenset[str]:
        """Name the contract's tables that this domain has."""
        stock = {"inventory"} if SHOPS[self.domain].has_pools else set()
        return frozenset({"users", "products", "behaviour", "market", "offers"} | stock)

    def blocks(self, table: str, users: int = USERS_PER_BLOCK) -> Iterator[pd.DataFrame]:
        """Give a table of the contract in blocks of so many users, whose rows do not depend on how many."""
        if table == "behaviour":
            yield from self.behaviour(users)
        elif table == "offers":
            yield from self.offers(users)
        elif table == "users":
            for first in range(0, len(self.users.table), users):
                yield self.users.table.iloc[first : first + users].reset_index(drop=True)
        else:
            yield {"products": self._products, "market": self._market, "inventory": self.inventory}[table]()

    def behaviour(self, users: int = USERS_PER_BLOCK) -> Iterator[pd.DataFrame]:
        """Give the contract's events, ordered by user, then time; a purchase is an event a minute after its offer."""
        bought = self.shown.loc[self.shown["purchased"], ["user", "product", "at"]]
        event_of, bought_of = self.events["user"].to_numpy(), bought["user"].to_numpy()
        number = 0
        for first in range(0, len(self.users.table), users):
            own, taken = (_of_users(column, first, first + users) for column in (event_of, bought_of))
            events = _with_purchases(self.events.iloc[own], bought.iloc[taken])
            yield self.tables.behaviour(events, number)
            number += len(events)

    def offers(self, users: int = USERS_PER_BLOCK) -> Iterator[pd.DataFrame]:
        """Give the contract's offers, ordered by user, then time."""
        user = self.shown["user"].to_numpy()[self.logged]
        for first in range(0, len(self.users.table), users):
            rows = _of_users(user, first, first + users)
            yield self.tables.offers(self.tables.named(self.shown.iloc[self.logged[rows]], "offer", rows.start))

    def inventory(self) -> pd.DataFrame:
        """Return one pool a product and week: ample in the log, and half of what would sell at list price after it."""
        pool, truth = ["product", "week"], TRUTHS[self.domain]
        ample = self.shown.iloc[self.logged].groupby(pool)["purchased"].sum() * 1.5 + 5
        level, sensitivity, business = (self.asked[name].to_numpy("float64") for name in CURVE_COLUMNS)
        at_list = truth.probability(level, sensitivity, business, np.ones(len(self.asked)), 0.0)
        scarce = (self.asked[pool].assign(wanted=at_list).groupby(pool)["wanted"].sum() * 0.5).clip(lower=1)
        capacity = (part.round().rename("capacity").reset_index() for part in (ample, scarce))
        return pd.concat([self.tables.inventory(part) for part in capacity], ignore_index=True)

    def _products(self) -> pd.DataFrame:
        return self.catalogue.table

    def _market(self) -> pd.DataFrame:
        return self.tables.market(self.market)


def draw_visits(config: "MarketplaceConfig") -> tuple[Users, Catalogue, Visits]:
    """Draw who there is, what there is, and who comes when and for what: what all the rest follows from."""
    of_users, of_products, of_visits = _streams(config)[:3]
    shop = SHOPS[config.domain]
    users = make_users(of_users, config.domain, shop, config.users)
    catalogue = make_catalogue(of_products, config.domain, shop, config.products, config.days, config.new_products)
    log_visits = -(-config.offers // (config.users * OFFERS_PER_VISIT))
    return users, catalogue, make_visits(of_visits, users, log_visits, config.days, STARTS_AT)


def _streams(config: "MarketplaceConfig") -> list[np.random.Generator]:
    """Return a stream for each part: users, products, visits, events, market, offers, outcomes."""
    return list(map(np.random.default_rng, np.random.SeedSequence(config.seed).spawn(7)))


def _of_users(user: NDArray[np.integer], first: int, end: int) -> slice:
    """Return the rows of the users `first` up to `end`, which lie in the order of users (rows,)."""
    return slice(*np.searchsorted(user, [first, end]).tolist())


def _with_purchases(events: pd.DataFrame, bought: pd.DataFrame) -> pd.DataFrame:
    """Add a purchase event for each offer that was taken, in order of user and time."""
    taken = bought.assign(kind=PURCHASE, at=bought["at"] + _A_MINUTE)
    everything = pd.concat([events, taken], ignore_index=True)
    order = np.lexsort([everything[name].to_numpy() for name in ("product", "at", "user")])
    return everything.iloc[order].reset_index(drop=True)
