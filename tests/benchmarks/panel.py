"""Own-price elasticity from a panel of items and periods: what a log says of price before any model."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from models.errors import PricingError

_TOLERANCE = 1e-10
_MOST_SWEEPS = 10_000

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


class PanelError(PricingError):
    """A panel in which the elasticity is not identified."""


@dataclass(frozen=True)
class Estimate:
    """An elasticity with its standard error, its 95 % interval and what it rests on.

    ``first_stage_f`` is the instrument's F, clustered by item; None for least squares.
    """

    elasticity: float
    standard_error: float
    interval: tuple[float, float]
    observations: int
    items: int
    first_stage_f: float | None = None


def own_price_elasticity(
    item: ArrayLike,
    period: ArrayLike,
    log_price: ArrayLike,
    log_quantity: ArrayLike,
    instrument: ArrayLike | None = None,
) -> Estimate:
    """Regress log quantity on log price with an effect for each item and each period.

    Least squares, or two-stage least squares where an instrument is given. The effects are swept out by
    alternating projections (Guimarães & Portugal, Stata Journal 2010; Gaure, CSDA 2013); by the theorem of
    Frisch, Waugh and Lovell the slope between what is left is the panel's. Standard errors are clustered by
    item (Arellano, Oxford Bulletin 1987), and the interval is that of the t distribution on one degree of
    freedom less than there are items (Cameron & Miller, Journal of Human Resources 2015).

    Shapes: every argument has one entry for each item and period that was observed.

    Raises:
        PanelError: lengths differ, a value is not finite, there are fewer than two items, or price (or the
            instrument) does not vary within items and periods.
    """
    panel = _Panel.of(item, period)
    price = panel.swept("log_price", log_price)
    quantity = panel.swept("log_quantity", log_quantity)
    mover = price if instrument is None else panel.swept("instrument", instrument)
    elasticity, error = panel.slope(price, quantity, mover)
    half = float(t.ppf(0.975, panel.items - 1)) * error
    return Estimate(
        elasticity=elasticity,
        standard_error=error,
        interval=(elasticity - half, elasticity + half),
        observations=len(price),
        items=panel.items,
        first_stage_f=None if instrument is None else panel.f(mover, price),
    )


@dataclass(frozen=True)
class _Panel:
    """The item and the period of each row, as codes from 0."""

    item: Codes
    period: Codes

    @classmethod
    def of(cls, item: ArrayLike, period: ArrayLike) -> "_Panel":
        panel = cls(pd.factorize(np.asarray(item))[0], pd.factorize(np.asarray(period))[0])
        if len(panel.item) != len(panel.period):
            raise PanelError(f"item has {len(panel.item)} rows, period {len(panel.period)}: give both for each row")
        if panel.items < 2:
            raise PanelError(f"the panel has {panel.items} items: errors clustered by item need two or more")
        return panel

    @property
    def items(self) -> int:
        return int(self.item.max(initial=-1)) + 1

    def swept(self, name: str, values: ArrayLike) -> Array:
        """The column less its item and period effects."""
        column = np.array(values, dtype=np.float64)
        if column.shape != self.item.shape:
            raise PanelError(f"{name} has shape {column.shape}, item {self.item.shape}: give one value a row")
        if not np.isfinite(column).all():
            row = int(np.flatnonzero(~np.isfinite(column))[0])
            raise PanelError(f"{name} is {column[row]} at row {row}: leave out rows without a finite value")
        left = _sweep(column - column.mean(), self.item, self.period)
        if name != "log_quantity" and np.ptp(left) < 1e-8:
            raise PanelError(f"{name} does not vary within items and periods: it tells no elasticity")
        return left

    def slope(self, x: Array, y: Array, instrument: Array) -> tuple[float, float]:
        """The slope of y on x through the instrument, and its standard error clustered by item."""
        scale = float(instrument @ x)
        slope = float(instrument @ y) / scale
        scores = np.bincount(self.item, instrument * (y - slope * x))
        return slope, float(np.sqrt(self._correction * (scores @ scores))) / abs(scale)

    def f(self, instrument: Array, x: Array) -> float:
        """F of the regression of x on one instrument: the square of its t value."""
        slope, error = self.slope(instrument, x, instrument)
        return (slope / error) ** 2

    @property
    def _correction(self) -> float:
        """G/(G−1) · (N−1)/(N−K); item effects are nested in the clusters and do not count in K."""
        rows, regressors = len(self.item), int(self.period.max()) + 1
        return self.items / (self.items - 1) * (rows - 1) / max(rows - regressors, 1)


def _sweep(values: Array, item: Codes, period: Codes) -> Array:
    """Subtract item means and period means in turn until neither moves the column."""
    rows_of_item, rows_of_period = np.bincount(item), np.bincount(period)
    for _ in range(_MOST_SWEEPS):
        values = values - (np.bincount(item, values) / rows_of_item)[item]
        period_means = np.bincount(period, values) / rows_of_period
        values = values - period_means[period]
        if np.abs(period_means).max() < _TOLERANCE:
            return values
    raise PanelError(f"effects did not settle in {_MOST_SWEEPS:,} sweeps: the items share too few periods")
