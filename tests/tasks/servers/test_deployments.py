"""What people changed in the Prefect UI survives the next start, on a real Prefect server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.events.schemas.automations import Automation
from prefect.testing.utilities import prefect_test_harness
from pydantic import SecretStr

from tasks.servers.deployments import ALERT_AUTOMATION, ALERT_BLOCK, deploy_all, post_alarms
from tasks.servers.silent_runs import crash_silent_runs

WATCH = crash_silent_runs().name
FLOW = "from prefect import flow\n\n\n@flow\ndef tiny(number: int = 1) -> int:\n    return number\n"
DEPLOYMENTS = """
pull: []
deployments:
  - name: tiny
    entrypoint: tiny_flow.tiny
    work_pool: {name: tiny, job_variables: {}}
    parameters: {number: 1}
    schedules: []
    triggers:
      - {type: event, enabled: false, name: Off at first, expect: [something.happened]}
"""


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="tiny", type="process"))
        yield client


def state(client: SyncPrefectClient) -> tuple[object, object]:
    """The deployment's parameter, and whether its automation is on."""
    (deployment,), automation = client.read_deployments(), named(client, "Off at first")
    return deployment.parameters["number"], automation.enabled


def named(client: SyncPrefectClient, name: str) -> Automation:
    (automation,) = client.read_automations_by_name(name)
    return automation


def test_deployments_are_told_once_and_stay_as_people_left_them(
    client: SyncPrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny_flow.py").write_text(FLOW)
    file = tmp_path / "prefect.yaml"
    file.write_text(DEPLOYMENTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert deploy_all(file, tmp_path)
    assert state(client) == (1, False)

    (deployment,), automation = client.read_deployments(), named(client, "Off at first")
    client.update_deployment(deployment.id, DeploymentUpdate(parameters={"number": 2}))
    client.resume_automation(automation.id)
    assert not deploy_all(file, tmp_path)
    assert state(client) == (2, True)
    client.pause_automation(named(client, WATCH).id)

    file.write_text(DEPLOYMENTS.replace("number: 1", "number: 3"))  # another edition
    assert deploy_all(file, tmp_path)
    assert state(client) == (3, False)
    assert named(client, WATCH).enabled

    client.delete_deployment(client.read_deployments()[0].id)
    assert deploy_all(file, tmp_path)
    assert [deployment.parameters for deployment in client.read_deployments()] == [{"number": 3}]


def test_alarms_are_posted_where_an_address_is_set_and_as_people_left_it(client: SyncPrefectClient) -> None:
    post_alarms(None)
    assert client.read_automations_by_name(ALERT_AUTOMATION) == []
    post_alarms(SecretStr("http://127.0.0.1:9/secret"))
    (automation,) = client.read_automations_by_name(ALERT_AUTOMATION)
    assert "secret" not in automation.model_dump_json()
    client.pause_automation(automation.id)

    post_alarms(SecretStr("http://127.0.0.1:9/another"))
    (automation,) = client.read_automations_by_name(ALERT_AUTOMATION)
    assert not automation.enabled
    block = Webhook.load(ALERT_BLOCK)
    assert block.url.get_secret_value() == "http://127.0.0.1:9/another"

    post_alarms(None)
    assert client.read_automations_by_name(ALERT_AUTOMATION) == []
