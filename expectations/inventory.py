"""What every row of `inventory` holds."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

SUITE = ExpectationSuite(
    name="inventory",
    meta={"failing_share_limit": 0.1},
    expectations=[
        expect.ExpectColumnValuesToBeBetween(column="capacity", min_value=0, description="capacity is not below 0"),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="sells_until",
            column_B="sells_from",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            description="sells_until is not before sells_from",
        ),
    ],
)
