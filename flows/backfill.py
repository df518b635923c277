"""The backfill flow: a source's past, collected and validated period by period."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Self

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.form import as_form
from tasks.data.collect import Period, collect_period
from tasks.data.snapshots import Snapshot
from tasks.data.validate import validate
from tasks.sources import SourceParameters
from tasks.training.continuation import choose_source

MOST_PERIODS = 1_000
LONGEST_SECONDS = 24 * 3600


class BackfillParameters(BaseModel):
    """Which past of which source, and in which portions."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=as_form)

    source: SourceParameters = Field(SourceParameters(), title="Source", description="Where the tables come from.")
    since: date = Field(title="From", description="The first day, UTC.")
    until: date = Field(title="To", description="The day after the last one, UTC.")
    step_days: int = Field(
        7, ge=1, le=366, title="Days at once", description="Each portion is validated, and merged or refused, as one."
    )

    @model_validator(mode="after")
    def _a_sensible_number_of_periods(self) -> Self:
        if self.until <= self.since:
            raise ValueError(f"the range is empty: To ({self.until}) must be later than From ({self.since})")
        if (count := len(self.periods())) > MOST_PERIODS:
            raise ValueError(f"{count:,} portions are more than {MOST_PERIODS:,}: take more days at once")
        return self

    def periods(self) -> list[Period]:
        """The portions, oldest first; the last one may be shorter."""
        days = range(0, (self.until - self.since).days, self.step_days)
        starts = [_midnight(self.since + timedelta(days=day)) for day in days]
        ends = [*starts[1:], _midnight(self.until)]
        return [Period(*bounds, number) for number, bounds in enumerate(zip(starts, ends, strict=True))]


@flow(name="backfill", timeout_seconds=LONGEST_SECONDS)
def backfill(parameters: BackfillParameters) -> Snapshot:
    """Collect and validate one period after the other; a refused one ends it, and those before it stay merged."""
    source = choose_source(parameters.source)
    for period in parameters.periods():
        snapshot = validate(collect_period(source, period))
    return snapshot


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
