"""Deployments and automations: what runs when, told to the Prefect server once for each edition of them.

    python -m tasks.servers.deployments

Telling it again would undo what people have changed in the Prefect UI since: parameters, paused schedules, automations
turned on or off. Alarms are posted to PRICING_ALERT_URL, where that is set.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.events import AutomationCore, CallWebhook, EventTrigger
from prefect.settings import PREFECT_API_URL
from pydantic import SecretStr

from models.evidence.drift import Action
from tasks.servers.silent_runs import crash_silent_runs
from tasks.settings import Settings

FILE = Path(__file__).resolve().parents[2] / "infra" / "prefect.yaml"
EDITION = "pricing_deployments"  # the Prefect variable that holds which edition the server has
ALERT_BLOCK = "pricing-alarms"  # the Prefect block that holds the address, encrypted
ALERT_AUTOMATION = "Post every alarm"
ALERT_TEXT = (
    '{"text": {{ ("pricing: " ~ event.payload.action ~ " for book " ~ event.payload.book_id ~ ", model version "'
    ' ~ event.payload.model_version ~ ": " ~ event.payload.checks | join(", ")) | tojson }}}'
)


def deploy_all(file: Path, folder: Path) -> bool:
    """Deploy a file's deployments, whose relative paths start at a folder, and what watches over their runs.

    Returns False where the server has them already.

    Raises:
        subprocess.CalledProcessError: Prefect refused; it has said why.
    """
    text = file.read_bytes()
    watch = crash_silent_runs()
    edition = hashlib.sha256(text + str(folder).encode() + repr(watch).encode()).hexdigest()[:16]
    names = set(re.findall(r"^  - name: (\S+)", text.decode(), re.MULTILINE))
    with get_client(sync_client=True) as client:
        if _edition(client) == edition and names <= {known.name for known in client.read_deployments()}:
            return False
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        here = {"PWD": str(folder), "PREFECT_API_URL": str(PREFECT_API_URL.value())}  # Python does not keep PWD
        subprocess.run(command, env=os.environ | here, check=True)
        for known in client.read_automations_by_name(watch.name):
            client.delete_automation(known.id)
        client.create_automation(watch)  # the triggers in a deployment file can only start deployments
        if _edition(client) is None:
            client.create_variable(VariableCreate(name=EDITION, value=edition))
        else:
            client.update_variable(VariableUpdate(name=EDITION, value=edition))
    return True


def post_alarms(url: SecretStr | None) -> None:
    """Have the Prefect server post every alarm to an address, by a block of its own; None: to nobody any more."""
    with get_client(sync_client=True) as client:
        known = client.read_automations_by_name(ALERT_AUTOMATION)
        if url is None:
            for automation in known:
                client.delete_automation(automation.id)
            return
        block = Webhook(url=url, headers={"Content-Type": "application/json"}).save(ALERT_BLOCK, overwrite=True)
        if not known:  # one that is there may have been turned off
            client.create_automation(_posting(block))  # type: ignore[arg-type]  # its id: nothing is awaited here


def _posting(block: UUID) -> AutomationCore:
    return AutomationCore(
        name=ALERT_AUTOMATION,
        description="Posts each alarm of monitoring to the address of the block pricing-alarms.",
        trigger=EventTrigger(
            expect={f"pricing.monitor.{action}" for action in get_args(Action)},
            match={"prefect.resource.id": "pricing.book.*"},
            posture="Reactive",
            threshold=1,
        ),
        actions=[CallWebhook(block_document_id=block, payload=ALERT_TEXT)],
    )


def _edition(client: SyncPrefectClient) -> object:
    variable = client.read_variable_by_name(EDITION)
    return None if variable is None else variable.value


if __name__ == "__main__":
    deploy_all(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE, Path.cwd())
    post_alarms(Settings().alert_url)
