"""The prices a currency and a price ending allow, so that a price is always one a person can pay."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from models.errors import PricingError

FloatArray = NDArray[np.float64]

# Digits after the decimal point as shops use them, where not 2 (ISO 4217; TWD, HUF, IDR have 2 on paper
# only).
CURRENCY_DIGITS = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "HUF": 0, "IDR": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0,
    "PYG": 0, "RWF": 0, "TWD": 0, "UGX": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
    "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}  # fmt: skip
LARGEST_TICK = 2.0**53  # above it float64 no longer holds every whole number


class PriceGridError(PricingError, ValueError):
    """A price ending that no price of the currency can have."""


@dataclass(frozen=True)
class PriceGrid:
    """The admissible prices (offset + step·j) / ticks_per_unit, for j = 0, 1, 2, …, above zero.

    A rung is the whole number j, held as float64 so that an open bound is infinite. Whole ticks divided by
    the ticks of one unit give the double nearest to the decimal price, the one that ``float("12.99")``
    gives.
    """

    ticks_per_unit: int
    step: int = 1
    offset: int = 0

    @property
    def spacing(self) -> float:
        """Distance between neighbouring prices, in money."""
        return self.step / self.ticks_per_unit

    def price(self, rung: FloatArray) -> FloatArray:
        """Return the price at each rung."""
        return (self.offset + self.step * rung) / self.ticks_per_unit

    def rung_at_or_below(self, price: FloatArray) -> FloatArray:
        """Return the highest rung whose price is not above this one (−1: there is none)."""
        rung = np.floor((price * self.ticks_per_unit - self.offset) / self.step)
        rung -= self.price(rung) > price  # the product may have rounded up across a rung,
        rung += self.price(rung + 1) <= price  # or down
        return np.maximum(rung, -1.0)

    def rung_at_or_above(self, price: FloatArray) -> FloatArray:
        """Return the lowest rung whose price is not below this one and above zero."""
        below = self.rung_at_or_below(price)
        return np.maximum(below + (self.price(below) < price), 1.0 if self.offset == 0 else 0.0)


def usual_digits(currency: str) -> int:
    """Return the digits after the decimal point that prices in this ISO 4217 currency usually have."""
    return CURRENCY_DIGITS.get(currency.upper(), 2)


def price_grid(digits: int, ending: float | None) -> PriceGrid:
    """Return the prices with this many digits and this ending.

    A price has the ending e when price mod m = e, m being the smallest power of ten above e: 0.99 allows
    0.99, 1.99, 2.99; 9 allows 9, 19, 29; 0.05 allows 0.05, 0.15, 0.25; and 0 allows whole units. Raises
    PriceGridError when the ending has more digits than the currency.
    """
    ticks_per_unit = 10**digits
    if ending is None:
        return PriceGrid(ticks_per_unit)
    ticks = Decimal(str(ending)) * ticks_per_unit
    modulus = ticks_per_unit if ticks == 0 else 10 ** (ticks.adjusted() + 1)
    if ticks != int(ticks):
        raise PriceGridError(
            f"price_ending is {ending}, but prices have {digits} digits after the point: "
            "give an ending in whole ticks, or raise currency_digits"
        )
    return PriceGrid(ticks_per_unit, step=int(modulus), offset=int(ticks))
