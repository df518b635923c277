from datetime import UTC, datetime

import psycopg2.extras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.snapshots import take_snapshot
from tasks.database import migrate, transaction

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
values = st.none() | texts
users = st.dictionaries(
    texts.filter(bool),
    st.tuples(values, st.none() | st.booleans(), st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    max_size=8,
)


class Rollback(Exception):  # noqa: N818
    """Ends a transaction without a trace."""


@pytest.fixture(scope="module")
def url(module_database_url):
    migrate(module_database_url)
    return module_database_url


def snapshot_id(url, rows, dataset="shop", currency="EUR", **session):
    found = None
    try:
        with transaction(url) as connection, connection.cursor() as cursor:
            for name, value in session.items():
                cursor.execute(f"SET LOCAL {name} = '{value}'")
            for user, (group, consent, age) in rows:
                attributes = None if age is None else psycopg2.extras.Json({"attr_age": age})
                cursor.execute(
                    "INSERT INTO data.users VALUES (%s, %s, %s, %s, %s)", [dataset, user, consent, group, attributes]
                )
            found = take_snapshot(connection, dataset, currency, {}, datetime(2024, 1, 1, tzinfo=UTC)).snapshot_id
            raise Rollback
    except Rollback:
        return found


@settings(max_examples=25, deadline=None)
@given(users, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(url, rows, random):
    shuffled = list(rows.items())
    random.shuffle(shuffled)
    assert snapshot_id(url, rows.items()) == snapshot_id(url, shuffled)


@settings(max_examples=25, deadline=None)
@given(users, users)
def test_other_rows_are_another_snapshot(url, rows, others):
    assert (snapshot_id(url, rows.items()) == snapshot_id(url, others.items())) == (rows == others)


def test_null_and_empty_text_are_not_the_same(url):
    assert snapshot_id(url, [("u", (None, None, None))]) != snapshot_id(url, [("u", ("", None, None))])


def test_dataset_and_currency_belong_to_the_snapshot_and_session_settings_do_not(url):
    rows = [("u", ("a", True, 0.1))]
    assert (
        len({snapshot_id(url, rows), snapshot_id(url, rows, dataset="b"), snapshot_id(url, rows, currency="USD")}) == 3
    )
    assert snapshot_id(url, rows) == snapshot_id(
        url, rows, timezone="Asia/Tokyo", datestyle="German", extra_float_digits=0
    )
