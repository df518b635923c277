"""The reprice flow: it runs on and on, and live prices follow what users do and the market does."""

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from models.form import as_form
from tasks.books.publish import repair_champion
from tasks.quotes.reprice import RepriceTally, report_repricing, reprice_waiting


class RepriceParameters(BaseModel):
    """How long to go on, and in which portions."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=as_form)

    minutes: float | None = Field(
        None, gt=0, le=366 * 24 * 60, title="Minutes", description="Empty: until the run is cancelled."
    )
    entries_at_once: int = Field(
        512, ge=1, le=10_000, title="Entries at once", description="What one transaction takes from the queue."
    )
    transactions: int = Field(
        2, ge=1, le=16, title="Transactions", description="How many run side by side; one computes, one reads."
    )


@flow(name="reprice")
def reprice(parameters: RepriceParameters) -> RepriceTally:
    """Price users who acted and products whose market changed, as they come, under the live book's model and policy."""
    repair_champion()
    tally = reprice_waiting(parameters.minutes, parameters.entries_at_once, parameters.transactions)
    report_repricing(tally)
    return tally
