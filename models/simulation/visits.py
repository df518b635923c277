"""Users of a simulated marketplace and the traces their visits leave: what they are shows mainly in what they do."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.simulation.catalogue import Catalogue
from models.simulation.domains import Domain, Shop

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

WARM_UP_DAYS, WARM_UP_VISITS = 56, 4  # visits before the first offer, so that it already has a history
REQUEST_DAYS = 7  # after the log, one visit a user, to be priced
DECISION_MINUTE = 30  # after the start of a visit, when its offers are made
MICROSECONDS_PER_DAY = 86_400_000_000
INTENTS = {0.0: 0.4, 0.4: 0.35, 1.0: 0.25}  # how much a visitor may want something, and how often he does
TASTE_IN_VISITS = 1.5  # how strongly a liked category draws visits
_EVENTS_PER_VISIT = (4, 12)
_BLOCK = 3_000_000  # events times products that are drawn at once


@dataclass(frozen=True)
class Users:
    """U users, hidden but for `table`; latent traits are standard normal.

    `tastes` (U, categories) is how much each category is liked.
    """

    table: pd.DataFrame
    thrift: Array
    wealth: Array
    quality: Array
    style: Array
    risk: Array
    business: Array
    tastes: Array


@dataclass(frozen=True)
class Visits:
    """V visits ordered by user, then time; `kind` is 0 before the log, 1 in it, 2 after it.

    `intent` (V,) from 0 to 1 is how much the visitor wants `category` now; `business` (V,) is the probability that
    this is a business trip, where the domain has such trips.
    """

    user: Integers
    start: Integers  # microseconds
    kind: Integers
    category: Integers
    intent: Array
    business: Array

    @property
    def decided_at(self) -> Integers:
        """Return when each visit's offers are made, microseconds (V,)."""
        return self.start + DECISION_MINUTE * 60_000_000


def make_users(rng: np.random.Generator, domain: Domain, shop: Shop, users: int) -> Users:
    """Draw users whose attributes tell little of their traits, and whose groups differ in wealth."""
    thrift, wealth, quality, style, risk, business = rng.normal(size=(6, users))
    quality = 0.3 * wealth + np.sqrt(1 - 0.3**2) * quality
    age = np.clip(40 + 12 * (0.3 * wealth + np.sqrt(1 - 0.3**2) * rng.normal(size=users)), 18, 90).round()
    channel = np.where(rng.random(users) < 0.5 + 0.1 * np.tanh(thrift), "mobile", "web")
    columns: dict[str, object] = {
        "user_id": _numbered("user", np.arange(users, dtype=np.int64)),
        "personalisation_consent": rng.random(users) >= 0.02,
        "protected_group": np.where(rng.random(users) < 0.5 + 0.1 * np.tanh(wealth), "a", "b"),
        "attr_age": age,
        "attr_channel": channel,
    }
    if domain == "finance":
        columns["attr_credit_score"] = np.round(650 - 60 * risk)
    return Users(
        table=pd.DataFrame(columns),
        thrift=thrift,
        wealth=wealth,
        quality=quality,
        style=style,
        risk=risk,
        business=business,
        tastes=rng.normal(size=(users, len(shop.categories))),
    )


def make_visits(rng: np.random.Generator, users: Users, log_visits: int, days: int, start: int) -> Visits:
    """Draw each user's visits: some before the log, `log_visits` in it, one after it.

    `start` is the first moment of the log in microseconds.
    """
    count = len(users.thrift)
    before = np.sort(rng.uniform(-WARM_UP_DAYS, 0, (count, WARM_UP_VISITS)), axis=1)
    within = np.sort(rng.uniform(0, days, (count, log_visits)), axis=1)
    after = rng.uniform(days, days + REQUEST_DAYS, (count, 1))
    day = np.concatenate([before, within, after], axis=1)
    user = np.repeat(np.arange(count), day.shape[1])
    kind = np.tile(np.repeat([0, 1, 2], [WARM_UP_VISITS, log_visits, 1]), count)
    noise = rng.gumbel(size=(len(user), users.tastes.shape[1]))
    return Visits(
        user=user.astype(np.int64),
        start=(start + day.ravel() * MICROSECONDS_PER_DAY).astype(np.int64),
        kind=kind.astype(np.int64),
        category=(TASTE_IN_VISITS * users.tastes[user] + noise).argmax(axis=1).astype(np.int64),
        intent=rng.choice(list(INTENTS), len(user), p=list(INTENTS.values())),
        business=1 / (1 + np.exp(-2 * users.business[user] - 1.5 * rng.normal(size=len(user)))),
    )


