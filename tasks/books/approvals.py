"""Approvals of books, as the database records them: who gave one is whom the server authenticated."""

from typing import Literal, cast

import psycopg2.errors

from models.errors import PricingError
from tasks.database import database_url, read_rows, transaction
from tasks.settings import Settings

Approval = Literal["automatic", "review", "two_person"]


class ApprovalError(PricingError):
    """An approval cannot be given, or required."""


def approve(version: int, book_id: int | None = None) -> int:
    """Approve the book of a version that awaits it, as the database's session user; returns the book's number.

    Raises:
        ApprovalError: nothing awaits approval, several books do and none is named, or this user may not give it.
    """
    parameters = {"version": version, "book_id": book_id}
    try:
        with transaction(database_url(Settings())) as connection:
            query = "SELECT pricing.approve(%(version)s, %(book_id)s) AS book_id"
            (approved,) = read_rows(connection, query, parameters)
    except (
        psycopg2.errors.NoDataFound,
        psycopg2.errors.CardinalityViolation,
        psycopg2.errors.InsufficientPrivilege,
    ) as error:
        raise ApprovalError(str(error.diag.message_primary)) from error
    return int(approved["book_id"])


def approver_of(url: str, book_id: int) -> str | None:
    """Who let a book's present content go live, or None where nobody has yet."""
    with transaction(url) as connection:
        found = read_rows(connection, "SELECT pricing.approver_of(%(book_id)s) AS approver", {"book_id": book_id})
    return None if found[0]["approver"] is None else str(found[0]["approver"])


def stricter_approval(asked: Approval) -> Approval:
    """What a deployment needs: what it asks for, or what the database's owner requires of every one."""
    with transaction(database_url(Settings())) as connection:
        query = "SELECT pricing.stricter_approval(%(asked)s) AS approval"
        (found,) = read_rows(connection, query, {"asked": asked})
    return cast(Approval, found["approval"])


def require_approval(least: Approval) -> None:
    """Require this approval of every book that goes live from now on.

    Raises:
        ApprovalError: only the database's owner may.
    """
    try:
        with transaction(database_url(Settings())) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pricing.require_approval(%s)", [least])
    except psycopg2.errors.InsufficientPrivilege as error:
        raise ApprovalError(
            f"only the owner of the database says what every deployment needs: {error.diag.message_primary}"
        ) from error
