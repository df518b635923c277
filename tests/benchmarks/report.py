"""The benchmark's tables as Markdown and CSV."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks.curves import GRID_POINTS
from tests.benchmarks.experiments import (
    DOMAINS,
    LARGE_CATALOGUE,
    NEW_SHARE,
    RANDOMISED_SHARES,
    TRAINING_SHARES,
    Size,
)
from tests.benchmarks.methods import LABELS, METHODS, OURS
from tests.benchmarks.mixed_logit import DRAWS, FIT_ROWS
from tests.benchmarks.peers import FOREST_ROWS, FOREST_TREES
from tests.benchmarks.summary import aims, summarise, troubles, twin_ratios

_HEADINGS = {
    "regret": "regret %",
    "wmape": "WMAPE ±10 %",
    "product_wmape": "of products",
    "decile_wmape": "of tenths",
    "least_wmape": "least",
    "reachable_wmape": "reachable",
    "sign_accuracy": "falls in price",
    "ece": "ECE",
    "log_loss": "log loss",
    "fit_seconds": "fit s",
    "price_seconds": "price s",
}
_DIGITS = {
    "sign_accuracy": 3,
    "ece": 3,
    "log_loss": 4,
    "fit_seconds": 1,
    "price_seconds": 1,
    "wmape": 3,
    "product_wmape": 3,
    "decile_wmape": 3,
    "least_wmape": 3,
    "reachable_wmape": 3,
}
_NOTES = f"""Regret is the share of the best possible true expected profit that a method's prices forgo, over the full
guardrail range. WMAPE compares true and predicted purchase probability at the last logged price x 0.9 and x 1.1, with
quantities as weights: row by row, "of products" the same of each product's total over the week, and "of tenths" that
of the tenths of the requests by predicted probability. "Least" is the row by row error of who knows the simulation and
all of its users but what their traces leave open of their tastes and of today's intent: no method can go below it.
"Reachable" is that of trees that were fitted to the hidden truth of other users from the same features. "Falls in
price" is the share of requests whose probability is lower at the dearer of the two. ECE and log loss are at the last
logged price, against outcomes drawn from the truth. In brackets: 95 % intervals, Student's t over seeds, or the
bootstrap over users where there is one seed. Seconds do not include the plain table that the peers share. Capped for
cost: a random forest has {FOREST_TREES} trees of {FOREST_ROWS:,} rows, the mixed logit is fit on {FIT_ROWS:,} offers
of whole users with {DRAWS} draws, and grids have {GRID_POINTS} prices.

The folds of LinearDML and OrthoIV were chosen by their regret on the requests of e-commerce, seed 0, which is the data
they are judged on there: their figures in that cell are flattered, in these peers' favour."""


def write_report(records: list[dict[str, Any]], size: Size, folder: Path) -> pd.DataFrame:
    """Write `benchmark.md` and `benchmark.csv` and return the summary they show."""
    summary = summarise(records)
    folder.mkdir(parents=True, exist_ok=True)
    summary.to_csv(folder / "benchmark.csv", index=False)
    (folder / "benchmark.md").write_text(markdown(records, summary, size))
    return summary


def markdown(records: list[dict[str, Any]], summary: pd.DataFrame, size: Size) -> str:
    """Return all tables, the ones that have no cells yet left out."""
    title = f"{size.offers:,} logged offers, {size.users:,} users, {size.products:,} products, confounded log"
    parts = [f"# Benchmark: {title}", _NOTES, _headline(summary), _aims(summary)]
    parts += [_of_domain(domain, summary, records) for domain in DOMAINS]
    parts += [_twins(summary), _ablation(summary)]
    parts.append(
        _along(
            "randomised_share",
            [*RANDOMISED_SHARES[:3], "", *RANDOMISED_SHARES[3:]],
            "Regret % by randomised share",
            summary,
        )
    )
    parts.append(_along("training_size", [*TRAINING_SHARES, ""], "Regret % by share of the offers", summary))
    parts.append(_content("new_products", f"Regret % of products never offered ({NEW_SHARE:.0%} of all)", summary))
    parts.append(_content("large_catalogue", f"Regret % with {LARGE_CATALOGUE:,} products", summary))
    parts.append(_troubles(records))
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(summary: pd.DataFrame) -> str:
    regret = _main(summary)[lambda table: table["measure"] == "regret"]
    domains = [domain for domain in DOMAINS if domain in set(regret["domain"])]
    if not domains:
        return ""
    text = _texts(regret).set_index(["method", "domain"])["text"]
    rows = [
        [LABELS[method], *(text.get((method, domain), "") for domain in domains)]
        for method in METHODS
        if method in set(regret["method"])
    ]
    return "## Regret, % of the best possible profit\n\n" + _table(["method", *domains], rows)


