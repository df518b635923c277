"""What every row of `market` holds."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

SUITE = ExpectationSuite(
    name="market",
    meta={"failing_share_limit": 0.1},
    expectations=[
        expect.ExpectColumnValuesToBeBetween(
            column="observed_at",
            min_value=0,  # suites see times as seconds since 1970
            max_value={"$PARAMETER": "latest"},
            description="observed_at is neither before 1970 nor more than a day ahead",
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="competitor_price", min_value=0, strict_min=True, description="competitor_price is above 0"
        ),
    ],
)
