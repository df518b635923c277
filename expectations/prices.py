"""What every row of the personal prices of a book holds: the columns of `pricing.personal_prices`."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

from expectations.priced import expectations_of_price

SUITE = ExpectationSuite(
    name="prices",
    meta={"failing_share_limit": 0.0},
    expectations=[
        *expectations_of_price(),
        expect.ExpectColumnValuesToNotBeNull(column="user_id", description="user_id is there"),
        expect.ExpectCompoundColumnsToBeUnique(
            column_list=["user_id", "product_id"], description="a user has one price for a product"
        ),
        expect.ExpectColumnValuesToBeBetween(
            column="purchase_probability",
            min_value=0,
            max_value=1,
            description="purchase_probability is between 0 and 1",
        ),
        expect.ExpectColumnValuesToBeBetween(column="elasticity", max_value=0, description="elasticity is not above 0"),
        expect.ExpectColumnValuesToBeBetween(
            column="propensity", min_value=0, strict_min=True, description="propensity is above 0"
        ),
    ],
)
