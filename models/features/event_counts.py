"""How often a user did what, of all events and of the latest ones about a product's category, as features.

A Transformer reads the events one by one; some ten thousand purchases do not teach it to count them. Counting is what
tells a thrifty user from one who reads reviews, and a visitor who means to buy now from one who looks around.
Purchases are left out: they grow with the offers a user has met, so that a share of them would drift with time, and the
tables' own features count them.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.features.columns import UNKNOWN, Vocabulary, text_column
from models.features.decisions import Decisions

Integers = NDArray[np.int64]

RECENT = 86_400_000_000  # microseconds before a decision that count as now: one visit, or a few on one day
_MOST_RECENT = 256  # events are counted, so that a robot's day costs no more than a user's
_HALF = 0.5


def event_counts(
    decisions: Decisions,
    kind: Integers,
    category: Integers,
    occurred_at: Integers,
    kinds: Vocabulary,
    categories: Vocabulary,
) -> pd.DataFrame:
    """Return `activity_share_KIND` and `pair_recent_KIND` of each kind but purchases (rows, 2 kinds), by the index.

    The first is the logarithm of the kind's share of all earlier events, half an event added to each kind (Jeffreys'
    prior), NaN without events; the second ln(1 + events of the last day that were about the decision's category).

    `kind` and `category` (E,) are the events' indices in the vocabularies `kinds` and `categories`, `occurred_at` (E,)
    their times in microseconds.

    """
    start, end = decisions.events_window
    counted = {name: number for number, name in enumerate(kinds.values, start=UNKNOWN + 1) if name != "purchase"}
    events = _count(np.isin(kind, list(counted.values())), start, end)
    row, code = _recent(decisions, kind, category, occurred_at, categories)
    columns = {}
    for name, number in counted.items():
        share = (_count(kind == number, start, end) + _HALF) / (events + _HALF * len(counted))
        columns[f"activity_share_{name}"] = np.where(events > 0, np.log(share), np.nan)
        columns[f"pair_recent_{name}"] = np.log1p(np.bincount(row[code == number], minlength=len(start)))
    return pd.DataFrame(columns, index=decisions.frame.index)


def _count(chosen: NDArray[np.bool_], start: Integers, end: Integers) -> Integers:
    """How many events of each window are chosen (rows,)."""
    low, high = (int(start.min()), int(end.max())) if len(start) else (0, 0)  # a block's users lie side by side
    before = np.append(0, np.cumsum(chosen[low:high]))
    return np.asarray(before[end - low] - before[start - low], dtype=np.int64)


def _recent(
    decisions: Decisions, kind: Integers, category: Integers, occurred_at: Integers, categories: Vocabulary
) -> tuple[Integers, Integers]:
    """Row and kind of every recent event about the category of its row's decision."""
    start, end = decisions.events_window
    asked = categories.encode(text_column(decisions.frame, "category"))
    recent = np.maximum(_first_since(occurred_at, start, end, decisions.decided_at - RECENT), end - _MOST_RECENT)
    row, event = _spread(recent, end)
    about = (category[event] == asked[row]) & (asked[row] > UNKNOWN)
    return row[about], kind[event[about]]


def _first_since(occurred_at: Integers, start: Integers, end: Integers, since: Integers) -> Integers:
    """First event of each window that is not before `since` (rows,): all windows halved at once."""
    low, high = start.copy(), end.copy()
    while (low < high).any():
        middle = (low + high) // 2
        earlier = occurred_at[np.minimum(middle, len(occurred_at) - 1)] < since
        searching = low < high
        low = np.where(searching & earlier, middle + 1, low)
        high = np.where(searching & ~earlier, middle, high)
    return low


def _spread(start: Integers, end: Integers) -> tuple[Integers, Integers]:
    """Row and position of every event of the windows start..end (rows,)."""
    length = end - start
    row = np.repeat(np.arange(len(length)), length)
    first = np.cumsum(length) - length
    return row, np.arange(len(row)) - first[row] + start[row]
