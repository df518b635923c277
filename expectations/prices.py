"""What every row of the personal prices of a book holds: the columns of `pricing.personal_prices`."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as expect

SUITE = ExpectationSuite(
    name="prices",
    meta={"failing_share_limit": 0.0},
    expectations=[
        expect.ExpectColumnValuesToNotBeNull(column="user_id", description="user_id is there"),
        expect.ExpectColumnValuesToNotBeNull(column="product_id", description="product_id is there"),
        expect.ExpectColumnValuesToNotBeNull(column="price", description="price is there"),
        expect.ExpectCompoundColumnsToBeUnique(
            column_list=["user_id", "product_id"], description="a user has one price for a product"
        ),
        expect.ExpectColumnValuesToBeBetween(column="price", min_value=0, description="price is not below 0"),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="price", column_B="lower", or_equal=True, description="price is not below lower"
        ),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="upper", column_B="price", or_equal=True, description="price is not above upper"
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
