"""What shares of rows the labels of a monitored column have."""

from collections.abc import Hashable, Mapping

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect


def suite(table: str, shares: Mapping[str, Mapping[Hashable, float]], limits: Mapping[str, float]) -> ExpectationSuite:
    """Return the expectations of a table: each column's labels have these shares, within a limit."""
    return ExpectationSuite(
        name=f"shares of {table}",
        expectations=[
            expect.ExpectColumnKLDivergenceToBeLessThan(
                column=column,
                partition_object={"values": list(expected), "weights": list(expected.values())},
                threshold=limits[column],
                description=f"{column} has the shares that are expected",
            )
            for column, expected in shares.items()
        ],
    )
