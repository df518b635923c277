"""Offers of a simulated marketplace: what is shown, how its demand truly answers, at which price, and who buys."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.pricing.exploration import Draws, ExploredPrices, decision_keys, explore
from models.pricing.guardrails import Bound, Interval, intersect
from models.pricing.price_grid import PriceGrid
from models.simulation.catalogue import Catalogue
from models.simulation.domains import CURVE_COLUMNS, Shop, Truth
from models.simulation.visits import MICROSECONDS_PER_DAY, WARM_UP_DAYS, Users, Visits

Array = NDArray[np.float64]

OFFERS_PER_VISIT = 4
_CENTS = PriceGrid(ticks_per_unit=100)
_BLOCK = 1_200_000  # visits times products that are drawn at once
_USUAL_RATIO = 0.98
_HIDDEN_DEMAND, _COST, _DEMAND = 0.1, 0.06, 0.02  # what one standard deviation of each adds to the usual price ratio
_DITHER = 0.02
_COST_OF_RISK = 0.08  # of list price, a standard deviation


def make_market(rng: np.random.Generator, truth: Truth, products: int, days: int) -> pd.DataFrame:
    """Draw weekly observations of each product and the shock nobody records; week 0 is the log's first."""
    weeks = np.arange(-WARM_UP_DAYS // 7, -(-days // 7) + 1)
    product, week = np.tile(np.arange(products), len(weeks)), np.repeat(weeks, products)
    demand = 0.5 * np.sin(2 * np.pi * week / 13) + 0.7 * rng.normal(size=len(week))
    return pd.DataFrame(
        {
            "product": product,
            "week": week,
            "demand_index": np.round(demand, 4),
            "competitor": 1 + 0.1 * rng.normal(size=len(week)),
            "instrument_supplier_cost": np.round(rng.normal(size=len(week)), 4),
            "shock": truth.shock * rng.normal(size=len(week)),
        }
    )


def make_offers(rng: np.random.Generator, shop: Shop, catalogue: Catalogue, visits: Visits, start: int) -> pd.DataFrame:
    """Draw four products a visit: by popularity in the log, evenly after it, more of the wanted category."""
    asked = np.flatnonzero(visits.kind > 0)
    day = (visits.start - start) / MICROSECONDS_PER_DAY
    picks, block = [], max(_BLOCK // len(catalogue.popularity), 1)
    for first in range(0, len(asked), block):
        visit = asked[first : first + block]
        utility = np.where((visits.kind[visit] == 1)[:, None], np.log(catalogue.popularity), 0.0)
        utility = utility + 1.2 * (catalogue.category == visits.category[visit, None])
        utility = utility + rng.gumbel(size=utility.shape)
        drawn = np.where(catalogue.launched_day <= day[visit, None], utility, -np.inf)
        picks.append(np.argpartition(-drawn, OFFERS_PER_VISIT - 1, axis=1)[:, :OFFERS_PER_VISIT])
    visit = np.repeat(asked, OFFERS_PER_VISIT)
    spread = 0.0 if shop.quantity == 1 else 0.6
    return pd.DataFrame(
        {
            "visit": visit,
            "user": visits.user[visit],
            "product": np.concatenate(picks).ravel(),
            "week": np.floor(day[visit] / 7).astype("int64"),
            "kind": visits.kind[visit],
            "at": visits.decided_at[visit],
            "quantity": np.round(shop.quantity * np.exp(spread * rng.normal(size=len(visit))), 1),
        }
    )


def add_curves(
    offers: pd.DataFrame, truth: Truth, users: Users, catalogue: Catalogue, visits: Visits, market: pd.DataFrame
) -> pd.DataFrame:
    """Add the market of each offer's week and the true curve of each offer."""
    offers = offers.merge(market, on=["product", "week"], how="left", validate="many_to_one")
    u, p, visit = (offers[name].to_numpy("int64") for name in ("user", "product", "visit"))
    wanted = visits.intent[visit] * (catalogue.category[p] == visits.category[visit])
    level = (
        truth.level
        + catalogue.appeal[p]
        + truth.wealth * users.wealth[u]
        + truth.quality * catalogue.quality[p]
        + truth.quality_taste * users.quality[u] * catalogue.quality[p]
        + truth.style_taste * users.style[u] * catalogue.style[p]
        + truth.category_taste * users.tastes[u, catalogue.category[p]]
        + truth.intent * wanted
        + truth.demand * offers["demand_index"].to_numpy("float64")
        + truth.competitor * (offers["competitor"].to_numpy("float64") - 1) / 0.1
    )
    log_sensitivity = truth.thrift * users.thrift[u] - truth.urgency * wanted - truth.risk * users.risk[u]
    return offers.assign(
        level=level,
        sensitivity=truth.sensitivity * np.exp(log_sensitivity),
        business=visits.business[visit],
        risk=users.risk[u],
    )


def add_prices(
    offers: pd.DataFrame, truth: Truth, catalogue: Catalogue, *, confounded: bool, randomised_share: float, period: str
) -> pd.DataFrame:
    """Add the terms of each offer and its logged price.

    The usual price follows cost, season and, where the log is confounded, the hidden shock, with a little dither; a
    share is drawn over the whole guardrail range. `period` seeds the draws.
    """
    p = offers["product"].to_numpy("int64")
    terms = [catalogue.table[name].to_numpy("float64")[p] for name in ("list_price", "unit_cost", "floor", "ceiling")]
    list_price, cost, floor, ceiling = terms
    if truth.risk:  # a riskier borrower costs more
        cost = np.round(cost + _COST_OF_RISK * list_price * np.clip(offers["risk"].to_numpy("float64"), -2, 2), 2)
        floor = cost
    hidden = _HIDDEN_DEMAND * offers["shock"].to_numpy("float64") / truth.shock
    cost_moves = _COST * offers["instrument_supplier_cost"].to_numpy("float64")
    usual = _USUAL_RATIO + cost_moves + _DEMAND * offers["demand_index"].to_numpy("float64") + confounded * hidden
    interval = intersect([Bound("floor", lower=floor), Bound("ceiling", upper=ceiling)], len(p), _CENTS)
    drawn = _explored(interval, usual, list_price, offers, randomised_share, period)
    return offers.assign(
        list_price=list_price,
        unit_cost=cost,
        floor=floor,
        ceiling=ceiling,
        price=_CENTS.price(drawn.rung),
        randomised=drawn.randomised,
        propensity=drawn.density,
    )


def add_outcomes(rng: np.random.Generator, offers: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """Draw who buys, visit by visit, since who has bought may want no more; the last visit's level knows that too."""
    offers = offers.sort_values(["user", "at", "product"], ignore_index=True)
    users = offers["user"].nunique()
    wide = [offers[name].to_numpy("float64").reshape(users, -1) for name in (*CURVE_COLUMNS, "shock")]
    level, sensitivity, business, shock = wide[0].copy(), *wide[1:]
    ratio = (offers["price"] / offers["list_price"]).to_numpy("float64").reshape(users, -1)
    draw, bought = rng.random(level.shape), np.zeros(level.shape, dtype=bool)
    for first in range(0, level.shape[1], OFFERS_PER_VISIT):
        now = np.s_[:, first : first + OFFERS_PER_VISIT]
        level[now] -= truth.satiation * bought.any(axis=1, keepdims=True)
        chance = truth.probability(level[now], sensitivity[now], business[now], ratio[now], shock[now])
        bought[now] = draw[now] < chance
    return offers.assign(level=level.ravel(), purchased=bought.ravel())


def _explored(
    interval: Interval, usual: Array, list_price: Array, offers: pd.DataFrame, share: float, period: str
) -> ExploredPrices:
    rung = np.clip(_CENTS.rung_at_or_below(usual * list_price), interval.lowest, interval.highest)
    visit = offers["user"].astype(str) + "-" + offers["visit"].astype(str)
    draws = Draws.independent(share, decision_keys(visit, offers["product"].astype(str), period))
    return explore(share, _DITHER, interval, rung, list_price, np.ones(len(rung), dtype=bool), draws)
