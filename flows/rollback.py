"""The rollback flow: back to an earlier price book and its champion."""

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from models.form import as_form
from tasks.books.live_page import report_live
from tasks.books.publish import LiveBook, roll_back

LONGEST_SECONDS = 600


class RollbackParameters(BaseModel):
    """Which book to return to."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=as_form)

    book: int | None = Field(
        None, ge=1, lt=2**31, title="Book", description="A number that `pricing books` lists; empty: the one before."
    )


@flow(name="rollback", timeout_seconds=LONGEST_SECONDS)
def rollback(parameters: RollbackParameters) -> LiveBook:
    """Make an earlier book live again; its prices were kept, so this is a switch and not a copy."""
    live = roll_back(parameters.book)
    report_live(live)
    return live
