"""How near any method could come to single users' true probabilities: their traces do not tell all of them.

The mean of |predicted - true| is smallest for the median of the true probability given all that is known. Here that
median is taken by one who knows more than any method may: the simulation's law, its products, its market with the
hidden shocks, every trait of every user, which category each visit was about and how much it was wanted, but for today.
Two things he has to infer by Bayes' rule, from the exact likelihood of the traces: how much a user likes each category
(from those of his visits and from what he bought and refused), and how much he wants today's (from today's events).
A method has the same traces and less of the rest, so that in expectation it cannot err less.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from models.simulation.domains import CURVE_COLUMNS, SHOPS, TRUTHS
from models.simulation.draws import STARTS_AT, Draws, draw_visits
from models.simulation.visits import (
    INTENTS,
    MICROSECONDS_PER_DAY,
    TASTE_IN_VISITS,
    Visits,
    kind_utility,
    product_utility,
)
from tests.benchmarks.scenario import Scenario

Array = NDArray[np.float64]

_TASTES, _DRAWN = 2_000, 200  # draws of the prior, and of each user's posterior
_BLOCK = 500


def least_error_probability(scenario: Scenario, change: float) -> Array:
    """Return the median of the true probability of each request given all but tastes and today's intent (rows,).

    Args:
        scenario: the requests, of the whole marketplace.
        change: of the last logged price of the product.

    """
    config = scenario.market.config
    draws, (_, _, visits) = Draws.of(config), draw_visits(config)
    users, catalogue = draws.users, draws.catalogue
    truth, rng = TRUTHS[config.domain], np.random.default_rng(config.seed)
    number = scenario.requests.frame["decision_id"].str.rsplit("-", n=1).str[-1].astype("int64").to_numpy()
    asked = draws.asked.iloc[number]
    user, product, visit = (asked[name].to_numpy("int64") for name in ("user", "product", "visit"))
    category = catalogue.category[product]
    match = category == visits.category[visit]
    taste = _tastes(draws, visits, rng)[:, user, category].T  # (rows, draws)
    wanted = np.array(list(INTENTS)) * match[:, None]  # (rows, intents)
    likely = _intents(draws, visits)[user]
    level, sensitivity, business = (asked[name].to_numpy("float64") for name in CURVE_COLUMNS)
    true_wanted = visits.intent[visit] * match
    level = level - truth.category_taste * users.tastes[user, category] - truth.intent * true_wanted
    sensitivity = sensitivity * np.exp(truth.urgency * true_wanted)
    ratio, found = change * scenario.last_logged, np.empty(len(asked))
    for first in range(0, len(asked), _BLOCK):
        rows = slice(first, first + _BLOCK)
        shape = (len(found[rows]), _DRAWN, len(INTENTS))
        levels = level[rows, None, None] + truth.category_taste * taste[rows, :, None]
        levels = levels + truth.intent * wanted[rows, None, :]
        slopes = sensitivity[rows, None, None] * np.exp(-truth.urgency * wanted[rows, None, :])
        curve = (levels, *(np.broadcast_to(part, shape) for part in (slopes, business[rows, None, None])))
        probability = truth.mean_probability(*curve, ratio[rows, None, None])
        weight = np.broadcast_to(likely[rows, None, :], shape)
        found[rows] = _median(probability.reshape(shape[0], -1), weight.reshape(shape[0], -1))
    return found


def _tastes(draws: Draws, visits: Visits, rng: np.random.Generator) -> Array:
    """Return draws of each user's tastes given his visits' categories and his answers (draws, users, categories)."""
    users, categories = draws.users.tastes.shape
    prior = rng.normal(size=(_TASTES, categories))
    count = np.bincount(visits.user * categories + visits.category, minlength=users * categories)
    log_weight = count.reshape(users, categories) @ log_softmax(TASTE_IN_VISITS * prior, axis=1).T
    log_weight = log_weight + _answers(draws, prior)
    drawn = [prior[rng.choice(_TASTES, _DRAWN, p=softmax(row))] for row in log_weight]
    return np.stack(drawn, axis=1)


def _answers(draws: Draws, tastes: Array) -> Array:
    """Return the log-likelihood of what each user bought and refused under each of the tastes (users, draws)."""
    truth, shown = TRUTHS[draws.domain], draws.shown
    user, product = (shown[name].to_numpy("int64") for name in ("user", "product"))
    category = draws.catalogue.category[product]
    level, sensitivity, business, shock = (shown[name].to_numpy("float64") for name in (*CURVE_COLUMNS, "shock"))
    level = level - truth.category_taste * draws.users.tastes[user, category]
    ratio = (shown["price"] / shown["list_price"]).to_numpy("float64")
    bought = shown["purchased"].to_numpy(bool)
    found = np.zeros((len(draws.users.table), len(tastes)))
    for first in range(0, len(shown), _BLOCK):
        rows = slice(first, first + _BLOCK)
        levels = level[rows, None] + truth.category_taste * tastes[:, category[rows]].T
        slopes, shares, ratios, shocks = (part[rows, None] for part in (sensitivity, business, ratio, shock))
        chance = truth.probability(levels, slopes, shares, ratios, shocks)
        np.add.at(found, user[rows], np.log(np.where(bought[rows, None], chance, 1 - chance).clip(1e-300)))
    return found


def _intents(draws: Draws, visits: Visits) -> Array:
    """Return how likely each intent of today is given today's events, whose category is known (users, intents)."""
    shop, today = SHOPS[draws.domain], np.flatnonzero(visits.kind == 2)  # one a user, in their order
    events = draws.events
    user, kind, product = (events[name].to_numpy("int64") for name in ("user", "kind", "product"))
    at = events["at"].to_numpy("int64")
    now = at >= visits.start[today][user]
    user, kind, product, at = user[now], kind[now], product[now], at[now]
    visit = today[user].astype(np.int32)
    likelihood = []
    for intent in INTENTS:
        assumed = replace(visits, intent=np.full(len(visits.intent), intent))
        day = (at - STARTS_AT) / MICROSECONDS_PER_DAY
        of_kind = log_softmax(kind_utility(shop, draws.users, assumed, visit), axis=1)
        of_product = log_softmax(product_utility(draws.users, draws.catalogue, assumed, visit, day), axis=1)
        row = np.arange(len(user))
        likelihood.append(np.bincount(user, of_kind[row, kind] + of_product[row, product], len(today)))
    return np.asarray(softmax(np.stack(likelihood, axis=1) + np.log(list(INTENTS.values())), axis=1))


def _median(values: Array, weight: Array) -> Array:
    """Return the weighted median of each row (rows,)."""
    order = np.argsort(values, axis=1)
    below = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    place = (below < below[:, -1:] / 2).sum(axis=1)
    return np.take_along_axis(values, np.take_along_axis(order, place[:, None], axis=1), axis=1)[:, 0]
