"""A pricing manager's day in a real browser: train, read, approve, watch, go back. Each test starts where one ended."""

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Platform
from tests.browser.prefect_page import PrefectPage
from tests.waiting import until

pytestmark = pytest.mark.browser
Picture = Callable[[str], None]
Shown = Callable[..., None]


def call(platform: Platform, path: str, body: object) -> Any:
    request = urllib.request.Request(
        f"{platform.prefect}/api{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def artifact(platform: Platform, key: str) -> str:
    newest = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
    return f"{platform.prefect}/artifacts/artifact/{call(platform, '/artifacts/filter', newest)[0]['id']}"


def asked(platform: Platform, run: str) -> str:
    """What the form of a paused run says, as the server has it."""
    (found,) = call(platform, "/flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    key = (found["state"]["state_details"].get("run_input_keyset") or {}).get("description")
    inputs = call(platform, f"/flow_runs/{run}/input/filter", {"prefix": key}) if key else []
    return str(inputs)


def read_version(prefect: PrefectPage, platform: Platform) -> None:
    """The first version's page, without the assistant that MLflow opens beside it."""
    prefect.page.goto(f"{platform.mlflow}/#/models/demand/versions/1")
    prefect.page.get_by_text("Promote model").wait_for()
    close = prefect.page.locator("[data-component-id='mlflow.assistant.chat_panel.close']")
    if close.is_visible():  # the first time; MLflow remembers
        close.click()


def live_book(platform: Platform) -> str | None:
    (line,) = [line for line in platform.pricing("books").splitlines() if " live " in line] or [None]
    return line and line.split()[0]


def test_deployments_and_automations_are_there(prefect: PrefectPage, picture: Picture, shown: Shown) -> None:
    prefect.page.goto(f"{prefect.address}/deployments")
    shown("deploy", "monitor", "reprice", "rollback", "simulate", "train", "warn")
    picture("deployments")
    prefect.page.goto(f"{prefect.address}/automations")
    shown("Deploy what a training has registered", "Roll back where prices do harm")
    prefect.switch("Deploy what a training has registered")  # a person is to decide today
    shown("Automation disabled")
    prefect.page.reload()  # the switch shows it from the next look on
    shown("Deploy what a training has registered", "Roll back where prices do harm")
    picture("automations")


def test_train_starts_from_its_form_and_finishes(
    prefect: PrefectPage, platform: Platform, shop: Path, picture: Picture, shown: Shown
) -> None:
    prefect.open_form("train")
    prefect.choose("Kind of place", "files")
    prefect.type_text("Folder", str(shop))
    prefect.type_text("Currency", "EUR")
    prefect.type_text("Held-out days", "21")
    prefect.field("Kind of place").scroll_into_view_if_needed()
    picture("train-form")
    run = prefect.submit()
    prefect.await_state("Running")
    assert prefect.await_state() == "Completed"
    prefect.open_run(run)  # anew, for its stations to fill the picture
    prefect.page.wait_for_timeout(4_000)
    picture("train-run")
    (started,) = call(platform, "/flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    asked = started["parameters"]["parameters"]
    assert (asked["source"]["kind"], asked["recipe"]["holdout_days"]) == ("files", 21)
    prefect.page.goto(artifact(platform, "model"))
    shown("In MLflow: version 1", "Held-out weeks")


def test_the_validation_is_read_as_artifact_and_as_data_docs(
    prefect: PrefectPage, platform: Platform, picture: Picture, shown: Shown
) -> None:
    prefect.page.goto(artifact(platform, "validation"))
    shown("Snapshot", "rows that break it")
    picture("validation")
    prefect.page.goto(str(prefect.page.get_by_role("link", name="Data Docs").get_attribute("href")))
    shown("Validations of the tables")
    expect(prefect.page.get_by_text("Clear Filters").first).to_be_hidden()  # it needs a script from the network
    picture("data-docs")
    prefect.page.get_by_role("link", name="offers", exact=True).first.click()
    shown("Success Percent", "price is above 0")
    picture("data-docs-offers")


def test_the_version_page_has_its_card(
    prefect: PrefectPage, platform: Platform, picture: Picture, shown: Shown
) -> None:
    read_version(prefect, platform)
    shown("Demand model of", "log loss (lower)", "What its prices would have earned", "challenger")
    picture("model-card")


def test_a_book_waits_for_its_approval_and_then_goes_live(
    prefect: PrefectPage, platform: Platform, picture: Picture, shown: Shown
) -> None:
    prefect.open_form("deploy")
    prefect.choose("Approval", "review")
    picture("deploy-form")
    run = prefect.submit()
    assert prefect.await_state("Paused").startswith("Paused")
    form = prefect.open_pause(run)
    expect(form).to_contain_text("Version 1 awaits approval of its book 1")
    picture("approval")
    form.get_by_role("spinbutton").fill("1")
    form.get_by_role("button", name="Submit").click()
    until(lambda: "No approval of version 1 is recorded" in asked(platform, run), 60)  # it asks again, and says why
    expect(prefect.open_pause(run)).to_contain_text("No approval of version 1 is recorded")
    assert live_book(platform) is None
    assert "approved" in platform.pricing("approve", "1")
    prefect.open_run(run)
    assert prefect.await_state() == "Completed"
    picture("deploy-run")
    assert live_book(platform) == "1"
    prefect.page.goto(artifact(platform, "live-book"))
    shown("is live", "let live by", "To go back to the book before it")
    picture("live-book")


def test_the_book_is_read_in_prefect_and_in_mlflow(
    prefect: PrefectPage, platform: Platform, picture: Picture, shown: Shown
) -> None:
    prefect.page.goto(artifact(platform, "book"))
    shown("Why prices are where they are", "Parity between groups")
    picture("book")
    prefect.page.goto(artifact(platform, "book-price-response"))
    prefect.page.locator("img").first.wait_for()
    picture("price-response")
    read_version(prefect, platform)
    shown("Gates", "Prices against what is live")
    prefect.page.get_by_text("Prices against what is live").first.scroll_into_view_if_needed()
    picture("version-with-book")


def test_monitoring_and_simulation_leave_a_page(
    prefect: PrefectPage, platform: Platform, picture: Picture, shown: Shown
) -> None:
    prefect.open_form("monitor")
    prefect.submit()
    assert prefect.await_state() == "Completed"
    prefect.page.goto(artifact(platform, "monitor"))
    shown("Monitoring of book 1", "No alarm")
    picture("monitor")
    prefect.open_form("simulate")
    prefect.type_text("Users", "300")
    prefect.type_text("Offers", "3000")
    prefect.submit()
    assert prefect.await_state() == "Completed"
    prefect.page.goto(artifact(platform, "simulation"))
    shown("Two policies in a simulated ecommerce market")
    picture("simulation")


def test_rollback_goes_back_to_the_book_before(
    prefect: PrefectPage, platform: Platform, picture: Picture, shown: Shown
) -> None:
    prefect.open_form("deploy")
    prefect.type_text("Policy", "health_services")
    prefect.submit()
    assert prefect.await_state() == "Completed"
    assert live_book(platform) == "2"
    prefect.open_form("rollback")
    picture("rollback-form")
    run = prefect.submit()
    assert prefect.await_state() == "Completed"
    prefect.open_run(run)  # anew, for its stations and its log to fill the picture
    shown("is live again")
    prefect.page.wait_for_timeout(4_000)
    picture("rollback-run")
    assert live_book(platform) == "1"
    assert re.search(r"ledger verifies \(3 entries\)", platform.pricing("verify"))
