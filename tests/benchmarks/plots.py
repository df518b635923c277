"""The benchmark's figures, drawn from the records of its cells alone."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")  # no display is needed to write files
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.experiments import CURVE_METHODS, DOMAINS, RANDOMISED_SHARES, TRAINING_SHARES, Size
from tests.benchmarks.methods import LABELS, METHODS, OURS
from tests.benchmarks.summary import summarise

_OUR_COLOUR, _PEER_COLOUR, _TRUTH_COLOUR = "#1b6ca8", "#b8c4cc", "#222222"
_COLOURS = {OURS: _OUR_COLOUR, "logit": "#d98c3f", "lightgbm_monotone": "#7a9e5f"}
_STANDARD_SHARE = 0.1


def write_plots(records: list[dict[str, Any]], size: Size, folder: Path) -> None:
    """Write one PNG a figure for which there are cells."""
    done = [record for record in records if record["status"] == "ok"]
    summary = summarise(done)
    main = [record for record in done if record["experiment"] == "main"]
    domains = [domain for domain in DOMAINS if any(record["domain"] == domain for record in main)]
    if not domains:
        return
    _save(regret_bars(summary, domains), folder / "regret.png")
    first = [record for record in main if record["seed"] == main[0]["seed"]]
    _save(price_response(first, domains), folder / "price_response.png")
    _save(calibration_curves(first, domains), folder / "calibration.png")
    shares = {share: float(share) for share in RANDOMISED_SHARES} | {"": _STANDARD_SHARE}
    sizes = {share: float(share) * size.offers for share in TRAINING_SHARES} | {"": float(size.offers)}
    for experiment, places, label in (
        ("randomised_share", shares, "share of logged prices drawn at random"),
        ("training_size", sizes, "logged offers"),
    ):
        if (summary["experiment"] == experiment).any():
            # The curve is of one seed, and so must its point at the main experiment's setting be.
            seeds = {record["seed"] for record in done if record["experiment"] == experiment}
            figure = regret_along(
                summarise([r for r in done if r["seed"] in seeds]), experiment, places, label, domains
            )
            _save(figure, folder / f"{experiment}.png")


def regret_bars(summary: pd.DataFrame, domains: list[str]) -> Figure:
    """Draw each method's regret in each domain, with its interval."""
    regret = summary[(summary["measure"] == "regret") & (summary["experiment"] == "main")]
    figure, axes = _panels(domains, height=4.2, sharey=True)
    methods = [method for method in METHODS if method in set(regret["method"])]
    for axis, domain in zip(axes, domains, strict=True):
        rows = regret[regret["domain"] == domain].set_index("method").reindex(methods)
        errors = 100 * np.clip([rows["mean"] - rows["low"], rows["high"] - rows["mean"]], 0, None)
        colours = [_COLOURS[OURS] if method == OURS else _PEER_COLOUR for method in methods]
        axis.barh(range(len(methods)), 100 * rows["mean"], xerr=errors, color=colours, error_kw={"lw": 1})
        axis.set_yticks(range(len(methods)), [_plain(method) for method in methods])
        axis.set(title=domain, xlabel="regret, % of best profit", xlim=(0, 1.15 * 100 * rows["mean"].max()))
    axes[0].invert_yaxis()
    return figure


def price_response(records: list[dict[str, Any]], domains: list[str]) -> Figure:
    """Draw true and predicted purchase probability over the price for a few requests of each domain."""
    examples = {
        (record["domain"], record["method"]): record["examples"]
        for record in records
        if record["method"] in CURVE_METHODS
    }
    count = max(len(example["true"]) for example in examples.values())
    figure, axes = plt.subplots(len(domains), count, figsize=(3 * count, 2.3 * len(domains)), squeeze=False)
    for row, domain in zip(axes, domains, strict=True):
        of_domain = {method: examples[domain, method] for method in CURVE_METHODS if (domain, method) in examples}
        for number, axis in enumerate(row):
            for method, example in of_domain.items():
                axis.plot(example["price_ratio"][number], example["true"][number], color=_TRUTH_COLOUR, lw=2.5, ls=":")
                axis.plot(example["price_ratio"][number], example["predicted"][number], color=_COLOURS[method])
            axis.set_ylim(bottom=0)
        row[0].set_ylabel(f"{domain}\nP(buy)")
    for axis in axes[-1]:
        axis.set_xlabel("price / list price")
    lines = [plt.Line2D([], [], color=_TRUTH_COLOUR, ls=":", lw=2.5)]
    lines += [plt.Line2D([], [], color=_COLOURS[method]) for method in CURVE_METHODS]
    figure.legend(lines, ["truth", *map(_plain, CURVE_METHODS)], loc="outside upper center", ncols=4)
    return figure


def calibration_curves(records: list[dict[str, Any]], domains: list[str]) -> Figure:
    """Draw the observed purchase rate of each tenth of the requests over the predicted one."""
    figure, axes = _panels(domains, height=3)
    for axis, domain in zip(axes, domains, strict=True):
        for record in records:
            if record["domain"] == domain and record["method"] in CURVE_METHODS:
                found = record["calibration"]
                colour, label = _COLOURS[record["method"]], _plain(record["method"])
                axis.plot(found["predicted"], found["observed"], "o-", ms=3, color=colour, label=label)
        axis.axline((0, 0), slope=1, color=_TRUTH_COLOUR, ls=":")
        axis.set(title=domain, xlabel="predicted")
    axes[0].set_ylabel("observed")
    axes[0].legend(fontsize=7)
    return figure


def regret_along(
    summary: pd.DataFrame, experiment: str, places: dict[str, float], label: str, domains: list[str]
) -> Figure:
    """Draw the regret over `places` of the settings; the setting "" is that of the main experiment."""
    chosen = summary["experiment"].isin(["main", experiment]) & summary["method"].isin(CURVE_METHODS)
    regret = summary[(summary["measure"] == "regret") & chosen]
    regret = regret.assign(place=regret["setting"].map(places)).sort_values("place")
    figure, axes = _panels(domains, height=3)
    for axis, domain in zip(axes, domains, strict=True):
        for method in CURVE_METHODS:
            rows = regret[(regret["domain"] == domain) & (regret["method"] == method)]
            errors = 100 * np.clip([rows["mean"] - rows["low"], rows["high"] - rows["mean"]], 0, None)
            axis.errorbar(
                rows["place"], 100 * rows["mean"], errors, fmt="o-", ms=3, color=_COLOURS[method], label=_plain(method)
            )
        axis.set(title=domain, xlabel=label)
        axis.set_ylim(bottom=0)
    axes[0].set_ylabel("regret, % of best profit")
    axes[0].legend(fontsize=7)
    return figure


def _panels(domains: list[str], height: float, *, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(1, len(domains), figsize=(3.4 * len(domains) + 1, height), squeeze=False, sharey=sharey)
    return figure, list(axes[0])


def _plain(method: str) -> str:
    return LABELS[method].replace("**", "")


def _save(figure: Figure, file: Path) -> None:
    if figure.legends:
        figure.set_layout_engine("constrained")
    else:
        figure.tight_layout()
    figure.savefig(file, dpi=130)
    plt.close(figure)
