"""The monitor flow: what the model promised against what happened, and an alarm where they part."""

from typing import Self

from prefect import flow
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.form import as_form
from tasks.monitoring.judge import Surveillance, judge, raise_alarms
from tasks.monitoring.observe import Windows, observe
from tasks.monitoring.report import report_monitoring, report_nothing_live

NOTHING_LIVE = "no price book is live yet: publish one with `pricing run`"


class MonitorParameters(BaseModel):
    """Which windows of time to look at, and when they amount to an alarm."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=as_form)

    window_hours: float = Field(24, gt=0, le=24 * 31, title="Hours of a window", description="The newest one ends now.")
    windows: int = Field(5, ge=1, le=60, title="Windows", description="How many to look back.")
    at_least: int = Field(
        2, ge=1, le=60, title="Windows in breach", description="So many of them, and the newest one, raise an alarm."
    )
    false_alarm: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        title="False alarms",
        description="Chance of a breach in one check and window while the model is just within tolerance.",
    )

    @model_validator(mode="after")
    def _enough_windows(self) -> Self:
        if self.at_least > self.windows:
            raise ValueError(f"at_least is {self.at_least}, but only {self.windows} windows are looked at")
        return self


@flow(name="monitor", timeout_seconds=1800)  # one that hangs would keep the hourly ones from starting
def monitor(parameters: MonitorParameters) -> Surveillance | None:
    """Observe the last windows, judge them, report them, and raise the alarms that retrain, warn or roll back.

    Before the first book is live there is nothing to observe, and nothing wrong.
    """
    observation = observe(Windows(parameters.window_hours, parameters.windows))
    if observation is None:
        report_nothing_live(NOTHING_LIVE)
        return Completed(name="NothingLive", message=NOTHING_LIVE)  # type: ignore[return-value]  # the run's state
    surveillance = judge(observation, parameters.at_least, parameters.false_alarm)
    report_monitoring(surveillance, observation)
    raise_alarms(surveillance, observation, parameters.window_hours)
    return surveillance
