"""Where the prices of explored offers were drawn: between which ends each, and which prices have been tried at all."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.features.decisions import Decisions, Split

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_OF_PRODUCT = 100  # explored offers by which a product shows the range its prices are drawn from
LEAST_BEYOND = 50  # explored offers at a price or beyond it by which the price is explored


@dataclass(frozen=True)
class Support:
    """Between which ratios the price of each test offer was drawn, and over which width those of its product were.

    `is_own` says whether an offer's own ends are known; else they are the outermost of its product, or of all products
    where it has few draws. A price stands for all that round to it, so that the ends lie half of a `tick` further out.
    """

    lowest: Array
    highest: Array
    drawn_range: Array
    tick: Array
    is_own: Flags

    @property
    def is_wide(self) -> Flags:
        """Whether more than one price could be drawn."""
        return self.highest - self.lowest > 1.5 * self.tick

    @classmethod
    def of(cls, split: Split, spacing: float) -> Self:
        """Return that of the test offers, for prices that lie `spacing` apart, in money."""
        drawn = _drawn(split)
        ranges = drawn.groupby("product")["ratio"].agg(["min", "max", "size"])
        known = ranges[ranges["size"] >= LEAST_OF_PRODUCT].reindex(split.test.frame["product_id"])
        lowest = known["min"].fillna(drawn["ratio"].min()).to_numpy("float64")
        highest = known["max"].fillna(drawn["ratio"].max()).to_numpy("float64")
        own_lowest, own_highest = (held(split.test, side) / split.test.list_price for side in ("lower", "upper"))
        is_own, tick = np.isfinite(own_lowest) & np.isfinite(own_highest), spacing / split.test.list_price
        return cls(
            np.where(is_own, own_lowest, lowest) - tick / 2, np.where(is_own, own_highest, highest) + tick / 2,
            highest - lowest, tick, is_own,
        )  # fmt: skip


def is_explored(offers: Decisions) -> Flags:
    """Return which offers had their price drawn with a known density, for a user who consents to it (offers,)."""
    if "propensity" not in offers.frame:
        return np.zeros(len(offers), dtype=bool)
    return np.asarray((offers.frame["propensity"].to_numpy("float64", na_value=np.nan) > 0) & offers.consent)


def held(offers: Decisions, name: str) -> Array:
    """Return what is known of the quote that an offer was, in money (offers,); NaN for offers made elsewhere."""
    column = f"held_{name}"
    return offers.frame[column].to_numpy("float64") if column in offers.frame else np.full(len(offers), np.nan)


def tried_range(split: Split) -> dict[str, float]:
    """Return the lowest and highest ratio that quotes were drawn at or beyond often enough; 1 where none was."""
    quoted = [part.price_ratio[is_explored(part) & np.isfinite(held(part, "lower"))] for part in split]
    ratio = np.sort(np.concatenate(quoted))
    ends = (ratio[LEAST_BEYOND - 1], ratio[-LEAST_BEYOND]) if len(ratio) >= LEAST_BEYOND else (1.0, 1.0)
    return {"tried_lowest": float(min(ends[0], 1.0)), "tried_highest": float(max(ends[1], 1.0))}


def _drawn(split: Split) -> pd.DataFrame:
    """Product and ratio of all offers whose price was drawn with a known density."""
    return pd.concat(
        [
            pd.DataFrame({"product": part.frame["product_id"], "ratio": part.price_ratio})[is_explored(part)]
            for part in split
        ]
    )
