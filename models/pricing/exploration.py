"""Exploration: which prices vary at random, by a draw that any device repeats, and with what density."""

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.pricing.guardrails import Interval

if TYPE_CHECKING:  # the marketplace is simulated, too, where pydantic is not installed
    from models.pricing.policy import Exploration

FloatArray = NDArray[np.float64]
HashArray = NDArray[np.uint64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Draws:
    """What chance says of decisions, ``[n]``: whether a price is drawn over its whole interval, and where it lands.

    ``place``, float64 in [0, 1), is where in its interval or its dither a price lies.
    """

    is_drawn: Flags
    place: FloatArray

    @classmethod
    def of(cls, exploration: "Exploration", user_id: pd.Series, product_id: pd.Series, day: date) -> Self:
        """Return the draws of a day (UTC), the same for a user and product on every device."""
        keys = decision_keys(user_id, product_id, day.isoformat())
        if exploration.method == "uniform":
            return cls.independent(exploration.drawn_share, keys)
        return cls(_is_their_turn(exploration.drawn_share, user_id, product_id, day), uniform_draw(keys, stream=2))

    @classmethod
    def independent(cls, share: float, keys: HashArray) -> Self:
        """Return draws that `decision_keys` decide and nothing else."""
        return cls(uniform_draw(keys, stream=1) < share, uniform_draw(keys, stream=2))


@dataclass(frozen=True)
class ExploredPrices:
    """The rungs finally shown and how they came about, float64 and bool ``[n]``.

    ``density`` is per unit of price / list price, NaN where the row cannot explore. ``randomised`` marks
    the rows drawn over their whole interval; ``dithered`` those that moved from the best rung by the small
    draw.
    """

    rung: FloatArray
    randomised: Flags
    dithered: Flags
    density: FloatArray

    @classmethod
    def unexplored(cls, best_rung: FloatArray) -> Self:
        """Return the best prices, none of them drawn."""
        nothing = np.zeros(len(best_rung), dtype=bool)
        return cls(best_rung, nothing, nothing, np.full(len(best_rung), np.nan))

    def keeping(self, interval: Interval, live_price: FloatArray, live_propensity: FloatArray) -> Self:
        """Return the same prices, but a draw that is live already stays while the rules still allow it.

        ``live_propensity`` is the density with which ``live_price`` was drawn in this same period, NaN where
        it was not; a step counted from that draw would otherwise draw anew within the period.
        """
        rung = interval.grid.rung_at_or_below(live_price)
        is_allowed = (interval.lowest <= rung) & (rung <= interval.highest) & (interval.grid.price(rung) == live_price)
        stays = self.randomised & np.isfinite(live_propensity) & is_allowed
        return replace(
            self, rung=np.where(stays, rung, self.rung), density=np.where(stays, live_propensity, self.density)
        )


def explore(
    share: float,
    dither: float,
    interval: Interval,
    best_rung: FloatArray,
    list_price: FloatArray,
    can_explore: Flags,
    draws: Draws,
) -> ExploredPrices:
    """Draw a share of the prices over their interval and the others within ± dither x list price of the best price.

    Every draw is uniform over rungs. ``can_explore`` must be false where the interval is open or in
    conflict; rows with one admissible price cannot explore either.
    """
    can_explore = can_explore & (interval.highest > interval.lowest)
    reach = np.floor(dither * list_price / interval.grid.spacing)
    near_lowest = np.maximum(best_rung - reach, interval.lowest)
    near_highest = np.minimum(best_rung + reach, interval.highest)

    randomised = can_explore & draws.is_drawn
    low = np.where(randomised, interval.lowest, near_lowest)
    high = np.where(randomised, interval.highest, near_highest)
    drawn = low + np.floor(draws.place * (high - low + 1))
    rung = np.where(can_explore, np.minimum(drawn, high), best_rung)

    everywhere = share / np.maximum(interval.highest - interval.lowest + 1, 1)
    is_near = (near_lowest <= rung) & (rung <= near_highest)
    nearby = is_near * (1 - share) / np.maximum(near_highest - near_lowest + 1, 1)
    density = (everywhere + nearby) * list_price / interval.grid.spacing
    dithered = can_explore & ~randomised & (rung != best_rung)
    return ExploredPrices(rung, randomised, dithered, np.where(can_explore, density, np.nan))


def decision_keys(user_id: pd.Series, product_id: pd.Series, period: str) -> HashArray:
    """Return a 64-bit key per (user, product, period), the same on every machine and in every process."""
    keys = _mixed(_text_hash(user_id))
    keys = _mixed(keys ^ _text_hash(product_id))
    return _mixed(keys ^ _text_hash(pd.Series([period])))


def uniform_draw(keys: HashArray, stream: int) -> FloatArray:
    """Return one number in [0, 1) per key; streams are independent of each other."""
    return np.asarray((_mixed(keys + np.uint64(stream)) >> np.uint64(11)) * 2.0**-53)


def _is_their_turn(share: float, user_id: pd.Series, product_id: pd.Series, day: date) -> Flags:
    """Whether each pair is drawn on this day: at most once in each block of ⌊1 / share⌋ days.

    Its hash decides for a whole block whether it is drawn in it and, if so, on which of its days, all alike, so that on
    any one day each pair is drawn with the probability ``share``, whichever days have books.
    """
    if share == 0:
        return np.zeros(len(user_id), dtype=bool)
    block, place = divmod(day.toordinal(), int(1 / share))
    drawn = uniform_draw(decision_keys(user_id, product_id, f"block {block}"), stream=1)
    return np.asarray((place * share <= drawn) & (drawn < (place + 1) * share))


def _text_hash(texts: pd.Series) -> HashArray:
    """SipHash-2-4 of each text, taken once for each distinct one: a Python object a row would be the costliest."""
    codes, distinct = pd.factorize(texts, use_na_sentinel=False)
    hashes = pd.util.hash_array(np.asarray(distinct, dtype=object), encoding="utf8", hash_key="0123456789123456")
    return hashes[codes]


def _mixed(keys: HashArray) -> HashArray:
    """One step of SplitMix64 (Steele, Lea & Flood 2014): every input bit changes half of the output bits."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
