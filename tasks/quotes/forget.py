"""Forget: a person's rows, prices, quotes and cached features are removed, and the ledger still verifies."""

import shutil
from dataclasses import dataclass

from models.errors import PricingError
from tasks.database import database_url, read_rows, transaction
from tasks.retention import KEPT
from tasks.settings import Settings

FORGET = """
SELECT * FROM pricing.forget_user(%(user_id)s) UNION ALL SELECT * FROM pricing.forget_waiting(%(user_id)s)
"""


class UnknownUserError(PricingError):
    """There is nothing to forget."""


@dataclass(frozen=True)
class Forgotten:
    """How many rows were removed, by table."""

    rows: dict[str, int]


def forget(user_id: str) -> Forgotten:
    """Remove a person from every dataset, every kept book, every log, quarantine, cached features and unfinished fits.

    What the source still has comes back with its next collection, and a model that has learnt from the person goes
    on until it is trained anew: both are for the caller to see to.

    Raises:
        UnknownUserError: no table has a row of this user.
    """
    settings = Settings()
    with transaction(database_url(settings)) as connection:
        found = read_rows(connection, FORGET, {"user_id": user_id})
    rows = {row["place"]: row["row_count"] for row in found if row["row_count"]}
    if not rows:
        raise UnknownUserError(f"user {user_id!r} is in no table: nothing was removed")
    for kept in KEPT:  # made again from the tables when they are next asked for
        shutil.rmtree(settings.home / kept, ignore_errors=True)
    return Forgotten(rows)