def make_events(
    rng: np.random.Generator, shop: Shop, users: Users, catalogue: Catalogue, visits: Visits, start: int
) -> pd.DataFrame:
    """Return the events of all visits, before any purchase: user and product (positions), kind, dwell and time.

    A kind is its place in `EventKinds.names`.
    """
    per_visit = rng.integers(*_EVENTS_PER_VISIT, len(visits.user))
    visit = np.repeat(np.arange(len(visits.user), dtype=np.int32), per_visit)
    place = np.arange(len(visit)) - np.repeat(np.cumsum(per_visit) - per_visit, per_visit)
    at = visits.start[visit] + place * 120_000_000
    size = max(_BLOCK // len(catalogue.popularity), 1)
    blocks = [slice(first, first + size) for first in range(0, len(visit), size)]
    del place
    kinds = [_likeliest(rng, kind_utility(shop, users, visits, visit[block])).astype(np.int8) for block in blocks]
    for block in blocks:
        at[block] += rng.integers(0, 60, len(visit[block])) * 1_000_000
    products = []
    for block in blocks:
        utility = product_utility(users, catalogue, visits, visit[block], (at[block] - start) / MICROSECONDS_PER_DAY)
        products.append(_likeliest(rng, utility).astype(np.int32))
    kind, product = np.concatenate(kinds), np.concatenate(products)
    dwell = np.concatenate([_dwell(rng, users, visits, visit[block]) for block in blocks])
    user = visits.user[visit].astype(np.int32)
    return pd.DataFrame({"user": user, "kind": kind, "product": product, "dwell_seconds": dwell, "at": at})


def _dwell(rng: np.random.Generator, users: Users, visits: Visits, visit: NDArray[np.int32]) -> Array:
    """Draw how long each event took, in seconds to a tenth."""
    wealth, noise = users.wealth[visits.user[visit]], rng.normal(size=len(visit))
    seconds = np.exp(3 + 0.7 * wealth - 0.6 * visits.business[visit] + 0.6 * noise)
    return np.asarray(np.round(seconds, 1), np.float64)


def kind_utility(shop: Shop, users: Users, visits: Visits, visit: NDArray[np.int32]) -> Array:
    """Return how readily an event of each visit is of each kind, in the order of `EventKinds` (events, kinds)."""
    user, intent = visits.user[visit], visits.intent[visit]
    utility = (
        np.full(len(visit), 1.2),
        -0.5 + 1.5 * (intent > 0) + 0.8 * visits.business[visit] * shop.has_pools,
        -2.0 + 3.0 * (intent == 1),
        -0.2 + 1.4 * users.thrift[user] - 1.2 * visits.business[visit] * shop.has_pools,
        -0.5 + 1.1 * users.quality[user],
        -0.5 + 1.1 * users.style[user] * shop.has_images,
    )
    return np.stack(utility, axis=1)


def product_utility(users: Users, catalogue: Catalogue, visits: Visits, visit: NDArray[np.int32], day: Array) -> Array:
    """Return how readily an event of each visit is about each product at its day of the log (events, products).

    It is of the wanted category mostly, dear for the wealthy, good for who likes it, and none that is not launched yet.
    """
    user = visits.user[visit]
    log_price = np.log(catalogue.table["list_price"].to_numpy("float64"))
    dearness = (log_price - log_price.mean()) / max(log_price.std(), 1e-9)
    taste = (
        np.outer(users.wealth[user], dearness)
        + np.outer(users.quality[user], 0.9 * catalogue.quality)
        + np.outer(users.style[user], 0.9 * catalogue.style)
    )
    wanted = np.where(visits.intent[visit] > 0, 3.0, 1.5)[:, None] * (
        catalogue.category == visits.category[visit, None]
    )
    utility = np.log(catalogue.popularity) + taste + wanted
    return np.where(catalogue.launched_day <= day[:, None], utility, -np.inf)


def _likeliest(rng: np.random.Generator, utility: Array) -> NDArray[np.int64]:
    """Draw a column for each row with the probabilities of a logit in its utility (rows,)."""
    return np.asarray((utility + rng.gumbel(size=utility.shape)).argmax(axis=1))


def _numbered(name: str, numbers: Integers) -> NDArray[np.object_]:
    return np.array([f"{name}-{number:07d}" for number in numbers.tolist()], dtype=object)
