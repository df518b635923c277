"""Review: a certified book waits until somebody whom the database knows approves it, or the time is over."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event, Thread
from uuid import UUID

import psycopg2
import psycopg2.errors
from prefect import task
from prefect.exceptions import FlowPauseTimeout, NotPausedError
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

import sql
from models.errors import PricingError
from tasks.books.approvals import Approval, approver_of
from tasks.books.book import Book, discard_book
from tasks.books.certify import Certificate
from tasks.books.price import PricedBook
from tasks.books.publish import sealed
from tasks.books.spare_core import sparing_a_core
from tasks.database import DatabaseUnavailableError, database_url, read_rows, transaction
from tasks.registry.pages import version_link
from tasks.registry.promote import Promotion
from tasks.settings import Settings

log = logging.getLogger("pricing.review")

LOOK_SECONDS = 2.0  # between two looks for an approval
PAUSE_SECONDS = 2  # between two looks whether the flow run was resumed
DISCARD_ATTEMPTS, DISCARD_SECONDS = 20, 0.5  # to drop prices that somebody reads, and between two of them
# Between two pauses, too late, or a server is away for the moment: what is lasting ends the flow run itself.
_PASSING = (NotPausedError, FlowPauseTimeout, RuntimeError, DatabaseUnavailableError, psycopg2.OperationalError)


class ReviewError(PricingError):
    """A book was not approved: it is not published and the live book stays."""


class GoAhead(RunInput):
    """What the Prefect page asks. It approves nothing: it says that the approval in the database is there now."""

    version: int = Field(ge=1, title="Version", description="The number of the version that you approved.")


@dataclass(frozen=True)
class Review:
    """A book that awaits approval until some moment; the live book is quoted until `live_until`, None where none is."""

    book: Book
    model_version: int
    approval: Approval
    until: datetime
    live_until: datetime | None = None

    @property
    def request(self) -> str:
        """What a reviewer is asked to do."""
        who = "somebody else than who trained it" if self.approval == "two_person" else "a database user"
        return (
            f"Version {self.model_version} awaits approval of its book {self.book.book_id} until "
            f"{self.until:%Y-%m-%d %H:%M} UTC{self._gap}: read its card on the MLflow page, then let {who} run "
            f"`pricing approve {self.model_version} --book {self.book.book_id}`"
        )

    @property
    def outlives_live_book(self) -> bool:
        """Whether the live book may end before there is an answer; no other one is made meanwhile."""
        return self.live_until is not None and self.live_until < self.until

    @property
    def _gap(self) -> str:
        if not self.outlives_live_book:
            return ""
        return f" (the live book ends first, {self.live_until:%Y-%m-%d %H:%M} UTC; list prices are quoted from then on)"


@task
def submit_for_review(
    priced: PricedBook, promotion: Promotion, certificate: Certificate, approval: Approval, hours: float
) -> Review:
    """Let a staged and certified book await approval of exactly the prices it has now."""
    parameters = sealed(priced, certificate) | {"approval": approval, "patience": timedelta(hours=hours)}
    with transaction(database_url(Settings())) as connection, sparing_a_core(connection):
        (submitted,) = read_rows(connection, sql.query("submit_book"), parameters)
        live = read_rows(connection, sql.query("live_until"), {"dataset": promotion.snapshot.dataset})
    until = submitted["review_until"].astimezone(UTC)
    live_until = live[0]["expires_at"].astimezone(UTC) if live else None
    return Review(priced.book, promotion.registered.version, approval, until, live_until)


def await_approval(review: Review) -> str:
    """Pause the flow run until the database holds an approval; returns the approver.

    The Prefect page shows a form meanwhile. An answer there ends the wait only where the approval is recorded;
    any other is asked for again.

    Raises:
        ReviewError: nobody approved in time; the book is discarded.
    """
    url = database_url(Settings())
    log.log(logging.WARNING if review.outlives_live_book else logging.INFO, "%s", review.request)
    approver = None
    try:
        with _resumed_when_approved(url, review):
            approver = _asked_until_approved(url, review)
    finally:
        if approver is None:  # too late, or this run was cancelled: nobody should approve what nobody will publish
            _discard_unless_approved(url, review)
    log.info("book %d is approved by %s", review.book.book_id, approver)
    return approver


def _asked_until_approved(url: str, review: Review) -> str:
    told = ""
    for asked in count():
        if (approver := approver_of(url, review.book.book_id)) is not None:
            return approver
        left = (review.until - datetime.now(UTC)).total_seconds()
        if left > 0:
            told = _ask(review, told, asked, max(left, 1))
        elif _discard_unless_approved(url, review):
            break
    raise ReviewError(
        f"book {review.book.book_id} of version {review.model_version} was not approved in time and is not published: "
        "run deploy again"
    )


def _discard_unless_approved(url: str, review: Review) -> bool:
    """Drop a book that nobody has approved; False where somebody just has.

    Who reads prices meanwhile stands in the way: for so long it is tried again, and where it was in vain that is said.
    """
    try:
        for _ in range(DISCARD_ATTEMPTS):
            if discard_book(url, review.book, unless_approved=True):
                return True
            time.sleep(DISCARD_SECONDS)
    except psycopg2.errors.ObjectNotInPrerequisiteState:
        return False
    log.error(
        "book %d could not be dropped, since somebody reads prices all the time: it can be approved until %s UTC, but "
        "nobody publishes it any more: run deploy again",
        review.book.book_id, f"{review.until:%Y-%m-%d %H:%M}",
    )  # fmt: skip
    return True


def _ask(review: Review, told: str, asked: int, seconds: float) -> str:
    """Show the form once; returns what to say where it has to be shown again."""
    card = f"The card: {version_link(review.model_version)}."
    form = GoAhead.with_initial_data(description=f"{told}{review.request}, and type its number here. {card}")
    try:
        answer = pause_flow_run(
            wait_for_input=form, timeout=int(seconds), poll_interval=PAUSE_SECONDS, key=f"review-{asked}"
        )
    except FlowPauseTimeout:
        return told
    if answer.version != review.model_version:
        return f"**Version {answer.version} is not the one that waits.** "
    return f"**No approval of version {answer.version} is recorded in the database yet.** "


@contextmanager
def _resumed_when_approved(url: str, review: Review) -> Iterator[None]:
    """Meanwhile an approval in the database resumes the paused flow run by itself."""
    done, run_id = Event(), UUID(flow_run.get_id())
    watcher = Thread(target=_watch, args=(url, review, run_id, done), name="approval", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(url: str, review: Review, run_id: UUID, done: Event) -> None:
    while not done.wait(LOOK_SECONDS):
        with suppress(*_PASSING):
            if approver_of(url, review.book.book_id) is not None:
                resume_flow_run(run_id, run_input={"version": review.model_version})
