"""What every row of `users` holds."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

SUITE = ExpectationSuite(
    name="users",
    meta={"failing_share_limit": 0.1},
    expectations=[
        expect.ExpectColumnValueLengthsToBeBetween(
            column="protected_group",
            min_value=1,
            max_value=100,
            description="protected_group has 1 to 100 characters",
        ),
    ],
)
