"""The gates a challenger must pass before its prices go live."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

# Expected calibration error on held-out offers; few offers show some by chance alone, so its lower bound counts.
LARGEST_CALIBRATION_ERROR = 0.05
LARGEST_CONFOUNDING = 1.4  # slope s₂ of the price term on randomised offers; above it confounding remains


@dataclass(frozen=True)
class Gate:
    """One question asked of a challenger: what was measured, what was demanded, and whether it was met."""

    name: str
    measured: float
    demanded: str
    passed: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.measured:.4g}, demanded {self.demanded}"


def quality_gates(metrics: Mapping[str, float]) -> list[Gate]:
    """Gates on what evaluation measured on the held-out weeks.

    A figure that is missing or NaN fails, except where there was nothing to measure it on: no randomised
    offers, or no champion of the same dataset.
    """
    gain = metrics.get("log_loss_gain_over_constant_rate_low", nan)
    falling = metrics.get("sign_accuracy", nan)
    calibration = metrics.get("ece_low", nan)
    gates = [
        Gate("log loss gained over the constant rate, 95 % lower bound", gain, "> 0", gain > 0),
        Gate("share of demand curves falling in price", falling, "= 1", falling == 1),
        Gate(
            "calibration error, 95 % lower bound",
            calibration,
            f"≤ {LARGEST_CALIBRATION_ERROR}",
            calibration <= LARGEST_CALIBRATION_ERROR,
        ),
    ]
    if "price_slope_on_randomised" in metrics:
        slope = metrics["price_slope_on_randomised"]
        gates.append(
            Gate("price slope on randomised offers", slope, f"≤ {LARGEST_CONFOUNDING}", slope <= LARGEST_CONFOUNDING)
        )
    if "log_loss_gain_over_champion_high" in metrics:
        # Blocked only where the challenger is surely worse; whether it earns more is for off-policy evidence.
        gain = metrics["log_loss_gain_over_champion_high"]
        gates.append(Gate("log loss gained over the champion, 95 % upper bound", gain, "≥ 0", gain >= 0))
    return gates
