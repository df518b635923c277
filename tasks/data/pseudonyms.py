"""Pseudonyms: user ids as keyed hashes, made by the database, which alone has the key."""

import pandas as pd
import psycopg2
from psycopg2.extensions import connection as Connection

from models.errors import PricingError
from tasks.database import transaction


class PseudonymError(PricingError):
    """User ids cannot be stored as pseudonyms."""


def begin_pseudonyms(url: str) -> None:
    """Store user ids as pseudonyms from now on; a database that does so already is left alone.

    Raises:
        PseudonymError: the database holds user ids as they came.
    """
    try:
        with transaction(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pricing.begin_pseudonyms()")
    except psycopg2.errors.ObjectNotInPrerequisiteState as error:
        raise PseudonymError(
            f"PRICING_PSEUDONYMS is set, but {error.diag.message_primary}. Start with an empty database, or unset it"
        ) from error


def stored_user_ids(connection: Connection, user_ids: pd.Series) -> pd.Series:
    """The ids under which users are stored, one for each row: as they are where no pseudonyms are in use."""
    different = user_ids.dropna().unique().tolist()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, pricing.stored_user_id(id) FROM unnest(%s::text[]) AS id", [different])
        return user_ids.map(dict(cursor.fetchall()))
