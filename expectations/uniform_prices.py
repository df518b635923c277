"""What every row of the uniform prices of a book holds: the columns of `pricing.uniform_prices`."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

from expectations.priced import expectations_of_price

SUITE = ExpectationSuite(
    name="uniform_prices",
    meta={"failing_share_limit": 0.0},
    expectations=[
        *expectations_of_price("uniform "),
        expect.ExpectColumnValuesToBeUnique(column="product_id", description="a product has one uniform price"),
        expect.ExpectColumnValuesToBeBetween(
            column="list_price", min_value=0, strict_min=True, description="list price of a uniform price is above 0"
        ),
    ],
)
