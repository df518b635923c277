"""A source's past comes in period by period, and a period that is refused ends it with those before it kept."""

from datetime import date, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.backfill import BackfillParameters
from tasks.data.collect import collect, collect_period
from tasks.data.validate import BatchRefusedError, validate
from tasks.sources import SourceParameters

COUNTS = "SELECT (SELECT count(*) FROM data.behaviour), (SELECT count(*) FROM data.offers)"


def parameters(folder, **changes):
    asked = {"source": {"kind": "files", "path": folder}, "since": "2024-03-01", "until": "2024-04-10", "step_days": 10}
    return BackfillParameters.model_validate(asked | changes)


def backfilled(asked):
    """The steps of the flow, without the workflow engine."""
    return [validate.fn(collect_period.fn(asked.source, period)) for period in asked.periods()]


@pytest.fixture
def folder(settings, migrated, shop, write_tables, tmp_path):
    return write_tables(shop, tmp_path / "shop", "csv")


def test_a_backfill_of_everything_is_the_whole(folder, query):
    snapshots = backfilled(parameters(folder))
    assert [snapshot.row_counts["behaviour"] for snapshot in snapshots] == [10, 20, 30, 40]
    assert snapshots[0].row_counts["users"] == 20, "tables without a time come whole, with the first period"
    again = validate.fn(collect.fn(SourceParameters(kind="files", path=folder)))
    assert again.snapshot_id == snapshots[-1].snapshot_id
    assert query("SELECT count(*) FROM data.loads WHERE state = 'merged'") == [(5,)]


def test_only_the_range_is_collected(folder, query):
    backfilled(parameters(folder, since="2024-03-05", until="2024-03-12", step_days=3))
    assert query("SELECT min(occurred_at)::date, max(occurred_at)::date, count(*) FROM data.behaviour") == [
        (date(2024, 3, 5), date(2024, 3, 11), 7)
    ]
    assert query("SELECT min(observed_at)::date, max(observed_at)::date FROM data.market") == [
        (date(2024, 3, 5), date(2024, 3, 11))
    ]


def test_the_past_comes_after_the_present(folder, query):
    backfilled(parameters(folder, since="2024-04-01"))
    backfilled(parameters(folder, until="2024-04-01", step_days=366))  # older than the newest row that is there
    assert query(COUNTS) == [(40, 40)]


def test_a_refused_period_keeps_those_before_it(shop, folder, write_tables, query):
    spoilt = shop["offers"]["offered_at"] > pd.Timestamp("2024-03-25", tz="UTC")
    shop["offers"].loc[spoilt, "price"] = -1.0
    write_tables(shop, folder, "csv")
    with pytest.raises(BatchRefusedError, match="offers"):
        backfilled(parameters(folder))
    assert query(COUNTS) == [(20, 20)]
    shop["offers"].loc[spoilt, "price"] = 9.0
    write_tables(shop, folder, "csv")
    backfilled(parameters(folder, since="2024-03-21"))
    assert query(COUNTS) == [(40, 40)]


def test_a_database_gives_the_range_alone(folder, query, settings, monkeypatch):
    validate.fn(collect.fn(SourceParameters(kind="files", path=folder)))
    url = settings.database_url.get_secret_value()
    query("CREATE SCHEMA shop")
    for table in ("users", "products", "behaviour", "market", "offers"):
        columns = query(
            "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_schema = 'data'"
            f" AND table_name = '{table}' AND column_name NOT IN ('dataset', 'attributes', 'image', 'image_sha256')"
        )[0][0]
        query(f"CREATE VIEW shop.{table} AS SELECT {columns} FROM data.{table} WHERE dataset LIKE 'files%'")
    monkeypatch.setenv("PRICING_SOURCE_URL", f"{url}?options=-csearch_path%3Dshop")
    (snapshot,) = backfilled(
        parameters(folder, source={"kind": "database"}, since="2024-03-05", until="2024-03-12", step_days=7)
    )
    assert (snapshot.row_counts["behaviour"], snapshot.row_counts["users"]) == (7, 20)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"until": "2024-03-01"}, "the range is empty"),
        ({"since": "1990-01-01", "step_days": 1}, "take more days at once"),
        ({"step_days": 0}, "greater than or equal to 1"),
        ({"since": "yesterday"}, "valid date"),
        ({"pace": 1}, "Extra inputs"),
    ],
)
def test_the_form_refuses_what_makes_no_sense(tmp_path, changes, said):
    with pytest.raises(ValidationError, match=said):
        parameters(tmp_path, **changes)


@given(st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.integers(1, 900), st.integers(1, 366))
def test_periods_cover_every_moment_once(since, days, step):
    asked = BackfillParameters(since=since, until=since + timedelta(days=days), step_days=step)
    periods = asked.periods()
    assert periods[0].since.date() == since
    assert periods[-1].until.date() == since + timedelta(days=days)
    assert all(before.until == after.since for before, after in pairwise(periods))
    assert all(timedelta() < period.until - period.since <= timedelta(days=step) for period in periods)
