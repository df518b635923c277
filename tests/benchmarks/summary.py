"""From the records of all cells to one row a method, domain and measure, with mean and interval."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from models.demand.metrics import Estimate
from tests.benchmarks.methods import OURS

CELL = ["experiment", "setting", "domain", "method"]
TARGET_WMAPE, TARGET_TWIN_RATIO, TARGET_ECE = 0.06, 1.3, 0.02
TARGET_REGRET = {"ecommerce": 0.05, "finance": 0.05, "hotel": 0.08}


def summarise(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return experiment, setting, domain, method, measure, mean, low, high, seeds and interval, one row each.

    Over several seeds the interval is Student's t over their values; of a single seed it is the bootstrap over users.
    """
    rows = [
        {name: record[name] for name in CELL} | {"measure": measure, "estimate": Estimate(*values)}
        for record in records
        if record["status"] == "ok"
        for measure, values in _measures(record).items()
    ]
    table = pd.DataFrame(rows, columns=[*CELL, "measure", "estimate"])
    groups = table.groupby([*CELL, "measure"], sort=False)["estimate"]
    found = [dict(zip([*CELL, "measure"], key, strict=True)) | _over_seeds(list(group)) for key, group in groups]
    return pd.DataFrame(found, columns=[*CELL, "measure", "mean", "low", "high", "seeds", "interval"])


def troubles(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of cells that failed or whose package is not installed."""
    return [record for record in records if record["status"] != "ok"]


def twin_ratios(summary: pd.DataFrame) -> pd.DataFrame:
    """Return domain, method and WMAPE on the confounded log, on its unconfounded twin, and their ratio."""
    wmape = summary[summary["measure"] == "wmape"].pivot_table(
        index=["domain", "method"], columns="experiment", values="mean", sort=False
    )
    if not {"main", "unconfounded"} <= set(wmape):
        return pd.DataFrame(columns=["domain", "method", "main", "unconfounded", "ratio"])
    both = wmape.dropna(subset=["main", "unconfounded"])
    return both.assign(ratio=both["main"] / both["unconfounded"]).reset_index()


def aims(summary: pd.DataFrame) -> pd.DataFrame:
    """Return what our method should reach: domain, aim, limit, found and whether it is met.

    The aim against others counts those that ran, so that one met for want of peers is seen to be.
    """
    rows = []
    main = summary[summary["experiment"] == "main"]
    for domain, group in main.groupby("domain", sort=False):
        mean = group.pivot_table(index="method", columns="measure", values="mean")
        if OURS not in mean.index or "regret" not in mean:
            continue
        ours, peers = mean.loc[OURS], mean.drop(index=[OURS, "best_uniform"], errors="ignore")
        limits = [(f"regret below the best of {len(peers)} others", peers["regret"].min(), ours["regret"])]
        if domain in TARGET_REGRET:
            limits.append(("regret", TARGET_REGRET[str(domain)], ours["regret"]))
        least = f", where nobody can go below {ours['least_wmape']:.3f}" if "least_wmape" in ours else ""
        limits += [(f"counterfactual WMAPE{least}", TARGET_WMAPE, ours["wmape"]), ("ECE", TARGET_ECE, ours["ece"])]
        limits.append(("wrong signs", 0.0, 1 - ours["sign_accuracy"]))
        rows += [{"domain": domain, "aim": aim, "limit": limit, "found": value} for aim, limit, value in limits]
    twins = twin_ratios(summary)
    for twin in twins[twins["method"] == OURS].to_dict("records"):
        aim = {"domain": twin["domain"], "aim": "WMAPE over the twin's", "limit": TARGET_TWIN_RATIO}
        rows.append(aim | {"found": twin["ratio"]})
    table = pd.DataFrame(rows, columns=["domain", "aim", "limit", "found"])
    return table.assign(met=table["found"].astype("float64") <= table["limit"].astype("float64"))


def _measures(record: dict[str, Any]) -> dict[str, list[float]]:
    seconds = {name: [record[name], np.nan, np.nan] for name in ("fit_seconds", "price_seconds")}
    return record["measures"] | seconds


def _over_seeds(estimates: list[Estimate]) -> dict[str, Any]:
    values = np.array([estimate.value for estimate in estimates])
    seeds, mean = len(values), float(values.mean())
    if seeds == 1:
        _, low, high = estimates[0]
        return {"mean": mean, "low": low, "high": high, "seeds": 1, "interval": "bootstrap over users"}
    half = float(stats.t.ppf(0.975, seeds - 1) * values.std(ddof=1) / np.sqrt(seeds))
    return {"mean": mean, "low": mean - half, "high": mean + half, "seeds": seeds, "interval": "t over seeds"}
