"""What holds of every price of a book, personal or uniform."""

from great_expectations import expectations as expect
from great_expectations.expectations.expectation import Expectation


def expectations_of_price(kind: str = "") -> list[Expectation]:
    """Return the rules of a price, its product and its interval; ``kind`` goes before each rule's words."""
    return [
        expect.ExpectColumnValuesToNotBeNull(column="product_id", description=f"{kind}product_id is there"),
        expect.ExpectColumnValuesToNotBeNull(column="price", description=f"{kind}price is there"),
        expect.ExpectColumnValuesToBeBetween(column="price", min_value=0, description=f"{kind}price is not below 0"),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="price", column_B="lower", or_equal=True, description=f"{kind}price is not below lower"
        ),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="upper", column_B="price", or_equal=True, description=f"{kind}price is not above upper"
        ),
    ]
