"""The warn flow: an alarm of monitoring as a page that people see."""

from datetime import datetime

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from models.evidence.drift import Action
from models.form import as_form
from tasks.monitoring.alarm_page import report_alarm
from tasks.monitoring.judge import Alarm


class WarnParameters(BaseModel):
    """What was raised, as the event of the alarm says it."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=as_form)

    action: Action = Field(title="Asked for", description="What the alarm leads to.")
    checks: tuple[str, ...] = Field(title="Checks in breach", description="By the names on the page of monitoring.")
    book_id: int = Field(ge=1, lt=2**63, title="Price book", description="That was live.")
    model_version: int = Field(ge=1, lt=2**31, title="Model version", description="That set its prices.")
    window_ended_at: datetime = Field(title="End of the newest window", description="With its time zone.")


@flow(name="warn", flow_run_name="{parameters.action} of book {parameters.book_id}", timeout_seconds=300)
def warn(parameters: WarnParameters) -> None:
    """Leave the alarm as a page of this run; an automation starts it on each."""
    alarm = Alarm(parameters.action, parameters.checks)
    report_alarm(alarm, parameters.book_id, parameters.model_version, parameters.window_ended_at)
