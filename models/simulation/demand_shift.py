"""A lasting change of a simulated marketplace's true demand, from one moment on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.errors import PricingError


class DemandShiftError(PricingError, ValueError):
    """A change of demand that no market can undergo."""


@dataclass(frozen=True)
class DemandShift:
    """What changes at a moment, for good.

    Args:
        at: the first moment of the changed demand, UTC.
        willingness: factor of what everyone is ready to pay; 0.85 makes demand at a price what it was at price / 0.85.
        sensitivity: factor of everyone's price sensitivity; demand at list price stays.

    Raises:
        DemandShiftError: a factor is not above 0.

    """

    at: pd.Timestamp
    willingness: float = 1.0
    sensitivity: float = 1.0

    def __post_init__(self) -> None:
        if not (self.willingness > 0 and self.sensitivity > 0):
            raise DemandShiftError(
                f"willingness {self.willingness} and sensitivity {self.sensitivity} are factors: both must be above 0"
            )

    def applied(self, curves: pd.DataFrame, decided_at: pd.Series) -> pd.DataFrame:
        """Return a marketplace's curves (rows, columns) whose decisions at or after the moment (rows,) are changed."""
        is_later = (decided_at >= self.at).to_numpy()
        return curves.assign(
            willingness=curves["willingness"] * np.where(is_later, self.willingness, 1.0),
            sensitivity=curves["sensitivity"] * np.where(is_later, self.sensitivity, 1.0),
        )
