"""COPY of frames as they come: what they hold arrives as it is, and no more than two of them are held at once."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.copying import copy_frame, copy_frames
from tasks.database import database_url, transaction
from tasks.settings import Settings

Query = Callable[[str], list[tuple[Any, ...]]]
TEXTS = ["plain", "", 'a "quoted", one', "two\nlines", "\\N", "日本", None]


@pytest.fixture
def url(settings: Settings, query: Query) -> str:
    query("CREATE TABLE target (number bigint, text text, amount double precision)")
    return database_url(settings)


def frame(number: int, rows: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {"number": number, "text": [f"row {row}" for row in range(rows)], "amount": np.arange(rows) / 7}
    )


def test_texts_and_numbers_arrive_as_they_are(url: str, query: Query) -> None:
    amounts = [0.1, 1 / 3, 1e300, -5e-324, 2.0**53, 0.0, np.nan]
    given = pd.DataFrame({"number": range(7), "text": TEXTS, "amount": amounts})
    with transaction(url) as connection:
        assert copy_frame(connection, ["target"], given) == 7
    found = query("SELECT text, amount FROM target ORDER BY number")
    assert [text for text, _ in found] == TEXTS
    assert [amount for _, amount in found[:-1]] == amounts[:-1]
    assert found[-1][1] is None


def test_frames_are_made_only_as_they_are_sent(url: str, query: Query) -> None:
    alive: list[weakref.ref[pd.DataFrame]] = []
    most = 0

    def frames() -> Iterator[pd.DataFrame]:
        nonlocal most
        for number in range(12):
            block = frame(number, rows=20_000)
            alive.append(weakref.ref(block))
            gc.collect()
            most = max(most, sum(reference() is not None for reference in alive))
            yield block

    with transaction(url) as connection:
        assert copy_frames(connection, ["target"], frames()) == 240_000
    assert most <= 3
    assert query("SELECT count(*), count(DISTINCT number) FROM target") == [(240_000, 12)]


def test_empty_frames_and_none_at_all(url: str, query: Query) -> None:
    with transaction(url) as connection:
        assert copy_frames(connection, ["target"], iter([])) == 0
        assert copy_frames(connection, ["target"], [frame(1, 0), frame(2), frame(3, 0), frame(4)]) == 6
    assert query("SELECT array_agg(DISTINCT number) FROM target") == [([2, 4],)]


def test_a_frame_that_cannot_be_made_leaves_nothing(url: str, query: Query) -> None:
    def frames() -> Iterator[pd.DataFrame]:
        yield frame(1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"), transaction(url) as connection:
        copy_frames(connection, ["target"], frames())
    assert query("SELECT count(*) FROM target") == [(0,)]
