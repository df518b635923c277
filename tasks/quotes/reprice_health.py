"""Whether the repricing worker of this container goes on: the command that its probes run.

    PGAPPNAME=NAME python -m tasks.quotes.reprice_health

asks the database about the sessions of that name, which the worker's are if it was started under it.
"""

import sys

import sql
from tasks.database import DatabaseUnavailableError, database_url, read_rows, transaction
from tasks.settings import Settings

LONGEST_SECONDS = 60.0  # without a new statement; a worker with nothing to do begins one every second


def complaint(url: str) -> str | None:
    """Say what is wrong with the worker; None while it goes on, or waits for a database that is away."""
    try:
        with transaction(url) as connection:
            (found,) = read_rows(connection, sql.query("reprice_sessions"))
    except DatabaseUnavailableError:
        return None  # to start the worker again would not bring the database back
    if not found["sessions"]:
        return "the repricing worker has no session in the database"
    if found["seconds"] > LONGEST_SECONDS:
        return f"a session of the repricing worker has stood still for {found['seconds']:.0f} s"
    return None


if __name__ == "__main__":
    sys.exit(complaint(database_url(Settings())))
