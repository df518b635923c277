"""The four simulated domains: what each sells, how its users show themselves, and how demand truly answers price."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

Array = NDArray[np.float64]
Domain = Literal["ecommerce", "hotel", "finance", "automobile"]
Answer = Callable[[Array, Array, Array], Array]


def logit(level: Array, sensitivity: Array, price_ratio: Array) -> Array:
    """Return the purchase probability of a logit in price."""
    return np.asarray(expit(level + sensitivity * (1 - price_ratio)))


def probit(level: Array, sensitivity: Array, price_ratio: Array) -> Array:
    """Return the purchase probability of a probit in price."""
    return np.asarray(ndtr(level + sensitivity * (1 - price_ratio)))


def hazard(level: Array, sensitivity: Array, price_ratio: Array) -> Array:
    """Return the purchase probability of a rate with constant elasticity, 1 - exp(-exp(level) ratio^-sensitivity)."""
    return -np.expm1(-np.exp(level - sensitivity * np.log(price_ratio)))


# Gauss-Hermite nodes average over the hidden shock.
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
CURVE_COLUMNS = ("level", "sensitivity", "business")


@dataclass(frozen=True)
class EventKinds:
    """What a domain calls the traces a user leaves: of interest, intent, thrift and of both tastes."""

    view: str
    search: str
    commit: str  # strong intent: a cart, a test drive
    thrift: str
    quality: str
    style: str

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds in the order of their numbers; the last, `PURCHASE`, is a purchase in every domain."""
        return (*(getattr(self, field.name) for field in fields(self)), "purchase")


PURCHASE = len(fields(EventKinds))


@dataclass(frozen=True)
class Truth:
    """How demand truly answers; every effect is on the scale of `answer`'s level, at list price.

    Args:
        answer: probability of purchase from level, sensitivity and price ratio.
        level: of the typical user, product and day.
        wealth, quality, quality_taste, style_taste, category_taste: what users and products add to the level.
        intent: what a strong intent for the product's category adds.
        demand, competitor: effect of the demand index, and of one tenth of list price on the competitor's tag.
        shock: standard deviation of the hidden weekly shock to a product's demand.
        sensitivity: of the typical user.
        thrift: standard deviation over users of the logarithm of the sensitivity.
        urgency: how much a strong intent lowers the logarithm of the sensitivity.
        risk: how much one standard deviation of a borrower's risk does so.
        business: sensitivity of the second class of users as a share of the first one's; None without such a class.
        satiation: what an earlier purchase takes from the level.

    """

    answer: Answer
    level: float
    sensitivity: float
    wealth: float
    quality: float
    quality_taste: float
    style_taste: float
    category_taste: float
    intent: float
    demand: float
    competitor: float
    shock: float
    thrift: float
    urgency: float
    risk: float = 0.0
    business: float | None = None
    satiation: float = 0.0

    def probability(
        self, level: Array, sensitivity: Array, business: Array, price_ratio: Array, shock: Array | float
    ) -> Array:
        """Return the probability of purchase (rows,) under a hidden shock: of one class of users, or of two mixed."""
        first = self.answer(level + shock, sensitivity, price_ratio)
        if self.business is None:
            return first
        second = self.answer(level + shock, self.business * sensitivity, price_ratio)
        return business * second + (1 - business) * first

    def mean_probability(self, level: Array, sensitivity: Array, business: Array, price_ratio: Array) -> Array:
        """Return the probability of purchase (rows,), averaged over the hidden shock."""
        mean: Array = np.zeros(())
        for node, weight in zip(_NODES, _NODE_WEIGHTS / _NODE_WEIGHTS.sum(), strict=True):
            mean = mean + weight * self.probability(level, sensitivity, business, price_ratio, self.shock * node)
        return mean


@dataclass(frozen=True)
class Shop:
    """What a domain sells and at which terms.

    Args:
        list_price: median list price, and the standard deviation of its logarithm.
        cost_share: lowest and highest unit cost as a share of list price.
        highest_ratio: legal ceiling as a share of list price.
        quantity: median units or exposure of one offer; 1 means always one.
        has_images: whether products have a picture.
        has_pools: whether stock perishes weekly.
        kinds: names of the events.
        categories: names of the categories.

    """

    list_price: tuple[float, float]
    cost_share: tuple[float, float]
    highest_ratio: float
    quantity: float
    has_images: bool
    has_pools: bool
    kinds: EventKinds
    categories: tuple[str, ...]


TRUTHS: dict[Domain, Truth] = {
    "ecommerce": Truth(
        logit, level=-1.6, sensitivity=5.0, wealth=0.9, quality=0.5, quality_taste=0.35, style_taste=0.5,
        category_taste=0.4, intent=1.4, demand=0.3, competitor=0.15, shock=0.6, thrift=0.5, urgency=0.4,
    ),
    "hotel": Truth(
        logit, level=-1.2, sensitivity=6.5, wealth=0.8, quality=0.5, quality_taste=0.3, style_taste=0.4,
        category_taste=0.4, intent=1.0, demand=0.4, competitor=0.15, shock=0.6, thrift=0.4, urgency=0.3,
        business=0.35,
    ),
    "finance": Truth(
        probit, level=-0.8, sensitivity=2.8, wealth=0.55, quality=0.3, quality_taste=0.2, style_taste=0.0,
        category_taste=0.25, intent=0.8, demand=0.2, competitor=0.1, shock=0.35, thrift=0.45, urgency=0.35, risk=0.2,
    ),
    "automobile": Truth(
        hazard, level=-3.4, sensitivity=7.0, wealth=0.6, quality=0.5, quality_taste=0.3, style_taste=0.5,
        category_taste=0.5, intent=1.4, demand=0.3, competitor=0.25, shock=0.5, thrift=0.45, urgency=0.3,
        satiation=4.0,
    ),
}  # fmt: skip

SHOPS: dict[Domain, Shop] = {
    "ecommerce": Shop(
        (60.0, 0.6), (0.4, 0.65), 1.5, 1.0, True, False,
        EventKinds("view", "search", "cart", "filter_price", "read_reviews", "zoom_image"),
        ("headphones", "kettle", "backpack", "jacket", "lamp", "watch"),
    ),
    "hotel": Shop(
        (140.0, 0.4), (0.25, 0.45), 1.8, 1.0, True, True,
        EventKinds("view", "search_dates", "choose_room", "sort_by_price", "read_reviews", "open_gallery"),
        ("city hotel", "beach resort", "mountain lodge", "airport hotel"),
    ),
    "finance": Shop(
        (95.0, 0.15), (0.35, 0.55), 1.4, 12.0, False, False,
        EventKinds("view", "calculate", "upload_document", "compare_rates", "read_terms", "watch_video"),
        ("car loan", "home improvement loan", "consolidation loan", "student loan"),
    ),
    "automobile": Shop(
        (31_000.0, 0.35), (0.68, 0.8), 1.25, 1.0, True, False,
        EventKinds("view", "configure", "test_drive", "compare_offers", "read_specification", "open_gallery"),
        ("hatchback", "estate", "suv", "saloon", "van"),
    ),
}  # fmt: skip
