"""Trends: what was quoted under the policy's rules, window by window, as figures and a plot."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.evidence.drift import explorable_pairs, outside_interval
from models.pricing.fairness import Parity, price_parity
from tasks.markdown import markdown_table
from tasks.monitoring.observe import Observation
from tasks.plots import ACCENT, INK, MUTED


def quoted_parity(quotes: pd.DataFrame) -> Parity:
    """How the prices quoted compare between groups, each relative to the uniform price beside it."""
    prices = quotes[["price", "uniform_price"]].assign(purchase_probability=1.0)
    return price_parity(prices, quotes["user_id"], quotes["group"]).offered


def trends(observation: Observation) -> pd.DataFrame:
    """One row a window, by its end: quotes, how many outside their interval, the gap between groups, explored share.

    The gap is NaN with fewer than two groups, the share with no pair that had more than one admissible price.
    """
    quotes = observation.quotes
    windows = [quotes[quotes["window"] == number] for number in range(len(observation.ends))]
    return pd.DataFrame(map(_of_window, windows), index=observation.ends)


def trend_table(table: pd.DataFrame, explored: float) -> str:
    """The same as Markdown, beside the share that the policy explores."""
    columns = ["up to", "quotes", "outside their interval", "gap between groups", f"explored, of {explored:.1%}"]
    rows = (
        [
            f"{end:%Y-%m-%d %H:%M}",
            f"{row['quotes']:,.0f}",
            f"{row['outside']:,.0f}",
            _share(row["gap"]),
            _share(row["explored"]),
        ]
        for end, row in zip(table.index, table.to_dict("records"), strict=True)
    )
    return markdown_table(columns, rows, right=columns[1:])


def trend_plot(table: pd.DataFrame, explored: float, bound: float | None) -> Figure:
    """The three as lines over the windows' ends, with the policy's share and bound beside them."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    outside, gap, share = figure.subplots(3, sharex=True)
    figure.suptitle("Quotes under the policy's rules", x=0.01, ha="left", color=INK)
    for axes, values, limit, name in (
        (outside, table["outside"], 0.0, "quotes outside\ntheir interval"),
        (gap, 100 * table["gap"], None if bound is None else 100 * bound, "gap between\ngroups, %"),
        (share, 100 * table["explored"], 100 * explored, "explored, %"),
    ):
        axes.plot(table.index, values, "o-", color=ACCENT)
        if limit is not None:
            axes.axhline(limit, color=MUTED, linestyle="--")
        axes.set_ylabel(name)
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.spines[["top", "right"]].set_visible(False)
    figure.autofmt_xdate()
    return figure


def _of_window(quotes: pd.DataFrame) -> dict[str, float]:
    pairs, parity = explorable_pairs(quotes), quoted_parity(quotes)
    return {
        "quotes": float(len(quotes)),
        "outside": float(outside_interval(quotes)),
        "gap": parity.gap if len(parity.groups) > 1 else np.nan,
        "explored": float(pairs["randomised"].mean()) if len(pairs) else np.nan,
    }


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1%}"
