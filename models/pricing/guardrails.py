"""Guardrails: the rules of a policy, intersected into one interval of admissible prices per row."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from models.pricing.price_grid import PriceGrid

if TYPE_CHECKING:  # the marketplace is simulated, too, where pydantic is not installed
    from models.pricing.policy import Guardrails

FloatArray = NDArray[np.float64]
RuleArray = NDArray[np.int8]

# In order of precedence. Where two rules leave no price, the later one is named as the one that cannot be
# kept.
RULES = (
    "floor",
    "ceiling",
    "minimum_margin",
    "maximum_markup",
    "maximum_discount",
    "maximum_step",
    "above_uniform",
    "parity_bound",
    "price_ending",
)
NO_RULE = -1
# A product such as 10 × 1.1 stands for 11 but is 11.000000000000002 as a double; a bound computed so is met
# to within this share of its value, where ten significant digits and more of the decimal bound are exact.
ROUNDING_SLACK = 1e-12


@dataclass(frozen=True)
class Bound:
    """What one rule asks of each row: ``lower`` ≤ price ≤ ``upper``, in money; None asks nothing."""

    rule: str
    lower: FloatArray | None = None
    upper: FloatArray | None = None


class Valued(Protocol):
    """What prices are compared by: a value that rises to one maximum in price and falls after it."""

    def value(self, price: FloatArray) -> FloatArray:
        """Return the value of one price per row."""


@dataclass(frozen=True)
class Interval:
    """The admissible prices of each row: rungs ``lowest`` to ``highest`` of the price grid.

    ``lower_rule`` and ``upper_rule`` index RULES by the rule that set each end (NO_RULE: none did). A row
    whose ``conflict`` is true has no admissible price: its two rules contradict each other, or no price on
    the grid lies between them (``off_grid``).
    """

    grid: PriceGrid
    lowest: FloatArray
    highest: FloatArray
    lower_rule: RuleArray
    upper_rule: RuleArray
    conflict: NDArray[np.bool_]
    off_grid: NDArray[np.bool_]

    @property
    def lower(self) -> FloatArray:
        """Lowest admissible price, in money."""
        return self.grid.price(self.lowest)

    @property
    def upper(self) -> FloatArray:
        """Highest admissible price, in money; infinite where nothing bounds it."""
        return self.grid.price(self.highest)

    def best_rung(self, objective: Valued, optimum: FloatArray) -> FloatArray:
        """Return the rung whose price is best by the objective, given its maximum over all real prices.

        The objective falls on both sides of its maximum, so the best admissible price is one of its two
        neighbours on the grid, and where the maximum lies outside the interval it is the nearer end.
        """
        below = np.clip(self.grid.rung_at_or_below(optimum), self.lowest, self.highest)
        above = np.minimum(below + 1, self.highest)
        is_better = objective.value(self.grid.price(above)) > objective.value(self.grid.price(below))
        return np.where(is_better, above, below)

    def conflict_names(self) -> NDArray[np.object_]:
        """Return why a row has no price, such as ``maximum_step_conflicts_with_ceiling``, or None."""
        names = np.full(len(self.conflict), None, dtype=object)
        rows = np.flatnonzero(self.conflict)
        causes = np.column_stack([self.lower_rule[rows], self.upper_rule[rows], self.off_grid[rows]])
        kinds, kind_of_row = np.unique(causes, axis=0, return_inverse=True)
        kind_names = [conflict_name(int(lower), int(upper), bool(off)) for lower, upper, off in kinds]
        names[rows] = np.array(kind_names, dtype=object)[kind_of_row]
        return names


def conflict_name(lower_rule: int, upper_rule: int, off_grid: bool) -> str:
    """Name a conflict after the rule that cannot be kept and the earlier ones it contradicts."""
    first, second = sorted((lower_rule, upper_rule))
    if not off_grid:
        return f"{RULES[second]}_conflicts_with_{RULES[first]}"
    others = [RULES[rule] for rule in sorted({first, second} - {NO_RULE})]
    return f"price_ending_conflicts_with_{'_and_'.join(others)}"


def bounds(
    rails: "Guardrails",
    list_price: FloatArray,
    unit_cost: FloatArray,
    floor: FloatArray,
    ceiling: FloatArray,
    live_price: FloatArray | None = None,
    uniform_price: FloatArray | None = None,
    parity_band: float | None = None,
) -> Iterator[Bound]:
    """Yield what each rule asks of each row, in order of precedence; NaN asks nothing of that row.

    All amounts are float64 ``[n]`` in money. ``uniform_price`` caps the price where the policy has
    ``above_uniform`` off, and is None when it is the uniform price itself that is being set.
    """
    yield Bound("floor", lower=floor)
    yield Bound("ceiling", upper=ceiling)
    if rails.minimum_margin is not None:
        yield Bound("minimum_margin", lower=_at_least(unit_cost, 1 + rails.minimum_margin))
    if rails.maximum_markup is not None:
        yield Bound("maximum_markup", upper=_at_most(list_price, 1 + rails.maximum_markup))
    if rails.maximum_discount is not None:
        yield Bound("maximum_discount", lower=_at_least(list_price, 1 - rails.maximum_discount))
    if rails.maximum_step is not None and live_price is not None:
        yield Bound(
            "maximum_step",
            lower=_at_least(live_price, 1 - rails.maximum_step),
            upper=_at_most(live_price, 1 + rails.maximum_step),
        )
    if not rails.above_uniform and uniform_price is not None:
        yield Bound("above_uniform", upper=uniform_price)
    if parity_band is not None and uniform_price is not None:
        yield Bound(
            "parity_bound",
            lower=_at_least(uniform_price, 1 - parity_band),
            upper=_at_most(uniform_price, 1 + parity_band),
        )


def _at_least(amount: FloatArray, factor: float) -> FloatArray:
    return amount if factor == 1 else amount * (factor * (1 - ROUNDING_SLACK))


def _at_most(amount: FloatArray, factor: float) -> FloatArray:
    return amount if factor == 1 else amount * (factor * (1 + ROUNDING_SLACK))


def intersect(rules: Iterable[Bound], rows: int, grid: PriceGrid) -> Interval:
    """Return the interval in which every rule holds, rounded inwards to the grid.

    A row stops at the first rule that leaves it without a price, so the conflict it reports is that rule's.
    """
    lower, upper = np.zeros(rows), np.full(rows, np.inf)
    lower_rule, upper_rule = np.full(rows, NO_RULE, np.int8), np.full(rows, NO_RULE, np.int8)
    for bound in rules:
        possible = lower <= upper
        rule = RULES.index(bound.rule)
        if bound.lower is not None:
            _tighten(lower, lower_rule, bound.lower, rule, possible & (bound.lower > lower))
        if bound.upper is not None:
            _tighten(upper, upper_rule, bound.upper, rule, possible & (bound.upper < upper))
    lowest, highest = grid.rung_at_or_above(lower), grid.rung_at_or_below(upper)
    conflict = lowest > highest
    return Interval(grid, lowest, highest, lower_rule, upper_rule, conflict, conflict & (lower <= upper))


def _tighten(end: FloatArray, end_rule: RuleArray, limit: FloatArray, rule: int, is_tighter: NDArray[np.bool_]) -> None:
    np.copyto(end, limit, where=is_tighter)
    end_rule[is_tighter] = rule


def waterfall(optimum: FloatArray, rules: Iterable[Bound]) -> Iterator[tuple[str, FloatArray]]:
    """Yield each rule with the price after it: the unguarded optimum, kept inside every rule so far."""
    price = optimum
    lower, upper = np.zeros(len(optimum)), np.full(len(optimum), np.inf)
    for bound in rules:
        lower = lower if bound.lower is None else np.fmax(lower, bound.lower)
        upper = upper if bound.upper is None else np.fmin(upper, bound.upper)
        price = np.clip(optimum, lower, upper)
        yield bound.rule, price
