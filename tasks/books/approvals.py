"""Approvals of books, as the database records them: who gave one is whom the server authenticated."""

import psycopg2.errors

from models.errors import PricingError
from tasks.database import database_url, read_rows, transaction
from tasks.settings import Settings


class ApprovalError(PricingError):
    """An approval cannot be given."""


def approve(version: int) -> int:
    """Approve the book of a version that awaits it, as the database's session user; returns the book's number.

    Raises:
        ApprovalError: nothing awaits approval, or this user may not give it.
    """
    try:
        with transaction(database_url(Settings())) as connection:
            (approved,) = read_rows(connection, "SELECT pricing.approve(%(version)s) AS book_id", {"version": version})
    except (psycopg2.errors.NoDataFound, psycopg2.errors.InsufficientPrivilege) as error:
        raise ApprovalError(str(error.diag.message_primary)) from error
    return int(approved["book_id"])


def approver_of(url: str, book_id: int) -> str | None:
    """Who let a book's present content go live, or None where nobody has yet."""
    with transaction(url) as connection:
        found = read_rows(connection, "SELECT pricing.approver_of(%(book_id)s) AS approver", {"book_id": book_id})
    return None if found[0]["approver"] is None else str(found[0]["approver"])
