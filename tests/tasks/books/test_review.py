"""A flow run that awaits approval, on a real Prefect server and a real database."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_runs import resume_flow_run
from prefect.testing.utilities import prefect_test_harness
from pydantic import ValidationError

import tasks.books.review
from flows.deploy import DeployParameters
from tasks.books.approvals import ApprovalError, approve, approver_of
from tasks.books.book import Book, discard_book
from tasks.books.review import Review, ReviewError, await_approval, submit_for_review
from tasks.registry.pages import version_link
from tasks.settings import Settings

Query = Callable[[str], list[tuple[Any, ...]]]

BOOK = """
INSERT INTO data.snapshots (snapshot_id, dataset, currency, row_counts, as_of, validation)
VALUES ('s', 'shop', 'EUR', '{}', now(), '{}');
INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency,
                           terms, state, approval, review_until, content_hash)
VALUES ('h', 'shop', 's', 'demand', 7, 'run', '{}', 'EUR', '{}', 'in_review', 'review', now() + interval '1 hour', 'c')
RETURNING book_id, session_user
"""


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def book(settings: Settings, migrated: None, query: Query) -> tuple[int, str]:
    """The number of a book that awaits approval, and the database user of this test."""
    return query(BOOK)[0]


def wait(number: int, seconds: float) -> str:
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    review = Review(Book(number), 7, "review", until)

    @flow(name=f"deploy-{number}-{seconds}")
    def waiting() -> str:
        return await_approval(review)

    return waiting()


def answer(asked: str, version: int) -> None:
    """Fill in the form that a paused run shows, once its description holds these words."""
    give_up = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while time.monotonic() < give_up:
            for run in client.read_flow_runs(flow_run_filter=FlowRunFilter()):
                if run.state is None or not run.state.is_paused():
                    continue
                keyset = run.state.state_details.run_input_keyset or {}
                shown = ""
                with suppress(PrefectHTTPStatusError):  # a run is seen as paused a moment before its form is there
                    shown = client.read_flow_run_input(run.id, keyset["description"]) if keyset else ""
                if asked in shown:
                    resume_flow_run(run.id, run_input={"version": version})
                    return
            time.sleep(0.2)
    raise AssertionError(f"no paused run asks for {asked!r}")


def test_an_answer_without_an_approval_is_asked_for_again(
    prefect_server: None, book: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    number, user = book

    def review() -> None:
        answer("Version 7 awaits approval", 3)
        answer("Version 3 is not the one that waits", 7)
        answer("No approval of version 7 is recorded", 7)
        answer(f"The card: {version_link(7)}", 3)
        assert approve(7) == number  # and the run goes on by itself

    reviewer = Thread(target=review)
    reviewer.start()
    assert wait(number, 120) == user
    reviewer.join()


def test_the_time_limit_ends_in_a_refusal(prefect_server: None, book: tuple[int, str], query: Query) -> None:
    with pytest.raises(ReviewError, match="version 7 was not approved in time and is not published: run deploy again"):
        wait(book[0], 3)
    assert query("SELECT state FROM pricing.books") == [("dropped",)]
    with pytest.raises(ApprovalError, match="no book that awaits approval"):
        approve(7)


def test_an_approval_of_the_last_moment_counts(
    prefect_server: None, book: tuple[int, str], query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, user = book
    looks = []

    def approver(url: str, book_id: int) -> str | None:
        looks.append(approver_of(url, book_id))
        if len(looks) == 1:  # it is given just after the last look in time
            approve(7)
        return looks[-1]

    monkeypatch.setattr(tasks.books.review, "approver_of", approver)
    assert wait(number, -1) == user
    assert looks[0] is None and query("SELECT state FROM pricing.books") == [("in_review",)]


def test_nobody_approves_what_nobody_waits_for_any_more(
    prefect_server: None, book: tuple[int, str], query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.books.review, "_ask", cancelled)
    with pytest.raises(KeyboardInterrupt):  # as a run that is cancelled ends
        wait(book[0], 60)
    assert query("SELECT state FROM pricing.books") == [("dropped",)]


def cancelled(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_reader_only_delays_that_a_cancelled_review_s_book_is_dropped(
    prefect_server: None, book: tuple[int, str], query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def discard_once_nobody_reads(*book: Any, **options: Any) -> bool:
        attempts.append(book)
        return len(attempts) > 2 and discard_book(*book, **options)

    monkeypatch.setattr(tasks.books.review, "discard_book", discard_once_nobody_reads)
    monkeypatch.setattr(tasks.books.review, "DISCARD_SECONDS", 0)
    monkeypatch.setattr(tasks.books.review, "_ask", cancelled)
    with pytest.raises(KeyboardInterrupt):
        wait(book[0], 60)
    assert query("SELECT state FROM pricing.books") == [("dropped",)]
    with pytest.raises(ApprovalError, match="no book that awaits approval"):
        approve(7)


def test_a_book_that_cannot_be_dropped_is_said_to_be_open_to_approval(
    prefect_server: None, book: tuple[int, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks.books.review, "discard_book", lambda *_, **__: False)
    monkeypatch.setattr(tasks.books.review, "DISCARD_SECONDS", 0)
    monkeypatch.setattr(tasks.books.review, "_ask", cancelled)
    with caplog.at_level("ERROR", logger="pricing.review"), pytest.raises(KeyboardInterrupt):
        wait(book[0], 60)
    assert f"book {book[0]} could not be dropped" in caplog.text and "run deploy again" in caplog.text


def test_a_review_says_where_the_live_book_ends_before_it(book_shop: Any) -> None:
    _, _, certificate = book_shop.published()
    priced, promotion = book_shop.priced()
    for left, is_too_late in (("30 hours", False), ("10 hours", True)):
        book_shop.run(f"UPDATE pricing.books SET expires_at = now() + interval '{left}' WHERE book_id = 1")
        review = submit_for_review.fn(priced, promotion, certificate, "review", 24)
        assert review.outlives_live_book == is_too_late
        assert ("the live book ends first" in review.request) == is_too_late


def test_two_persons_need_a_review() -> None:
    with pytest.raises(ValidationError, match="two_person needs approval = review"):
        DeployParameters(two_person=True)
    assert DeployParameters(approval="review", two_person=True).two_person
