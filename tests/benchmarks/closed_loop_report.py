"""What the closed loop reached, as a table, a plot and the raw figures, from the records of its cycles alone."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")  # no display is needed to write files
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.evidence.gates import LARGEST_CONFOUNDING

OFFERS = (500, 2_000)  # a product, of the published bar: 91 % and 97 % of the oracle's revenue
NEAR = 0.1  # a week is at so many offers a product if it is within this share of them
COUNTED = {"learnt_a_product": "log and quotes", "quoted_a_product": "quotes alone"}
LINES = {
    "profit_of_held": ("of the best prices in the intervals quoted from", "#7a9e5f"),
    "profit_of_policy": ("of the best prices within the policy", "#1b6ca8"),
    "profit_of_open": ("of the best prices without a policy", "#d98c3f"),
    "list_price_of_policy": ("list price, of the best within the policy", "#b8c4cc"),
}
_MUTED, _INK = "#b8c4cc", "#222222"


def write_report(cycles: pd.DataFrame, folder: Path) -> None:
    """Write `closed_loop.json`, `closed_loop.md` and `closed_loop.png`; one row a seed and cycle."""
    folder.mkdir(parents=True, exist_ok=True)
    cycles.to_json(folder / "closed_loop.json", orient="records", indent=1)
    (folder / "closed_loop.md").write_text(markdown(cycles))
    figure = drawn(cycles)
    figure.savefig(folder / "closed_loop.png", dpi=130)
    plt.close(figure)


def reached(cycles: pd.DataFrame, counted: str, offers: int) -> pd.DataFrame:
    """Return of each seed the week that began nearest so many offers a product, where one began near them."""
    away = (cycles[counted] - offers).abs()
    nearest = cycles.loc[away.groupby(cycles["seed"]).idxmin()]
    return nearest[(nearest[counted] - offers).abs() <= NEAR * offers]


def markdown(cycles: pd.DataFrame) -> str:
    """Return a row a cycle, means over the seeds, and what was reached at the published numbers of offers."""
    lines = [
        "# The closed loop, with known truth",
        "",
        f"{cycles['seed'].nunique()} seeds, means over them; shares of the profit of the best prices in the intervals "
        "that quotes were held to, within the policy, and within the tables' floor and ceiling alone.",
        "",
        "| week | offers a product before it | held | policy | open | s₂ | randomised | violations | promoted |",
        "| --- " * 9 + "|",
    ]
    lines += [_row(number, of) for number, of in cycles.groupby("cycle")]
    lines += ["", f"| offers a product | counted | seeds | {' | '.join(REACHED.values())} |", "| --- " * 8 + "|"]
    for counted, label in COUNTED.items():
        for offers in OFFERS:
            of = reached(cycles, counted, offers)
            shown = [f"{of[name].mean():.1%}" if len(of) else "not reached" for name in REACHED]
            lines.append(f"| {offers:,} | {label} | {len(of)} | {' | '.join(shown)} |")
    lines += ["", "Versions that were not promoted:", ""]
    failed = cycles[~cycles["promoted"].astype(bool)]
    lines += [f"- seed {row.seed}, week {row.cycle}: {row.failed}" for row in failed.itertuples()]
    return "\n".join(lines) + "\n"


REACHED = {
    "profit_of_policy": "profit, of the best prices a user",
    "revenue_of_policy": "their revenue",
    "profit_of_uniform": "profit, of the best price a product",
    "revenue_of_uniform": "its revenue",
    "revenue_of_dearest": "highest revenue",
}


def _row(number: object, of: pd.DataFrame) -> str:
    slope = of["price_slope_on_randomised"] if "price_slope_on_randomised" in of else pd.Series(dtype="float64")
    cells = [
        str(number),
        f"{of['learnt_a_product'].mean():,.0f}",
        *(f"{of[f'profit_of_{name}'].mean():.1%}" for name in ("held", "policy", "open")),
        "unknown" if slope.isna().all() else f"{slope.mean():.2f}",
        f"{of['randomised'].mean():.1%}",
        f"{of['violations'].sum():.0f}",
        f"{int(of['promoted'].sum())} of {len(of)}" + (" (cold)" if of["cold_start"].any() else ""),
    ]
    return f"| {' | '.join(cells)} |"


def drawn(cycles: pd.DataFrame) -> Figure:
    """Draw profit, the confounding figure and the share randomised over the weeks: means, and each seed faintly."""
    figure, (profit, slope, share) = plt.subplots(
        3, sharex=True, figsize=(8, 8), layout="constrained", height_ratios=[2, 1, 1]
    )
    for name, (label, colour) in LINES.items():
        _lines(profit, cycles, name, colour, label)
    profit.set(ylabel="profit, %", title="Train, deploy, quote, learn: a week a cycle")
    profit.legend(fontsize=8, frameon=False)
    for row in cycles[cycles["promoted"].astype(bool)].itertuples():
        profit.plot(row.cycle, 100 * row.profit_of_policy, "^", color=_INK, ms=5)
    profit.plot([], [], "^", color=_INK, label="promoted")
    profit.legend(fontsize=8, frameon=False)
    if "price_slope_on_randomised" in cycles:
        _lines(slope, cycles, "price_slope_on_randomised", "#1b6ca8", "s₂ of the week's version", scale=1)
    slope.axhline(LARGEST_CONFOUNDING, color="#b03a2e", lw=1, ls="--", label="alarm")
    slope.axhline(1, color=_MUTED, lw=1)
    slope.set_ylabel("s₂")
    slope.legend(fontsize=8, frameon=False)
    _lines(share, cycles, "randomised", "#1b6ca8", "drawn over their whole interval")
    share.set(ylabel="quotes, %", xlabel="week")
    share.set_ylim(bottom=0)
    share.legend(fontsize=8, frameon=False)
    for axis in (profit, slope, share):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _lines(axis: Axes, cycles: pd.DataFrame, name: str, colour: str, label: str, scale: float = 100) -> None:
    wide = scale * cycles.pivot(index="cycle", columns="seed", values=name).astype("float64")
    axis.plot(wide.index, wide, color=colour, lw=0.8, alpha=0.35)
    axis.plot(wide.index, wide.mean(axis=1), "o-", ms=3, color=colour, label=label)
