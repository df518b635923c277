"""What earlier events say of each decision's user, and of that user with the product and its category, as numbers."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.features.decisions import microseconds

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_DAY = 86_400_000_000
_MISSING = 0


def history_features(frame: pd.DataFrame, behaviour: pd.DataFrame) -> pd.DataFrame:
    """Return window, activity and pair columns (rows, 12), by the index of `frame`.

    Args:
        frame: decisions with user_id, product_id, category and decided_at; one without a category has none in common.
        behaviour: events, each user's side by side and in order of time; one at the very moment is not an earlier one.

    """
    at, now = microseconds(behaviour["occurred_at"]), microseconds(frame["decided_at"])
    is_purchase = behaviour["kind"].to_numpy() == "purchase"
    user, asking = _codes(behaviour["user_id"], frame["user_id"])
    features: dict[str, Array] = {}
    start, end = _window(user, at, asking, now)
    bought = np.append(0, np.cumsum(is_purchase))
    features["activity_events"] = np.log1p(end - start)
    features["activity_purchases"] = np.log1p(bought[end] - bought[start])
    has_events = end > start
    features["activity_days_known"] = _days(now, at, start, has_events)
    features["activity_days_since_event"] = _days(now, at, end - 1, has_events)
    for name, column in (("product", "product_id"), ("category", "category")):
        item, wanted = _codes(behaviour[column], frame[column])
        is_known = wanted > _MISSING
        items = int(max(item.max(initial=0), wanted.max(initial=0))) + 1
        pair = user * items + item
        order = np.lexsort([at, pair])
        first, last = _window(pair[order], at[order], asking * items + wanted, now)
        sold = np.append(0, np.cumsum(is_purchase[order]))
        features[f"pair_{name}_events"] = np.where(is_known, np.log1p(last - first), np.nan)
        features[f"pair_{name}_purchases"] = np.where(is_known, np.log1p(sold[last] - sold[first]), np.nan)
        features[f"pair_days_since_{name}"] = _days(now, at[order], last - 1, is_known & (last > first))
    return pd.DataFrame({"events_start": start, "events_end": end, **features}, index=frame.index)


def _codes(known: pd.Series, asked: pd.Series) -> tuple[Integers, Integers]:
    """Return integers from 0 that are equal where the texts are, (events,) and (rows,); 0 is a missing text."""
    codes = pd.factorize(pd.concat([known, asked], ignore_index=True))[0].astype(np.int64) + 1
    return codes[: len(known)], codes[len(known) :]


def _window(key: Integers, at: Integers, asked: Integers, now: Integers) -> tuple[Integers, Integers]:
    """Return first and one past the last event of the asked key strictly before now; events lie by key, then time."""
    distinct, first = np.unique(key, return_index=True)
    order = np.argsort(first)  # keys in the order their events lie in
    place = pd.Index(distinct[order]).get_indexer(pd.Index(asked))
    rank = np.repeat(np.arange(len(order)), np.diff(np.append(first[order], len(key))))
    span = int(max(at.max(initial=0), now.max(initial=0))) + 1
    # Rank and time as one number: ranks stay below 2^63 / span for a few thousand keys only, so times are ranked too.
    moments = np.sort(pd.unique(at))
    tick, limit = np.searchsorted(moments, at), np.searchsorted(moments, np.minimum(now, span))
    width = len(moments) + 1
    timeline = rank * width + tick
    start = np.searchsorted(timeline, place * width)
    end = np.searchsorted(timeline, place * width + limit)
    unknown = place < 0
    return np.where(unknown, 0, start).astype(np.int64), np.where(unknown, 0, end).astype(np.int64)


def _days(now: Integers, at: Integers, event: Integers, known: NDArray[np.bool_]) -> Array:
    if not len(at):
        return np.full(len(now), np.nan)
    return np.where(known, (now - at[np.where(known, event, 0)]) / _DAY, np.nan)
