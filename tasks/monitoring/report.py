"""Report: what monitoring found, as a page and a plot of the flow run."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact

from models.demand.demand_curve import DemandCurve
from models.demand.metrics import Outcomes, calibration_table
from models.evidence.drift import Finding
from tasks.markdown import markdown_table, show_page
from tasks.monitoring.judge import Surveillance
from tasks.monitoring.observe import Observation
from tasks.monitoring.trends import trend_plot, trend_table, trends
from tasks.plots import ACCENT, INK, MUTED, data_url
from tasks.registry.pages import version_link

FEW_ANSWERS = 100  # fewer do not fill ten parts


@task
def report_monitoring(surveillance: Surveillance, observation: Observation) -> None:
    """Keep the findings as a Markdown page; the rules' trends, and promised against realised, as plots."""
    create_markdown_artifact(
        monitor_page(surveillance, observation), key="monitor", description=f"Book {observation.book_id}"
    )
    policy = observation.policy
    create_image_artifact(
        data_url(trend_plot(trends(observation), policy.exploration.drawn_share, policy.fairness.parity_bound)),
        key="monitor-trends",
        description="Quotes outside their interval, the gap between groups and the explored share, by window.",
    )
    if len(answered := with_promises(observation)):
        create_image_artifact(
            data_url(_plot(answered, observation)),
            key="monitor-promises",
            description="What the model promised and what happened, by window.",
        )


@task
def report_nothing_live(why: str) -> None:
    """Keep on the same page why there was nothing to observe."""
    show_page(f"# Nothing to monitor\n\nIt is as it should be: {why}.", "monitor", "No book is live")


def monitor_page(surveillance: Surveillance, observation: Observation) -> str:
    """The findings as Markdown: alarms, the newest window, every window's breaches, and calibration by tenth."""
    newest, answered = surveillance.findings[-1], with_promises(observation)
    alarms = [f"- **{alarm.action.replace('_', ' ')}**: {', '.join(alarm.checks)}" for alarm in surveillance.alarms]
    sampled = "" if observation.sampled_users == 1 else f", of {observation.sampled_users:.1%} of the users"
    quiet = "No alarm." if len(observation.quotes) else "No alarm; nobody was quoted a price yet."
    lines = [
        f"# Monitoring of book {observation.book_id}, model version {observation.model_version}",
        "",
        f"In MLflow: {version_link(observation.model_version)}.",
        "",
        f"{len(observation.quotes):,} personal quotes{sampled}, {len(answered):,} with a known outcome, in "
        f"{len(observation.ends)} windows up to {observation.ends[-1]:%Y-%m-%d %H:%M} UTC.",
        "",
        *(alarms or [quiet]),
        "",
        "## Checks",
        "",
        "Above 100 % of its limit a check is in breach. A dot is a window within the limit, a cross one in breach, a "
        "dash one with too little to tell; newest last.",
        "",
        markdown_table(
            ["check", "leads to", "newest window", "of its limit", "windows"],
            [_row(finding, surveillance) for finding in newest],
            right=["of its limit"],
        ),
    ]
    lines += [
        "",
        "## Window by window",
        "",
        trend_table(trends(observation), observation.policy.exploration.drawn_share),
    ]
    if len(answered) >= FEW_ANSWERS:
        lines += ["", "## Promised and realised purchases, by tenth of the promise", "", _calibration(answered)]
    return "\n".join(lines)


def with_promises(observation: Observation) -> pd.DataFrame:
    """The answered quotes, with the probability that the model gave each to be bought."""
    answered = observation.answered
    curve = DemandCurve(answered["sensitivity"].to_numpy("float64"), answered["valuation"].to_numpy("float64"))
    return answered.assign(promised=curve.purchase_probability(answered["price"] / answered["list_price"]))


def _row(finding: Finding, surveillance: Surveillance) -> list[str]:
    seen = [each for window in surveillance.findings for each in window if each.check == finding.check]
    marks = "".join("—" if np.isnan(each.value) else "✗" if each.is_breached else "·" for each in seen)
    of_limit = finding.value / finding.limit if finding.limit else np.nan  # NaN too where nothing is known or demanded
    share = "" if np.isnan(of_limit) else f"{of_limit:.0%}"
    name, action = (words.replace("_", " ") for words in (finding.check, finding.action))
    return [name, action, ", ".join(filter(None, [finding.excess, f"{finding.rows:,} rows"])), share, marks]


def _calibration(answered: pd.DataFrame) -> str:
    bought = answered["purchased"].to_numpy("float64")
    outcomes = Outcomes.of(bought, np.ones(len(bought)), answered["user_id"])
    table = calibration_table(outcomes, answered["promised"].to_numpy("float64"))
    columns = ["tenth", "quotes", "promised", "realised"]
    rows = (
        [str(row.decile), f"{row.rows:,}", f"{row.predicted:.2%}", f"{row.observed:.2%}"] for row in table.itertuples()
    )
    return markdown_table(columns, rows, right=columns)


def _plot(answered: pd.DataFrame, observation: Observation) -> Figure:
    margin = (answered["price"] - answered["unit_cost"]) * answered["quantity"]
    bought = answered["purchased"].astype("float64")
    sums = pd.DataFrame(
        {
            "window": answered["window"],
            "quotes": 1.0,
            "purchases promised": answered["promised"],
            "purchases realised": bought,
            "profit promised": margin * answered["promised"],
            "profit realised": margin * bought,
        }
    )
    by_window = sums.groupby("window").sum()
    ends = [observation.ends[number] for number in by_window.index]
    figure = Figure(figsize=(7, 5), layout="constrained")
    purchases, profit = figure.subplots(2, sharex=True)
    figure.suptitle("What the model promised, and what happened", x=0.01, ha="left", color=INK)
    for axes, name, unit in ((purchases, "purchases", "purchases a quote"), (profit, "profit", observation.currency)):
        axes.plot(ends, by_window[f"{name} promised"] / by_window["quotes"], "o--", color=MUTED, label="promised")
        axes.plot(ends, by_window[f"{name} realised"] / by_window["quotes"], "o-", color=ACCENT, label="realised")
        axes.set_ylabel(unit if name == "purchases" else f"profit a quote, {unit}")
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.spines[["top", "right"]].set_visible(False)
    purchases.legend(frameon=False, loc="lower left")
    figure.autofmt_xdate()
    return figure