def _of_domain(domain: str, summary: pd.DataFrame, records: list[dict[str, Any]]) -> str:
    found = _main(summary)[lambda table: table["domain"] == domain]
    if found.empty:
        return ""
    text = _texts(found).set_index(["method", "measure"])["text"]
    lost = {
        record["method"]: record["status"]
        for record in troubles(records)
        if record["domain"] == domain and record["experiment"] == "main"
    }
    present = set(found["method"])
    rows = [
        [LABELS[method], *(text.get((method, measure), lost.get(method, "")) for measure in _HEADINGS)]
        for method in METHODS
        if method in present or method in lost
    ]
    seeds = int(found["seeds"].max())
    return f"## {domain} ({seeds} seed{'s' * (seeds > 1)})\n\n" + _table(["method", *_HEADINGS.values()], rows)


def _aims(summary: pd.DataFrame) -> str:
    rows = [
        [
            row["domain"],
            row["aim"],
            f"≤ {row['limit']:.3f}",
            f"{row['found']:.3f}",
            "met" if row["met"] else "**missed**",
        ]
        for row in aims(summary).to_dict("records")
    ]
    return "## Aims\n\n" + _table(["domain", "aim", "limit", "found", ""], rows) if rows else ""


def _twins(summary: pd.DataFrame) -> str:
    rows = [
        [row["domain"], LABELS[row["method"]], *(f"{row[name]:.3f}" for name in ("main", "unconfounded", "ratio"))]
        for row in twin_ratios(summary).to_dict("records")
    ]
    heading = "## Counterfactual WMAPE on the confounded log and on its unconfounded twin\n\n"
    return heading + _table(["domain", "method", "confounded", "unconfounded", "ratio"], rows) if rows else ""


def _ablation(summary: pd.DataFrame) -> str:
    regret = summary[(summary["measure"] == "regret") & (summary["method"] == OURS)]
    without = regret[regret["experiment"] == "ablation"]
    if without.empty:
        return ""
    parts = pd.concat([_main(regret), without])
    text = _texts(parts).set_index(["setting", "domain"])["text"]
    domains = [domain for domain in DOMAINS if domain in set(without["domain"])]
    rows = [
        [setting or "whole", *(text.get((setting, domain), "") for domain in domains)]
        for setting in parts["setting"].unique()
    ]
    return "## Ablation of the demand model: regret %\n\n" + _table(["", *domains], rows)


def _along(experiment: str, settings: list[str], heading: str, summary: pd.DataFrame) -> str:
    """Return a table along shares or sizes; the setting "" is the main experiment, on the seeds it was run on."""
    regret = summary[summary["measure"] == "regret"]
    part = regret[regret["experiment"] == experiment]
    if part.empty:
        return ""
    text = _texts(pd.concat([_main(regret), part])).set_index(["setting", "domain", "method"])["text"]
    standard = {"randomised_share": "0.1", "training_size": "1"}[experiment]
    rows = [
        [domain, LABELS[method], *(text.get((setting, domain, method), "") for setting in settings)]
        for domain in DOMAINS
        for method in METHODS
        if ((part["domain"] == domain) & (part["method"] == method)).any()
    ]
    return f"## {heading}\n\n" + _table(["domain", "method", *(setting or standard for setting in settings)], rows)


def _content(experiment: str, heading: str, summary: pd.DataFrame) -> str:
    """Return our method whole and without texts and images, then its peers."""
    found = summary[(summary["experiment"] == experiment) & (summary["measure"] == "regret")]
    if found.empty:
        return ""
    text = _texts(found).set_index(["method", "setting", "domain"])["text"]
    domains = [domain for domain in DOMAINS if domain in set(found["domain"])]
    names = found[["method", "setting"]].drop_duplicates().itertuples(index=False)
    rows = [
        [", ".join(filter(None, (LABELS[method], setting))), *(text.get((method, setting, d), "") for d in domains)]
        for method, setting in names
    ]
    return f"## {heading}\n\n" + _table(["method", *domains], rows)


def _troubles(records: list[dict[str, Any]]) -> str:
    rows = [
        [
            record["experiment"],
            record["domain"],
            str(record["seed"]),
            record["method"],
            record["status"],
            record["error"],
        ]
        for record in troubles(records)
    ]
    headings = ["experiment", "domain", "seed", "method", "", "why"]
    return "## Methods that did not run\n\n" + _table(headings, rows) if rows else ""


def _main(summary: pd.DataFrame) -> pd.DataFrame:
    return summary[summary["experiment"] == "main"]


def _texts(summary: pd.DataFrame) -> pd.DataFrame:
    return summary.assign(text=[_text(row) for row in summary.to_dict("records")])


def _text(row: dict[str, Any]) -> str:
    """Return the mean with its interval, in percent for the regret."""
    scale, digits = (100, 1) if row["measure"] == "regret" else (1, _DIGITS[row["measure"]])
    mean = f"{scale * row['mean']:.{digits}f}"
    if row["measure"].endswith("_seconds") or row["low"] == row["high"] or np.isnan(row["low"]):
        return mean
    return f"{mean} [{scale * row['low']:.{digits}f}, {scale * row['high']:.{digits}f}]"


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
