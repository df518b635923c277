"""The products of a simulated marketplace: quality that only the text tells, style that only the picture shows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.simulation.domains import Domain, Shop

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

LATE_EVERY = 5  # every fifth product is launched in the last sixth of the log
_SIDE = 64
_BRANDS = ("Aldra", "Boreal", "Cindra", "Dovel", "Estrin")
# From the lowest to the highest quality; a text takes its sentences from one tier and its neighbours.
_PHRASES: dict[Domain, tuple[tuple[str, ...], ...]] = {
    "ecommerce": (
        ("Thin plastic parts.", "Breaks easily.", "No warranty.", "Poor finish with rough edges."),
        ("Basic materials.", "Simple build for light use.", "Short warranty.", "Plain and cheap finish."),
        ("Decent materials.", "Made for everyday use.", "One year of warranty.", "Ordinary finish."),
        ("Solid metal parts.", "Built to last for years.", "Three years of warranty.", "Careful, even finish."),
        ("Handmade from the finest materials.", "Award-winning craftsmanship.", "Lifetime warranty.", "Flawless."),
    ),
    "hotel": (
        ("Dirty rooms and noisy corridors.", "Broken air conditioning.", "No breakfast.", "Rude staff."),
        ("Small, worn rooms.", "Thin walls.", "Coffee from a machine.", "Reception closes early."),
        ("Clean, ordinary rooms.", "Standard breakfast.", "Helpful reception.", "Average location."),
        ("Spacious, quiet rooms.", "Generous breakfast buffet.", "Attentive service.", "Pool and sauna."),
        ("Luxurious suites with a view.", "Michelin-starred dining.", "Personal butler.", "Award-winning spa."),
    ),
    "finance": (
        ("High penalty fees.", "No early repayment.", "Hidden charges apply.", "Approval takes many weeks."),
        ("Some fees apply.", "Early repayment costs extra.", "Approval takes two weeks.", "Service by post."),
        ("Standard fees.", "Early repayment once a year.", "Approval within a week.", "Service by telephone."),
        ("Low fees.", "Flexible repayment.", "Approval within two days.", "A contact person of your own."),
        ("No fees at all.", "Repay whenever you like for free.", "Instant approval.", "Payment holidays included."),
    ),
    "automobile": (
        ("Outdated engine, loud inside.", "Poor crash rating.", "Hard plastic seats.", "Rusts early."),
        ("Modest engine.", "Basic safety equipment.", "Cloth seats.", "Manual air conditioning."),
        ("Economical engine.", "Good safety equipment.", "Comfortable seats.", "Standard navigation."),
        ("Strong, quiet engine.", "Full safety package.", "Heated leather seats.", "Adaptive cruise control."),
        ("Exhilarating, refined performance.", "Best crash rating.", "Massage seats.", "Luxury sound system."),
    ),
}


@dataclass(frozen=True)
class Catalogue:
    """P products. `table` is the contract's, the arrays (P,) are hidden."""

    table: pd.DataFrame
    images: dict[str, Image]
    category: NDArray[np.int64]
    quality: Array
    style: Array
    appeal: Array  # what neither text nor picture shows
    popularity: Array
    launched_day: Array  # before day 0 for most


def make_catalogue(
    rng: np.random.Generator, domain: Domain, shop: Shop, products: int, days: int, new: int = 0
) -> Catalogue:
    """Draw `products` products; every fifth is launched in the last sixth of the log, and `new` of them at its end."""
    category = np.arange(products) % len(shop.categories)
    quality, style = rng.normal(size=products), rng.uniform(-1.7, 1.7, products)
    brand = rng.integers(0, len(_BRANDS), products)
    median, spread = shop.list_price
    scale = 1 + 0.25 * np.sin(category)  # categories differ in what things cost
    list_price = np.round(median * scale * np.exp(spread * rng.normal(size=products)), 2)
    cost = np.round(list_price * rng.uniform(*shop.cost_share, products), 2)
    ids = np.array([f"product-{number:04d}" for number in range(products)])
    is_late = np.arange(products) % LATE_EVERY == LATE_EVERY - 1
    late_day = rng.uniform(5 * days / 6, days, products)
    table = pd.DataFrame(
        {
            "product_id": ids,
            "title": [
                f"{_BRANDS[b]} {shop.categories[c]} {rng.integers(100, 999)}"
                for b, c in zip(brand, category, strict=True)
            ],
            "description": [_description(rng, _PHRASES[domain], value) for value in quality],
            "category": np.array(shop.categories)[category],
            "brand": np.array(_BRANDS)[brand],
            "list_price": list_price,
            "unit_cost": cost,
            "floor": cost,
            "ceiling": np.floor(list_price * shop.highest_ratio * 100) / 100,
            "attr_weight": np.round(np.exp(rng.normal(size=products)), 3),
            "attr_size": np.round(rng.uniform(0, 1, products), 3),
        }
    )
    images = {
        name: _picture(rng, value) for name, value in zip(ids.tolist(), style.tolist(), strict=True) if shop.has_images
    }
    appeal, popularity = 0.15 * rng.normal(size=products), np.exp(0.6 * rng.normal(size=products))
    is_new = rng.permutation(products) < new
    return Catalogue(
        table=table,
        images=images,
        category=category.astype(np.int64),
        quality=quality,
        style=style,
        appeal=appeal,
        popularity=popularity,
        launched_day=np.where(is_new, days, np.where(is_late, late_day, -np.inf)),
    )


def _description(rng: np.random.Generator, tiers: tuple[tuple[str, ...], ...], quality: float) -> str:
    """Six sentences whose tiers lie around the quality's place, so that their mean tells it finely."""
    place = np.clip(2 + 1.1 * quality, 0, 4)
    lower = np.minimum(np.floor(place), 3)
    drawn = (lower + (np.arange(6) / 6 + rng.uniform(0, 1 / 6) < place - lower)).astype(int)
    return " ".join(tiers[tier][rng.integers(0, len(tiers[tier]))] for tier in rng.permutation(drawn))


def _picture(rng: np.random.Generator, style: float) -> Image:
    """A striped disc on a plain ground: the warmer its colour and the finer its stripes, the higher the style."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    disc = (x - 0.5) ** 2 + (y - 0.5) ** 2 < rng.uniform(0.1, 0.18)
    stripes = 0.5 + 0.5 * np.sin(2 * np.pi * (5 + 2.5 * style) * (x + rng.uniform(0, 0.3) * y) + rng.uniform(0, 6))
    warmth = (style + 1.7) / 3.4
    colour = np.array([0.15 + 0.8 * warmth, 0.35, 0.95 - 0.8 * warmth])
    pixels = np.where(disc[..., None], colour * (0.4 + 0.6 * stripes[..., None]), 0.9)
    return np.clip(255 * (pixels + rng.normal(0, 0.03, pixels.shape)), 0, 255).astype(np.uint8)
