"""What waits for repricing without anybody having said so, looked for once a minute."""

import time
from datetime import UTC, datetime, timedelta

from psycopg2.extensions import connection as Connection

import sql

SECONDS = 60.0  # from one look to the next
LONGEST_BLOCK = timedelta(minutes=5)  # that a pair's price is under way, from the first read to the commit


class Sweep:
    """The looks of one worker: its first is at everything, a later one at what has happened since the one before."""

    def __init__(self) -> None:
        self._by_clock = self._while_idle = time.monotonic()
        self._since: datetime | None = None

    def by_the_clock(self, connection: Connection) -> None:
        """Queue the products whose pool has ended, or another begun, if it is time to look."""
        if time.monotonic() > self._by_clock + SECONDS:
            queue_switched_pools(connection)
            self._by_clock = time.monotonic()

    def while_idle(self, connection: Connection) -> None:
        """Queue the pairs that were left behind, if it is time to look: it may take long, so while nothing waits."""
        if time.monotonic() > self._while_idle + SECONDS:
            began = datetime.now(UTC)
            queue_left_behind(connection, self._since)
            self._while_idle, self._since = time.monotonic(), began - LONGEST_BLOCK


def queue_switched_pools(connection: Connection) -> int:
    """Queue the products whose stock comes from another pool by now than their price does; returns how many."""
    return _queue(connection, "queue_switched_pools")


def queue_left_behind(connection: Connection, since: datetime | None = None) -> int:
    """Queue the pairs whose product was priced anew, `since` then, while they were first met; returns how many."""
    return _queue(connection, "queue_left_behind", since=since)


def _queue(connection: Connection, query: str, **parameters: object) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql.query(query), parameters)
        found = cursor.rowcount
    connection.commit()
    return found
