"""What every row of `products` holds."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

SUITE = ExpectationSuite(
    name="products",
    meta={"failing_share_limit": 0.1},
    expectations=[
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
        expect.ExpectColumnValueLengthsToBeBetween(
            column="category", min_value=1, max_value=200, description="category has 1 to 200 characters"
        ),
        expect.ExpectColumnValueLengthsToBeBetween(
            column="brand", min_value=1, max_value=200, description="brand has 1 to 200 characters"
        ),
    ],
)
