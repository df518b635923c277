"""The deploy flow: from a registered challenger to live prices."""

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.book_report import report_book
from tasks.certify import certify
from tasks.price import price
from tasks.promote import promote
from tasks.publish import LiveBook, already_live, publish


class DeployParameters(BaseModel):
    """Which model version to put live, and under which policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field("challenger", title="Version", description="An alias or a number of the registry.")
    policy: str | None = Field(
        None, title="Policy", description="A preset's name or the path of a TOML file; empty: the version's own."
    )


@flow(name="deploy")
def deploy(parameters: DeployParameters) -> LiveBook:
    """Promote, price, certify, report and publish; equal inputs publish nothing new."""
    promotion = promote(parameters.version, parameters.policy)
    if live := already_live(promotion):
        return live
    priced = price(promotion)
    certificate = certify(priced, promotion)
    report_book(priced, promotion, certificate)
    return publish(priced, certificate)
