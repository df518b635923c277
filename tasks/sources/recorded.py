"""What the storefront recorded of a dataset: its users' events, and quotes with their outcomes as offers."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd
from psycopg2.extensions import connection as Connection

import sql
from tasks.database import read_arrow, read_rows

log = logging.getLogger("pricing.collect")

QUERIES = {"behaviour": "recorded_behaviour", "offers": "recorded_offers"}
ORIGINS = {"behaviour": "pricing.events", "offers": "pricing.quotes"}
# A supermarket's log of 2001 and a purchase of today have no common timeline: what lies further beyond the newest fact
# of the dataset stays where it was recorded, and repricing alone reads it.
LONGEST_GAP = timedelta(days=28)


@dataclass(frozen=True)
class Recorded:
    """A source of what came back through pricing.record_event and pricing.record_outcome, and was not collected yet.

    Quotes whose outcome nobody told are no offers. What users did whom no table knows waits until one does.
    """

    connection: Connection
    name: str
    currency: str

    def fingerprint(self) -> str | None:
        """A hash of how much was ever recorded, and when last; None where nothing was."""
        counts = self._counts
        if counts["late"]:
            log.warning(
                "%s events and outcomes were recorded more than %d days after all else in %s: they are kept, and "
                "learnt from once its tables reach that time",
                f"{counts['late']:,}", LONGEST_GAP.days, self.name,
            )  # fmt: skip
        usable = counts["total"] - counts["late"]
        return hashlib.sha256(f"{self.name} {usable} {counts['newest']}".encode()).hexdigest() if usable else None

    def tables(self) -> frozenset[str]:
        """The two that a storefront adds to."""
        return frozenset(QUERIES)

    def origin(self, table: str) -> str:
        """Where the rows were recorded."""
        return ORIGINS[table]

    def batches(
        self, table: str, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[pd.DataFrame]:
        """Every row that no collection has brought in, however old: lateness is no reason to lose it."""
        parameters = {"dataset": self.name, "until": self._until}
        found = read_arrow(self.connection, sql.query(QUERIES[table]), parameters).to_pandas()
        if len(found):
            yield found

    @cached_property
    def _until(self) -> datetime | None:
        ((newest,),) = (row.values() for row in read_rows(self.connection, sql.query("snapshot_newest"), self._dataset))
        return None if newest is None else newest + LONGEST_GAP

    @cached_property
    def _counts(self) -> dict[str, Any]:
        (counts,) = read_rows(self.connection, sql.query("recorded_counts"), self._dataset | {"until": self._until})
        return counts

    @property
    def _dataset(self) -> dict[str, object]:
        return {"dataset": self.name}
