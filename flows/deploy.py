"""The deploy flow: from a registered challenger to live prices."""

from typing import Literal, Self

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.form import as_form_where
from tasks.books.approvals import Approval, stricter_approval
from tasks.books.book_report import report_book
from tasks.books.certify import certify
from tasks.books.choose import choose_candidates
from tasks.books.live_page import report_live
from tasks.books.price import price
from tasks.books.publish import LiveBook, already_live, publish, repair_champion
from tasks.books.review import await_approval, submit_for_review
from tasks.books.score import score_candidates
from tasks.registry.policies import PRESET_NAMES, PRESET_OR_PATH
from tasks.registry.promote import promote
from tasks.runners import Runner, for_each_block

LONGEST_REVIEW_HOURS = 168
LONGEST_SECONDS = (24 + LONGEST_REVIEW_HOURS) * 3600


class DeployParameters(BaseModel):
    """Which model version to put live, and under which policy."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra=as_form_where("two_person", True, approval={"const": "review"}),
    )

    version: str = Field("challenger", title="Version", description="An alias or a number of the registry.")
    policy: str | None = Field(
        None,
        title="Policy",
        description=f"A preset ({PRESET_NAMES}) or the path of a TOML file; empty: the version's own.",
        json_schema_extra={"pattern": PRESET_OR_PATH},
    )
    approval: Literal["automatic", "review"] = Field(
        "automatic",
        title="Approval",
        description="automatic: prices that pass every gate go live, unless the database requires more; review: only "
        "once `pricing approve` has run.",
    )
    two_person: bool = Field(
        False, title="Two persons", description="With review: who approves must not be who trained the version."
    )
    review_hours: float = Field(
        24,
        gt=0,
        le=LONGEST_REVIEW_HOURS,
        title="Hours for the review",
        description="After them the prices are discarded. Other deployments wait meanwhile.",
    )

    runner: Runner = Field(
        "local",
        title="Runner",
        description="Where users are scored: local, in this process; distributed, by the workers of a"
        " Dask cluster (PRICING_DASK_SCHEDULER), else by a process for each core. The prices are the same.",
    )

    @model_validator(mode="after")
    def _two_persons_review(self) -> Self:
        if self.two_person and self.approval != "review":
            raise ValueError("two_person needs approval = review: nobody approves an automatic deployment")
        return self

    @property
    def asked_approval(self) -> Approval:
        """What this deployment asks for."""
        return "two_person" if self.two_person else self.approval


@flow(name="deploy", timeout_seconds=LONGEST_SECONDS)
def deploy(parameters: DeployParameters) -> LiveBook:
    """Promote, choose, score, price, certify, report, await approval if asked for or required, and publish."""
    repair_champion()
    promotion = promote(parameters.version, parameters.policy)
    if live := already_live(promotion):
        report_live(live)
        return live
    blocks = for_each_block(parameters.runner, score_candidates, choose_candidates(promotion), promotion)
    priced = price(promotion, blocks)
    certificate = certify(priced, promotion)
    report_book(priced, promotion, certificate)
    approval = stricter_approval(parameters.asked_approval)
    if approval != "automatic":
        await_approval(submit_for_review(priced, promotion, certificate, approval, parameters.review_hours))
    live = publish(priced, certificate)
    report_live(live)
    return live
