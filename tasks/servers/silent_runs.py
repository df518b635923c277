"""Flow runs whose process ended without a word, by a kill or a power cut: for Prefect they would run for ever."""

from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

SILENCE = timedelta(minutes=10)  # a run says every three that it lives; the server may be away for the other seven


def crash_silent_runs(silence: timedelta = SILENCE) -> AutomationCore:
    """The automation that records a run as crashed where nothing is heard of it for so long.

    It watches every run, on whatever machine and from whatever command. A run that was only cut off from the server
    goes on, and its true end replaces the crash.
    """
    begun = {f"prefect.flow-run.{sign}" for sign in ("Pending", "Running", "Cancelling", "heartbeat")}
    return AutomationCore(
        name="Crash runs that have gone silent",
        description="Records a flow run as crashed where its process has given no sign of life for ten minutes.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            for_each={"prefect.resource.id"},
            after=begun,
            expect={"prefect.flow-run.*"},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="Its process has given no sign of life.")],
    )
