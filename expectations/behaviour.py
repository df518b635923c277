"""What every row of `behaviour` holds."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

SUITE = ExpectationSuite(
    name="behaviour",
    meta={"failing_share_limit": 0.1},
    expectations=[
        expect.ExpectColumnValuesToBeBetween(
            column="occurred_at",
            min_value=0,  # suites see times as seconds since 1970
            max_value={"$PARAMETER": "latest"},
            description="occurred_at is neither before 1970 nor more than a day ahead",
        ),
        expect.ExpectColumnValueLengthsToBeBetween(
            column="kind", min_value=1, max_value=100, description="kind has 1 to 100 characters"
        ),
        expect.ExpectColumnValueLengthsToBeBetween(
            column="category", min_value=1, max_value=200, description="category has 1 to 200 characters"
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="dwell_seconds", min_value=0, description="dwell_seconds is not below 0"
        ),
    ],
)
