"""The plots of a price book: what a pricing manager looks at beside its figures."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.pricing.book_sample import BookSample
from models.pricing.frontier import profit_satisfaction_frontier
from tasks.plots import ACCENT, INK, MUTED, titled_axes

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WARM = "#d9480f"


def book_plots(sample: BookSample, parity: dict[str, Any]) -> dict[str, Figure]:
    """Figures by name; those that the data cannot fill are left out."""
    figures = {}
    if len(sample.prices):
        figures["price_response"] = _price_response(sample)
        figures["price_distribution"] = _price_distribution(sample)
        figures["profit_satisfaction_frontier"] = _frontier(sample)
    if len(parity["offered"]["groups"]) > 1:
        figures["parity_by_group"] = _parity(parity)
    return figures


def example_row(sample: BookSample) -> int:
    """A typical row: personal, not drawn at random, its distance from the uniform price the median one."""
    prices = sample.prices
    distance = prices["price"] / prices["uniform_price"] - 1
    is_apt = sample.request.decisions["consent"].astype(bool) & ~prices["randomised"] & np.isfinite(prices["upper"])
    if (is_apt & (distance != 0)).any():
        is_apt &= distance != 0
    distance = distance[is_apt] if is_apt.any() else distance
    return int(np.nanargmin((distance - distance.median()).abs().reindex(prices.index)))


def _price_response(sample: BookSample) -> Figure:
    row, request = example_row(sample), sample.request
    terms, priced = request.decisions.iloc[row], sample.prices.iloc[row]
    curve = request.curve.take(np.array([row]))
    marks = [terms["unit_cost"], terms["list_price"], priced["price"], priced["lower"], priced["upper"]]
    finite = np.array([mark for mark in marks if np.isfinite(mark)])
    price = np.linspace(0.9 * finite.min(), 1.12 * finite.max(), 300)
    bought = np.array([curve.purchase_probability(ratio)[0] for ratio in price / terms["list_price"]])

    figure = Figure(figsize=(7.6, 5.4), layout="constrained")
    demand, profit = figure.subplots(2, sharex=True)
    figure.suptitle(f"One user's answer to the price of product {terms['product_id']}", x=0.01, ha="left", color=INK)
    demand.plot(price, 100 * bought, color=INK)
    demand.set_ylabel("chance to buy, %")
    profit.plot(price, (price - terms["unit_cost"]) * bought, color=INK)
    profit.set_ylabel(f"expected profit, {request.currency}")
    profit.set_xlabel(f"price, {request.currency}")
    for axes in (demand, profit):
        axes.spines[["top", "right"]].set_visible(False)
        _mark_prices(axes, terms, priced, price[-1])
    figure.legend(*demand.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _mark_prices(axes: Axes, terms: pd.Series, priced: pd.Series, farthest: float) -> None:
    axes.axvspan(priced["lower"], min(priced["upper"], farthest), color=ACCENT, alpha=0.12, label="guardrails")
    axes.axvline(terms["unit_cost"], color=MUTED, linestyle=":", label="unit cost")
    axes.axvline(terms["list_price"], color=MUTED, linestyle="--", label="list price")
    axes.axvline(priced["uniform_price"], color=WARM, linestyle="-.", label="uniform price")
    axes.axvline(priced["price"], color=ACCENT, linewidth=2, label="chosen price")


def _price_distribution(sample: BookSample) -> Figure:
    list_price = sample.request.decisions["list_price"]
    personal, uniform = sample.prices["price"] / list_price, sample.prices["uniform_price"] / list_price
    figure, axes = titled_axes(
        f"Personal against uniform prices ({len(personal):,} prices)", "price, % of list price", "share of prices, %"
    )
    both = 100 * np.concatenate([personal, uniform])
    bins = np.linspace(np.floor(both.min()) - 1, np.ceil(max(both.max(), 100)) + 1, 50).tolist()
    share = np.full(len(personal), 100 / len(personal))
    axes.hist(100 * uniform, bins, weights=share, color=WARM, alpha=0.35, label=f"uniform, mean {uniform.mean():.1%}")
    axes.hist(
        100 * personal, bins, weights=share, histtype="step", linewidth=1.8, color=ACCENT,
        label=f"personal, mean {personal.mean():.1%}",
    )  # fmt: skip
    axes.axvline(100, color=MUTED, linestyle="--", label="list price")
    axes.legend(frameon=False, loc="upper left")
    return figure


def _frontier(sample: BookSample) -> Figure:
    own, currency = sample.request.policy.satisfaction_weight, sample.request.currency
    points = profit_satisfaction_frontier(sample, sorted({*WEIGHTS, own}))
    figure, axes = titled_axes(
        "What satisfaction costs in profit, inside this policy's guardrails",
        f"consumer surplus per decision, {currency}",
        f"profit per decision, {currency}",
    )
    axes.plot(points["surplus"], points["profit"], "o-", color=MUTED, label="satisfaction weight θ")
    is_end = points["satisfaction_weight"].isin([WEIGHTS[0], WEIGHTS[-1]])
    for point in points[is_end & (points["satisfaction_weight"] != own)].itertuples():
        axes.annotate(f"θ = {point.satisfaction_weight:g}", (point.surplus, point.profit), (6, 6),
                      textcoords="offset points", color=INK)  # fmt: skip
    here = points[points["satisfaction_weight"] == own]
    axes.plot(here["surplus"], here["profit"], "o", color=ACCENT, markersize=10, label=f"this policy, θ = {own:g}")
    axes.margins(x=0.12, y=0.12)
    axes.legend(frameon=False, loc="lower left")
    return figure


def _parity(parity: dict[str, Any]) -> Figure:
    figure, axes = titled_axes(
        "Prices by group, with 95 % intervals", "mean price, % of the uniform price of the same product", ""
    )
    names = [group["group"] for group in parity["offered"]["groups"]]
    for (kind, label, colour), shift in zip(_kinds(), (0.12, -0.12), strict=True):
        groups = parity[kind]["groups"]
        mean = np.array([100 * group["mean"] for group in groups])
        spread = [mean - [100 * group["low"] for group in groups], [100 * group["high"] for group in groups] - mean]
        label = f"{label} (gap {parity[kind]['gap']:.2%})"
        place = np.arange(len(groups)) + shift
        axes.errorbar(mean, place, xerr=spread, fmt="o", color=colour, capsize=3, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _kinds() -> Iterator[tuple[str, str, str]]:
    yield "offered", "as offered", ACCENT
    yield "demand_weighted", "as expected to be paid", WARM
