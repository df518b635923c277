"""What shares of rows the labels of monitored columns have, as the model learnt from them."""

from collections.abc import Iterable

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

from models.evidence.drift import LabelShift


def suite(table: str, shifts: Iterable[LabelShift]) -> ExpectationSuite:
    """Return the expectations of one window of a table: each column's shares diverge by less than its limit."""
    return ExpectationSuite(
        name=f"shares of {table}",
        expectations=[
            expect.ExpectColumnKLDivergenceToBeLessThan(
                column=shift.column,
                partition_object={"values": shift.then.index.tolist(), "weights": shift.then.tolist()},
                threshold=shift.limit,
                description=f"{shift.column} has the shares that the model learnt from",
            )
            for shift in shifts
        ],
    )
