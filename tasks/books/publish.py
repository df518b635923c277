"""Publish and roll back: which book is live changes in one transaction, together with its ledger entry."""

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import psycopg2.errors
from mlflow.exceptions import MlflowException
from prefect import task
from psycopg2.extensions import connection as Connection
from sqlalchemy.exc import OperationalError

import sql
from models.errors import PricingError
from tasks.books.book import Book, discard_book
from tasks.books.certify import Certificate
from tasks.books.history import standing_books
from tasks.books.price import PricedBook
from tasks.books.spare_core import sparing_a_core
from tasks.database import database_url, read_rows, transaction
from tasks.registry.promote import Promotion
from tasks.registry.versions import CHAMPION, PREVIOUS, champion, set_alias
from tasks.retries import RETRIED
from tasks.settings import Settings

log = logging.getLogger("pricing.publish")

BOOK_LIFETIME = timedelta(days=7)  # an older book's personal prices are no longer quoted
RENEWAL = timedelta(days=2)  # before the end of its life a book is made anew, though nothing else has changed
BOOKS_KEPT = 10  # for rollback, beside the live one and the one that it returns to


class PublicationError(PricingError):
    """A book cannot go live as things stand now; the live book stays."""


class RollbackError(PricingError):
    """There is no earlier book to return to."""


@dataclass(frozen=True)
class LiveBook:
    """The book a storefront reads now."""

    book_id: int
    model_version: int


@task
def publish(priced: PricedBook, certificate: Certificate) -> LiveBook:
    """Make a certified book live: content hash, pointer and ledger in one transaction, then the champion alias.

    Raises:
        PublicationError: another book went live since this one was priced, one of its users was forgotten, or its
            approval is missing.
    """
    url = database_url(Settings())
    _refuse_forgotten(url, priced.book)
    try:
        with transaction(url) as connection:
            live = _go_live(connection, priced, certificate)
    except psycopg2.errors.ObjectNotInPrerequisiteState as error:
        with suppress(psycopg2.errors.ObjectNotInPrerequisiteState):  # it is live: an answer was lost
            discard_book(url, priced.book)
        raise PublicationError(f"nothing was published: {error.diag.message_primary}") from error
    align_champion(live)
    log.info("book %d is live, from model version %d", live.book_id, live.model_version)
    _drop_old_books(url)
    return live


@task
def roll_back(book_id: int | None) -> LiveBook:
    """Return to an earlier book, by default the one before the live one, and to its champion.

    Raises:
        RollbackError: there is no such book, or its prices are gone or have expired.
    """
    url = database_url(Settings())
    with transaction(url) as connection:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pricing.make_live(%s, 'rollback')", [book_id])
        except psycopg2.errors.InvalidParameterValue as error:
            raise RollbackError(str(error.diag.message_primary)) from error
        live = _made_live(connection)
    align_champion(live)
    log.info("book %d is live again, from model version %d", live.book_id, live.model_version)
    return live


def sealed(priced: PricedBook, certificate: Certificate) -> dict[str, Any]:
    """What the database is told of a book that is whole and certified; what it holds it hashes and counts itself."""
    return {"book_id": priced.book.book_id, "certificate": json.dumps(asdict(certificate))}


def live_book(url: str) -> LiveBook | None:
    """The book that is live now, if any."""
    with transaction(url) as connection:
        return _live_book(connection)


def already_live(promotion: Promotion) -> LiveBook | None:
    """The live book, where a book from the same inputs was published before: then there is nothing to publish.

    One that has expired is published anew, and the live one where it soon will. Such a book that was rolled back since
    stays so; returning to it is a person's decision.
    """
    url = database_url(Settings())
    parameters = {"inputs_hash": promotion.inputs_hash, "renewal": RENEWAL}
    with transaction(url) as connection:
        found = read_rows(connection, sql.query("published_book"), parameters)
        live, standing = _live_book(connection), standing_books(connection)
    if not found or live is None:
        return None
    book_id, has_expired = found[0]["book_id"], found[0]["has_expired"]
    if (has_expired and book_id in standing) or (book_id == live.book_id and found[0]["expires_soon"]):
        log.info("book %d, from the same inputs, has expired or will within %d days: anew", book_id, RENEWAL.days)
        return None
    if book_id == live.book_id:
        log.info("book %d is live and made from the same inputs; nothing to publish", book_id)
    else:
        way_out = "train anew or change the policy" if has_expired else f"`pricing rollback {book_id}` returns to it"
        log.warning("book %d has the same inputs but is not live: %s", book_id, way_out)
    align_champion(live)
    return live


@task(**RETRIED)
def repair_champion() -> None:
    """Point the registry's champion at the live book's model, where a run that died left another there."""
    if (live := live_book(database_url(Settings()))) is not None:
        align_champion(live)


def align_champion(live: LiveBook) -> None:
    """Point MLflow's champion alias at the live book's model, and `previous` at the one it replaces.

    The database decides what is live, and it is live by now: where MLflow is away the next flow repairs the alias, and
    where another book has gone live meanwhile its model is the champion.
    """
    try:
        if (newest := live_book(database_url(Settings()))) is not None:
            live = newest
        before = _champion_version()
        if before != live.model_version:
            if before is not None:
                set_alias(PREVIOUS, before)
            set_alias(CHAMPION, live.model_version)  # last: what a cut leaves undone, the next run does
            log.info("the registry's champion is now version %d", live.model_version)
    except (MlflowException, OperationalError) as error:
        log.warning(
            "MLflow cannot be told that version %d is champion; the next run will: %s", live.model_version, error
        )


def _champion_version() -> int | None:
    found = champion()
    return None if found is None else found.version


def _refuse_forgotten(url: str, book: Book) -> None:
    """Pricing began with users of whom a `pricing forget` meanwhile could not yet see the prices."""
    with transaction(url) as connection:
        (forgotten,) = read_rows(connection, sql.query("forgotten_of_book"), {"book_id": book.book_id})
    if forgotten["users"]:
        discard_book(url, book)
        raise PublicationError(
            f"nothing was published: {forgotten['users']:,} of the users of book {book.book_id} were forgotten while "
            "it was priced; deploy again"
        )


def _go_live(connection: Connection, priced: PricedBook, certificate: Certificate) -> LiveBook:
    with sparing_a_core(connection), connection.cursor() as cursor:
        cursor.execute(sql.query("publish_book"), sealed(priced, certificate) | {"lifetime": BOOK_LIFETIME})
    return _made_live(connection)


def _made_live(connection: Connection) -> LiveBook:
    live = _live_book(connection)
    assert live is not None  # noqa: S101 - pricing.make_live raises where it does not leave a live book
    return live


def _live_book(connection: Connection) -> LiveBook | None:
    found = read_rows(connection, sql.query("live_book"))
    return LiveBook(**found[0]) if found else None


def _drop_old_books(url: str) -> None:
    with transaction(url) as connection:
        needed = standing_books(connection)[:2]
        old = read_rows(connection, sql.query("books_to_drop"), {"kept": BOOKS_KEPT, "needed": needed})
    for book in old:
        with suppress(psycopg2.errors.ObjectNotInPrerequisiteState):  # gone back to, a moment ago
            if discard_book(url, Book(book["book_id"])):
                log.info("dropped the prices of book %d; its history stays", book["book_id"])
