from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from models.features.content import Encoders, ProductContent
from models.features.decisions import Decisions

START = pd.Timestamp("2024-01-01", tz="UTC")


@dataclass(frozen=True)
class SyntheticLog:
    """Offers whose truth is known: P(buy) = sigmoid(level + sensitivity * (1 - ratio) + shock)."""

    decisions: Decisions
    level: np.ndarray
    sensitivity: np.ndarray


def synthetic_log(
    offers: int = 6000,
    users: int = 600,
    products: int = 12,
    events_each: int = 8,
    confounding: float = 0.0,
    randomised: float = 0.0,
    seed: int = 0,
) -> SyntheticLog:
    """Users with a price sensitivity that shows in `activity_thrift`, products with a level of their own.

    With `confounding`, a daily shock of each product that nobody records raises both its demand and its price;
    `instrument_cost` moves the price alone.
    """
    rng = np.random.default_rng(seed)
    days = 60
    visits = -(-offers // 4)
    visitor = np.sort(rng.integers(0, users, visits))
    day = rng.integers(5, days, visits)
    user, day = np.repeat(visitor, 4)[:offers], np.repeat(day, 4)[:offers]
    product = rng.integers(0, products, len(user))

    thrift = rng.normal(size=users)
    product_level = rng.normal(-0.5, 0.8, products)
    shock, cost = rng.normal(size=(products, days)), rng.normal(size=(products, days))
    ratio = 0.9 + 0.08 * cost + 0.08 * (shock if confounding else rng.normal(size=shock.shape))
    ratio = ratio[product, day]
    drawn = rng.random(len(user)) < randomised
    ratio = np.clip(np.where(drawn, rng.uniform(0.6, 1.2, len(user)), ratio), 0.5, 1.4)
    sensitivity = 4.0 * np.exp(0.5 * thrift[user])
    level = product_level[product]
    log_odds = level + sensitivity * (1 - ratio) + confounding * shock[product, day]

    names = np.array([f"p{number}" for number in range(products)])
    list_price = 10.0 + 5 * np.arange(products) % 37
    events = events_table(rng, users, events_each, names)
    decided = START + pd.to_timedelta(day * 24 + 12, unit="h")
    seen = event_counts(events, user, decided)
    frame = pd.DataFrame(
        {
            "decision_id": np.arange(len(user)).astype(str),
            "user_id": np.char.add("u", user.astype(str)),
            "product_id": names[product],
            "decided_at": pd.Series(decided).astype("datetime64[us, UTC]"),
            "list_price": list_price[product],
            "price": ratio * list_price[product],
            "purchased": (rng.random(len(user)) < 1 / (1 + np.exp(-log_odds))).astype(float),
            "category": np.char.add("c", (product % 3).astype(str)),
            "randomised": drawn,
            "weight": 1.0,
            "consent": True,
            "user_attr_region": np.array(["north", "south"])[user % 2],
            "activity_thrift": thrift[user],
            "pair_bought_before": rng.integers(0, 3, len(user)).astype(float),
            "market_index": np.where(rng.random(len(user)) < 0.1, np.nan, rng.normal(size=len(user))),
            "calendar_weekday": np.array(["mon", "tue", "wed"])[day % 3],
            "instrument_cost": cost[product, day],
            "events_start": user * events_each,
            "events_end": user * events_each + seen,
        }
    )
    return SyntheticLog(Decisions(frame, events), level, sensitivity)


def events_table(rng: np.random.Generator, users: int, each: int, products: np.ndarray) -> pd.DataFrame:
    hours = np.sort(rng.uniform(0, 60 * 24, (users, each)), axis=1).ravel()
    return pd.DataFrame(
        {
            "kind": rng.choice(["view", "purchase"], users * each),
            "product_id": rng.choice(products, users * each),
            "category": rng.choice(["c0", "c1", "c2"], users * each),
            "dwell_seconds": np.where(rng.random(users * each) < 0.5, np.nan, rng.exponential(30, users * each)),
            "occurred_at": pd.Series(START + pd.to_timedelta(hours, unit="h")).astype("datetime64[us, UTC]"),
        }
    )


def event_counts(events: pd.DataFrame, user: np.ndarray, decided: pd.DatetimeIndex) -> np.ndarray:
    """Events of each decision's user before it (rows,)."""
    users = int(user.max()) + 1 if len(user) else 0
    each = len(events) // max(users, 1)
    if not len(user) or not len(events):
        return np.zeros(len(user), dtype="int64")
    times = events["occurred_at"].to_numpy("datetime64[us]").reshape(-1, max(each, 1))
    return (times[user] < decided.to_numpy("datetime64[us]")[:, None]).sum(1)


def described(decisions: Decisions, texts: dict[str, np.ndarray], images: dict[str, np.ndarray]) -> Decisions:
    """The decisions with vectors for the products that have any."""
    products = tuple(sorted(texts.keys() | images.keys()))

    def table(vectors: dict[str, np.ndarray]) -> np.ndarray:
        width = len(next(iter(vectors.values()))) if vectors else 0
        nothing = np.zeros(width, "float32")
        return np.array([vectors.get(product, nothing) for product in products], "float32").reshape(
            len(products), width
        )

    made_by = Encoders("words" if texts else "", "pixels" if images else "")
    return replace(decisions, content=ProductContent(products, table(texts), table(images), made_by))


@pytest.fixture(scope="session")
def describe() -> Callable[..., Decisions]:
    return described


@pytest.fixture(scope="session")
def make_log() -> Callable[..., SyntheticLog]:
    return synthetic_log
