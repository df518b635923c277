"""What every row of the uniform prices of a book holds: the columns of `pricing.uniform_prices`."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

SUITE = ExpectationSuite(
    name="uniform_prices",
    meta={"failing_share_limit": 0.0},
    expectations=[
        expect.ExpectColumnValuesToNotBeNull(column="product_id", description="uniform product_id is there"),
        expect.ExpectColumnValuesToNotBeNull(column="price", description="uniform price is there"),
        expect.ExpectColumnValuesToBeUnique(column="product_id", description="a product has one uniform price"),
        expect.ExpectColumnValuesToBeBetween(column="price", min_value=0, description="uniform price is not below 0"),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="price", column_B="lower", or_equal=True, description="uniform price is not below lower"
        ),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="upper", column_B="price", or_equal=True, description="uniform price is not above upper"
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="list_price", min_value=0, strict_min=True, description="list price of a uniform price is above 0"
        ),
    ],
)
