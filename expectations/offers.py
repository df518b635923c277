"""What every row of `offers` holds."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

SUITE = ExpectationSuite(
    name="offers",
    meta={"failing_share_limit": 0.1},
    expectations=[
        expect.ExpectColumnValuesToBeBetween(
            column="offered_at",
            min_value=0,  # suites see times as seconds since 1970
            max_value={"$PARAMETER": "latest"},
            description="offered_at is neither before 1970 nor more than a day ahead",
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="price", min_value=0, strict_min=True, description="price is above 0"
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="list_price", min_value=0, strict_min=True, description="list_price is above 0"
        ),
        expect.ExpectColumnValuesToBeBetween(column="unit_cost", min_value=0, description="unit_cost is not below 0"),
        expect.ExpectColumnValuesToBeBetween(column="floor", min_value=0, description="floor is not below 0"),
        expect.ExpectColumnValuesToBeBetween(
            column="ceiling", min_value=0, strict_min=True, description="ceiling is above 0"
        ),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="ceiling",
            column_B="floor",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            description="ceiling is not below floor",
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="quantity", min_value=0, strict_min=True, description="quantity is above 0"
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="propensity", min_value=0, strict_min=True, description="propensity is above 0"
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="weight", min_value=0, strict_min=True, description="weight is above 0"
        ),
    ],
)
