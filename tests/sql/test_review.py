"""Who may let a book go live: recorded by the database, as the user it authenticated."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url

from tasks.database import migrate, transaction

BOOK = """
INSERT INTO data.snapshots (snapshot_id, dataset, currency, row_counts, as_of, validation)
VALUES ('s', 'shop', 'EUR', '{}', now(), '{}') ON CONFLICT DO NOTHING;
INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency,
                           terms, state, approval, review_until, content_hash)
VALUES ('h', 'shop', 's', 'demand', 7, 'run', '{}', 'EUR', '{}', 'in_review', %s, now() + %s, 'content')
RETURNING book_id
"""


@pytest.fixture
def url(database_url: str) -> str:
    migrate(database_url)
    return database_url


@pytest.fixture
def reviewers(url: str) -> Iterator[tuple[str, str]]:
    """The URLs of two people who may approve and nothing more."""
    names = [f"reviewer_{uuid4().hex}" for _ in range(2)]
    for name in names:
        run(url, f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE pricing_reviewer")
    first, second = (
        make_url(url).set(username=name, password="secret").render_as_string(hide_password=False) for name in names
    )
    yield first, second
    for name in names:
        run(url, f"DROP ROLE {name}")


def run(url: str, statement: str, *arguments: object) -> list[tuple[object, ...]]:
    with transaction(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchall() if cursor.description else []


def awaiting(url: str, approval: str, patience: str = "1 hour") -> int:
    ((book,),) = run(url, BOOK, approval, patience)
    return int(str(book))


def approver(url: str, book: int) -> object:
    return run(url, "SELECT pricing.approver_of(%s)", book)[0][0]


def user(url: str) -> str | None:
    return make_url(url).username


def test_an_approval_names_the_authenticated_user(url: str, reviewers: tuple[str, str]) -> None:
    book = awaiting(url, "review")
    assert approver(url, book) is None
    assert run(reviewers[0], "SELECT pricing.approve(7)") == [(book,)]
    assert approver(url, book) == user(reviewers[0])


def test_no_role_hides_behind_another(url: str, reviewers: tuple[str, str]) -> None:
    book = awaiting(url, "review")
    run(reviewers[0], "SET ROLE pricing_reviewer; SELECT pricing.approve(7)")
    assert approver(url, book) == user(reviewers[0])
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(reviewers[0], "INSERT INTO pricing.approvals VALUES (DEFAULT, 1, 7, 'content', 'boss', now())")


def test_two_persons_are_two(url: str, reviewers: tuple[str, str]) -> None:
    first, second = reviewers
    run(url, "INSERT INTO pricing.trainings VALUES ('run', 7, %s, now())", user(first))
    book = awaiting(url, "two_person")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match=f"trained by {user(first)} and needs a second"):
        run(first, "SELECT pricing.approve(7)")
    assert approver(url, book) is None
    run(second, "SELECT pricing.approve(7)")
    assert approver(url, book) == user(second)


def test_an_unknown_trainer_cannot_be_told_from_the_approver(url: str, reviewers: tuple[str, str]) -> None:
    book = awaiting(url, "two_person")
    with pytest.raises(psycopg2.errors.NoDataFound, match="nobody is recorded as the trainer of version 7"):
        run(reviewers[0], "SELECT pricing.approve(7)")
    assert approver(url, book) is None


def test_another_versions_training_makes_no_second_person(url: str, reviewers: tuple[str, str]) -> None:
    first, second = reviewers
    run(url, "INSERT INTO pricing.trainings VALUES ('run', 6, %s, now())", user(second))  # the book is of version 7
    book = awaiting(url, "two_person")
    with pytest.raises(psycopg2.errors.NoDataFound, match="nobody is recorded as the trainer of version 7"):
        run(first, "SELECT pricing.approve(7)")
    assert approver(url, book) is None


def test_of_several_books_the_one_that_was_read_is_approved(url: str, reviewers: tuple[str, str]) -> None:
    first, second = awaiting(url, "review"), awaiting(url, "review")
    with pytest.raises(psycopg2.errors.CardinalityViolation, match=rf"books {first}, {second} .* --book {first}`"):
        run(reviewers[0], "SELECT pricing.approve(7)")
    assert run(reviewers[0], "SELECT pricing.approve(7, %s)", first) == [(first,)]
    assert (approver(url, first), approver(url, second)) == (user(reviewers[0]), None)
    with pytest.raises(psycopg2.errors.NoDataFound, match=r"version 7 with book 99 has no book that awaits"):
        run(reviewers[0], "SELECT pricing.approve(7, 99)")


@pytest.mark.parametrize(
    ("asked", "required", "needed"),
    [
        ("automatic", "automatic", "automatic"),
        ("automatic", "review", "review"),
        ("two_person", "review", "two_person"),
        ("review", "two_person", "two_person"),
    ],
)
def test_the_owner_may_require_more_than_is_asked_for(url: str, asked: str, required: str, needed: str) -> None:
    run(url, "SELECT pricing.require_approval(%s)", required)
    assert run(url, "SELECT pricing.stricter_approval(%s)", asked) == [(needed,)]
    book = awaiting(url, asked)
    assert approver(url, book) == ("automatic" if needed == "automatic" else None)


def test_what_is_required_holds_for_a_book_that_asked_for_nothing(url: str, reviewers: tuple[str, str]) -> None:
    book = awaiting(url, "automatic")
    run(url, "SELECT pricing.require_approval('two_person')")
    run(url, "INSERT INTO pricing.trainings VALUES ('run', 7, %s, now())", user(reviewers[0]))
    run(url, "UPDATE pricing.books SET state = 'published'")
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="is not approved"):
        run(url, "SELECT pricing.make_live(%s, 'publish')", book)
    run(url, "UPDATE pricing.books SET state = 'in_review'")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="needs a second person"):
        run(reviewers[0], "SELECT pricing.approve(7)")
    run(reviewers[1], "SELECT pricing.approve(7)")
    assert approver(url, book) == user(reviewers[1])
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(reviewers[1], "SELECT pricing.require_approval('automatic')")


def test_the_trainer_is_the_user_who_registered(url: str) -> None:
    for _ in range(2):
        run(url, "SELECT pricing.record_training('run', 7)")
    assert run(url, "SELECT model_version, trained_by FROM pricing.trainings") == [(7, user(url))]


def test_an_approval_is_of_the_prices_that_were_there(url: str, reviewers: tuple[str, str]) -> None:
    book = awaiting(url, "review")
    run(reviewers[0], "SELECT pricing.approve(7)")
    run(url, "UPDATE pricing.books SET content_hash = 'other prices'")
    assert approver(url, book) is None


@pytest.mark.parametrize("patience", ["-1 second", None])
def test_nothing_else_can_be_approved(url: str, reviewers: tuple[str, str], patience: str | None) -> None:
    if patience is not None:
        awaiting(url, "review", patience)
    with pytest.raises(psycopg2.errors.NoDataFound, match="version 7 has no book that awaits approval"):
        run(reviewers[0], "SELECT pricing.approve(7)")


def test_an_unapproved_book_cannot_go_live(url: str, reviewers: tuple[str, str]) -> None:
    book = awaiting(url, "review")
    publish = "UPDATE pricing.books SET state = 'published', approver = 'boss'"  # which counts for nothing
    run(url, publish)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="not approved: `pricing approve 7`"):
        run(url, "SELECT pricing.make_live(%s, 'publish')", book)
    run(url, "UPDATE pricing.books SET state = 'in_review'")
    run(reviewers[0], "SELECT pricing.approve(7)")
    run(url, publish)
    run(url, "SELECT pricing.make_live(%s, 'publish')", book)
    assert run(url, "SELECT details ->> 'approver' FROM pricing.ledger") == [(user(reviewers[0]),)]


def test_a_book_that_was_never_live_is_not_returned_to(url: str) -> None:
    book = awaiting(url, "two_person")
    run(url, "UPDATE pricing.books SET state = 'published', approver = 'boss'")
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match=f"book {book} was never live"):
        run(url, "SELECT pricing.make_live(%s, 'rollback')", book)


@pytest.mark.parametrize("table", ["ledger", "trainings", "approvals"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {}", "UPDATE {} SET model_version = 1"])
def test_what_was_recorded_stays(url: str, table: str, statement: str) -> None:
    statement = statement.replace("model_version", "book_id") if table == "ledger" else statement
    refused = pytest.raises(psycopg2.errors.RaiseException, match=f"pricing.{table} is append-only")
    with as_replica(url) as connection, connection.cursor() as cursor, refused:
        cursor.execute(statement.format(f"pricing.{table}"))


@contextmanager
def as_replica(url: str) -> Iterator[Connection]:
    """A superuser's session in which ordinary triggers do not fire."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain, options="-c session_replication_role=replica")) as connection:
        yield connection
