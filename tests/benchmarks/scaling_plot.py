"""The curve of `scaling.py`: how many times faster more worker processes extract and score, beside the ideal."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no display is needed to write files
from matplotlib import pyplot as plt

PARTS = {"extract": ("extraction", "#1b6ca8"), "score": ("scoring", "#d98c3f")}

Measured = dict[int, dict[str, float]]


def gains(measured: Measured) -> dict[str, dict[int, float]]:
    """Return, for each part that is spread, how many times faster each number of processes is than the fewest."""
    fewest = min(measured)
    return {
        part: {
            count: round(measured[fewest][f"{part}_seconds"] / measured[count][f"{part}_seconds"], 2)
            for count in sorted(measured)
        }
        for part in PARTS
    }


def write_curve(measured: Measured, file: Path) -> None:
    """Draw the gains by the number of processes into a PNG."""
    counts = sorted(measured)
    figure, axis = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
    axis.plot(counts, [count / counts[0] for count in counts], color="#b8c4cc", linestyle="--", label="ideal")
    for part, gain in gains(measured).items():
        label, colour = PARTS[part]
        axis.plot(counts, list(gain.values()), color=colour, marker="o", label=label)
    axis.set(xlabel="worker processes", ylabel="times faster", xticks=counts)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)
    plt.close(figure)
