"""What a shop's shelf showed each day, read off what people paid: prices, costs, leading items.

Grids are arrays of items x days. Column d is what is known at the end of day d, from that day's lines and
earlier ones; what was known before the day is column d − 1, its eve. NaN is what nobody could know.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

SALES_DAYS = 28
LEADING_ITEMS = 3  # of each subclass
LEAST_SALES = 15  # lines in the past four weeks, about one every other day
SEEN_DAYS = 14  # how long a price counts as the shelf's after it was last paid
LIST_DAYS = 28
USUAL_COST_DAYS = 56
REGULAR_QUANTILE = 0.9

Grid = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Shelf:
    """The shelf of a shop, by item and day.

    ``lines`` are its sales, with columns item and day (codes from 0), units, total_price and total_cost;
    ``subclass`` is the code of each item's subclass and ``days`` the number of days.
    """

    lines: pd.DataFrame
    subclass: Codes
    days: int

    @cached_property
    def price_seen(self) -> Grid:
        """The shelf price of each day on which it shows: what most of the day's single-unit lines paid.

        Of two prices paid equally often it is the higher: within a day, prices differ by discounts to
        baskets.
        """
        single = self.lines.loc[self.lines["units"] == 1, ["item", "day", "total_price"]]
        counts = single.value_counts(sort=False).reset_index(name="paid")
        in_order = counts.sort_values(["item", "day", "paid", "total_price"])
        return self._grid(in_order.groupby(["item", "day"])["total_price"].last())

    @cached_property
    def price_in_force(self) -> Grid:
        """The shelf price of the day if it shows, else the last one of the two weeks before."""
        return _carried(self.price_seen, SEEN_DAYS)

    @cached_property
    def regular_price(self) -> Grid:
        """The list price: the level that nine in ten of the past four weeks' shelf prices do not exceed.

        Most promotions here end within three weeks. A median would take the longer ones for the regular
        price, and a maximum would keep one odd line for four weeks.
        """
        return _regular(self.price_seen, LIST_DAYS)

    @cached_property
    def unit_cost(self) -> Grid:
        """The last unit cost known."""
        return _carried(self._cost_seen)

    @cached_property
    def relative_cost(self) -> Grid:
        """Unit cost over its usual level in the past eight weeks.

        It is relative to the item's own past, so that it holds what suppliers changed, and neither the item's
        margin nor its list price.
        """
        relative: Grid = self.unit_cost / _carried(_regular(self._cost_seen, USUAL_COST_DAYS))
        return relative

    @cached_property
    def substitutes(self) -> Grid:
        """Mean price ratio of the other items of each item's subclass, weighted with their past sales."""
        ratio = self.price_in_force / self.regular_price
        weight = np.where(np.isnan(ratio), 0.0, self._sales)
        weighted = weight * np.nan_to_num(ratio)
        others = self._subclass_total(weight) - weight
        total = self._subclass_total(weighted) - weighted
        index: Grid = np.divide(total, others, out=np.full_like(others, np.nan), where=others > 0)
        return index

    @cached_property
    def leading(self) -> pd.DataFrame:
        """Rows (item, eve, subclass): the items that lead their subclass on the day after the eve.

        They lead by past sales. Each has sold often enough in four weeks and showed a price in two; the first
        four weeks are history alone.
        """
        known = ~np.isnan(_carried(self.price_seen, SEEN_DAYS - 1)) & ~np.isnan(self.unit_cost)
        item, eve = np.nonzero(known & (self._sales >= LEAST_SALES))
        sales = self._sales[item, eve]
        able = pd.DataFrame({"item": item, "eve": eve, "subclass": self.subclass[item], "sales": sales})
        able = able[able["eve"] >= SALES_DAYS - 1]
        rank = able.groupby(["subclass", "eve"])["sales"].rank(method="first", ascending=False)
        return able.loc[rank <= LEADING_ITEMS, ["item", "eve", "subclass"]].reset_index(drop=True)

    @cached_property
    def _cost_seen(self) -> Grid:
        """Unit cost on the days on which it shows: the median of the day's lines with a cost."""
        costed = self.lines[self.lines["total_cost"] > 0]
        unit_cost = costed.assign(unit_cost=costed["total_cost"] / costed["units"])
        return self._grid(unit_cost.groupby(["item", "day"])["unit_cost"].median())

    @cached_property
    def _sales(self) -> Grid:
        """Purchase lines in the past four weeks."""
        total = np.nan_to_num(self._grid(self.lines.groupby(["item", "day"]).size())).cumsum(axis=1)
        before = np.zeros_like(total)
        before[:, SALES_DAYS:] = total[:, :-SALES_DAYS]
        past: Grid = total - before
        return past

    def _subclass_total(self, grid: Grid) -> Grid:
        """The sum over each item's subclass, on each of the subclass's items."""
        items = np.arange(len(self.subclass))
        members = csr_array((np.ones(len(items)), (self.subclass, items)))
        totals: Grid = np.asarray(members @ grid)[self.subclass]
        return totals

    def _grid(self, values: pd.Series) -> Grid:
        """A series indexed by item and day as a grid."""
        grid = np.full((len(self.subclass), self.days), np.nan)
        grid[values.index.get_level_values("item"), values.index.get_level_values("day")] = values.to_numpy()
        return grid


def _carried(seen: Grid, most_days: int | None = None) -> Grid:
    """Each value carried forward over the days without one, over so many at the most."""
    return pd.DataFrame(seen.T).ffill(limit=most_days).to_numpy().T


def _regular(seen: Grid, days: int) -> Grid:
    """The upper decile of the values seen in so many days, which is itself one of them."""
    past = pd.DataFrame(seen.T).rolling(days, min_periods=1)
    return past.quantile(REGULAR_QUANTILE, interpolation="nearest").to_numpy().T
