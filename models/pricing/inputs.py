"""What prices are computed from, one row a decision, each row either usable or named invalid."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from models.demand.demand_curve import DemandCurve
from models.errors import PricingError

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]

COLUMNS = ("user_id", "product_id", "list_price", "unit_cost", "floor", "ceiling", "consent")
# Amounts, and curves, beyond these are data errors; within them no step of pricing overflows float64.
LARGEST_AMOUNT = 1e12
LARGEST_COEFFICIENT = 1e9


class PricingInputError(PricingError):
    """The decisions, curves and prices given to pricing do not belong together."""


@dataclass(frozen=True)
class PricingInputs:
    """Amounts in money, float64 ``[n]``; NaN is none for floor, ceiling and the two live prices.

    ``curve`` is the personal curve of users who consent and the uniform curve of the others, and
    ``live_price`` likewise, so that no personal data reaches a price without consent. ``invalid`` names
    what is wrong with a row, or is None; an invalid row holds harmless values in place of its own.
    """

    list_price: FloatArray
    unit_cost: FloatArray
    floor: FloatArray
    ceiling: FloatArray
    live_price: FloatArray
    live_uniform_price: FloatArray
    consent: Flags
    curve: DemandCurve
    uniform_curve: DemandCurve
    invalid: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.list_price)


def read_inputs(
    decisions: pd.DataFrame,
    curve: DemandCurve,
    uniform_curve: DemandCurve,
    live_price: ArrayLike | None,
    live_uniform_price: ArrayLike | None,
) -> PricingInputs:
    """Return the inputs of every decision, with the invalid ones named.

    Raises PricingInputError where a column is missing or something has not one row per decision.
    """
    missing = [column for column in COLUMNS if column not in decisions]
    if missing:
        raise PricingInputError(f"the decisions lack {', '.join(missing)}: give {', '.join(COLUMNS)}")
    rows = len(decisions)
    columns = {name: _column(decisions[name], name, rows) for name in COLUMNS[2:6]}
    columns["live_price"] = _column(live_price, "live_price", rows)
    columns["live_uniform_price"] = _column(live_uniform_price, "live_uniform_price", rows)
    for name, given in (("curve", curve), ("uniform_curve", uniform_curve)):
        if len(given) != rows:
            raise PricingInputError(f"{name} has {len(given)} rows for {rows} decisions: give one a decision")

    unknown_consent = decisions["consent"].isna().to_numpy()
    consent = decisions["consent"].where(~unknown_consent, False).to_numpy(bool)
    invalid = np.full(rows, None, dtype=object)
    for name, is_bad in _checks(columns, curve, uniform_curve, unknown_consent, consent):
        invalid[is_bad & pd.isna(invalid)] = f"invalid_{name}"
    return _usable(columns, consent, curve, uniform_curve, invalid)


def _column(values: ArrayLike | None, name: str, rows: int) -> FloatArray:
    if values is None:
        return np.full(rows, np.nan)
    try:
        column = np.asarray(pd.Series(values).to_numpy(np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise PricingInputError(f"{name} is not a column of numbers: {error}") from error
    if column.shape != (rows,):
        raise PricingInputError(f"{name} has {len(column)} rows for {rows} decisions: give one a decision")
    return column


def _checks(
    columns: dict[str, FloatArray],
    curve: DemandCurve,
    uniform_curve: DemandCurve,
    unknown_consent: Flags,
    consent: Flags,
) -> Iterator[tuple[str, Flags]]:
    """Yield each input with the rows in which it cannot be used (NaN fails every range)."""
    limit = LARGEST_AMOUNT
    yield "list_price", ~((columns["list_price"] > 0) & (columns["list_price"] <= limit))
    yield "unit_cost", ~((columns["unit_cost"] >= 0) & (columns["unit_cost"] <= limit))
    for name in ("floor", "ceiling"):
        yield name, ~(np.isnan(columns[name]) | ((columns[name] >= 0) & (columns[name] <= limit)))
    for name in ("live_price", "live_uniform_price"):
        yield name, ~(np.isnan(columns[name]) | ((columns[name] > 0) & (columns[name] <= limit)))
    yield "consent", unknown_consent
    yield "uniform_demand_curve", ~_is_demand(uniform_curve)
    yield "demand_curve", consent & ~_is_demand(curve)


def _is_demand(curve: DemandCurve) -> Flags:
    falls = (curve.sensitivity >= 1 / LARGEST_COEFFICIENT) & (curve.sensitivity <= LARGEST_COEFFICIENT)
    return np.asarray(falls & (np.abs(curve.valuation) <= LARGEST_COEFFICIENT))


def _usable(
    columns: dict[str, FloatArray],
    consent: Flags,
    curve: DemandCurve,
    uniform_curve: DemandCurve,
    invalid: NDArray[np.object_],
) -> PricingInputs:
    is_bad = pd.notna(invalid)
    harmless = {"list_price": 1.0, "unit_cost": 0.0}
    columns = {name: np.where(is_bad, harmless.get(name, np.nan), column) for name, column in columns.items()}
    uniform = DemandCurve(
        np.where(is_bad, 1.0, uniform_curve.sensitivity), np.where(is_bad, 1.0, uniform_curve.valuation)
    )
    is_personal = consent & ~is_bad
    personal = DemandCurve(
        np.where(is_personal, curve.sensitivity, uniform.sensitivity),
        np.where(is_personal, curve.valuation, uniform.valuation),
    )
    columns["live_price"] = np.where(is_personal, columns["live_price"], columns["live_uniform_price"])
    return PricingInputs(**columns, consent=consent, curve=personal, uniform_curve=uniform, invalid=invalid)
