"""The Prefect page as a person uses it: forms, runs, artifacts, automations."""

import re
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

LOADED = 30_000  # ms
FINISHED = 300  # s
ENDS = ("Completed", "Failed", "Crashed", "Cancelled")


@dataclass(frozen=True)
class PrefectPage:
    """A browser window at the Prefect server's address."""

    page: Page
    address: str

    def open_form(self, deployment: str) -> None:
        """The form that a deployment's custom run is started from."""
        self.page.goto(f"{self.address}/deployments")
        rows = self.page.locator("a[href*='/deployments/deployment/']")
        rows.get_by_text(deployment, exact=True).first.click()
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_text("Custom run").click()
        self.page.locator(".schema-form-property").first.wait_for(timeout=LOADED)

    def field(self, title: str) -> Locator:
        """A form's field by its title; a box has its own fields inside it, so the innermost counts."""
        label = self.page.locator(".schema-form-property__label").get_by_text(re.compile(rf"^{title}( \(Optional\))?$"))
        return self.page.locator(".schema-form-property").filter(has=label).last

    def choose(self, title: str, option: str) -> None:
        """One of a dropdown's values."""
        self.field(title).locator(".p-select-button__control").focus()
        self.page.keyboard.press("ArrowDown")
        self.page.locator(".p-select-option").get_by_text(option, exact=True).click()

    def type_text(self, title: str, text: str) -> None:
        """A text, also where the field was left empty until now."""
        field = self.field(title)
        kinds = field.locator(".p-button-group__button")
        if kinds.count():
            kinds.first.click()
        field.locator("textarea, input").first.fill(text)

    def submit(self) -> str:
        """Start the run; returns its id, and shows its page."""
        with self.page.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as started:
            self.page.get_by_role("button", name="Submit", exact=True).click()
        run_id = str(started.value.json()["id"])
        self.open_run(run_id)
        return run_id

    def open_run(self, run_id: str, tab: str | None = None) -> None:
        """A run's page, at one of its tabs."""
        self.page.goto(f"{self.address}/runs/flow-run/{run_id}" + (f"?tab={tab}" if tab else ""))
        self.state().wait_for(timeout=LOADED)

    def state(self) -> Locator:
        """The badge that says how the run of this page is."""
        return self.page.locator(".state-badge").first

    def await_state(self, *states: str, seconds: float = FINISHED) -> str:
        """Watch the page until the run is in one of these states, or has ended otherwise; returns its state."""
        expect(self.state()).to_have_text(re.compile("|".join({*states, *ENDS})), timeout=1000 * seconds)
        return self.state().inner_text().strip()

    def switch(self, automation: str) -> None:
        """Turn an automation off where it is on, and the other way round."""
        self.page.locator(".automation-card").filter(has_text=automation).get_by_role("switch").click()

    def open_pause(self, run_id: str) -> Locator:
        """The form that a paused run shows."""
        self.open_run(run_id)
        self.page.get_by_role("button", name="Resume").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Submit").wait_for(timeout=LOADED)
        return dialog
