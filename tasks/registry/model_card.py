"""The model card: what a reviewer reads on a version's page before letting it price."""

import pandas as pd

from models.demand.evaluation import Evaluation
from tasks.data.snapshots import Snapshot
from tasks.markdown import markdown_table
from tasks.training.evaluate import evidence_line
from tasks.training.fit import TrainedDemand

SHOWN_METRICS = {  # with what is good
    "log_loss": "log loss (lower)",
    "auc": "AUC (higher)",
    "ece": "calibration error (lower)",
    "calibration_ratio": "predicted / observed (near 1)",
}


def model_card(trained: TrainedDemand, evaluation: Evaluation, snapshot: Snapshot, run_id: str) -> str:
    """Markdown; a pipe table needs an empty line before it to be rendered."""
    return "\n".join(
        [
            f"# Demand model of {snapshot.dataset}",
            "",
            "Predicts how likely a user is to buy a product at a price. Purchase probability is "
            "σ(b·(v − price/list price)) with sensitivity b > 0, so demand falls in price for every row.",
            "",
            "## Data",
            "",
            f"- snapshot `{snapshot.snapshot_id}`",
            f"- newest fact {snapshot.as_of:%Y-%m-%d %H:%M} UTC, money in {snapshot.currency}",
            *(f"- {_part(name, part.frame)}" for name, part in trained.split._asdict().items()),
            f"- {int(evaluation.figures['randomised_offers']):,} offers had a randomised price",
            "",
            "## Held-out weeks",
            "",
            _table(evaluation.comparison),
            "",
            "95 % intervals from a bootstrap over users. What is better stands behind each name.",
            "",
            "## Price response",
            "",
            f"- demand falls with price on {evaluation.figures['sign_accuracy']:.1%} of held-out offers",
            f"- mean own-price elasticity {evaluation.figures['elasticity_mean']:.2f}; nine in ten offers lie "
            f"above {evaluation.figures['elasticity_10th_percentile']:.2f} "
            f"and one in ten above {evaluation.figures['elasticity_90th_percentile']:.2f}",
            f"- {_identification(trained)}",
            f"- {_recalibration(trained)}",
            "",
            "## What its prices would have earned",
            "",
            f"- {evidence_line(evaluation.figures)} (money in {snapshot.currency})",
            *_checks(evaluation.figures),
            "",
            "## Limits",
            "",
            "- A logged price that moved with demand nobody recorded biases the response; only randomised offers "
            "can prove that none is left.",
            "- Protected groups are never a feature. Users without consent are priced as the population.",
            f"- Plots and tables: run `{run_id}`, folders plots and evaluation.",
        ]
    )


def _checks(figures: dict[str, float]) -> list[str]:
    sample = f"of {figures['priced_sample']:,.0f} held-out offers priced again"
    parity = f"mean prices of groups differ by {figures['parity_gap']:.2%}"
    lines = [
        f"- {sample}, {figures['guardrail_violations']:.0f} break a guardrail and "
        f"{figures['protected_group_changes']:.0f} change with the protected group; {parity}"
    ]
    if "latency_ratio" in figures:
        lines.append(f"- {figures['latency_ratio']:.2f} × the champion's time for the same decisions")
    return lines


def _part(name: str, frame: pd.DataFrame) -> str:
    first, last = frame["decided_at"].min(), frame["decided_at"].max()
    return f"{name}: {len(frame):,} offers, {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _table(comparison: pd.DataFrame) -> str:
    chosen = comparison[comparison["metric"].isin(SHOWN_METRICS)]
    shown = chosen.assign(
        shown=[f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in chosen.itertuples()]
    ).pivot(index="model", columns="metric", values="shown")[list(SHOWN_METRICS)]
    rows = ([model, *cells] for model, cells in zip(shown.index, shown.to_numpy(), strict=True))
    return markdown_table(["model", *SHOWN_METRICS.values()], rows)


def _identification(trained: TrainedDemand) -> str:
    stage = trained.report.first_stage
    if stage.reason:
        return f"no control function: {stage.reason}"
    return (
        f"control function on the instruments: partial R² {stage.partial_r2:.4f}, F {stage.f:.1f} (above 10 is strong)"
    )


def _recalibration(trained: TrainedDemand) -> str:
    fitted = trained.fitted.recalibration
    if fitted.method == "randomised":
        slope = f"price slope s₂ = {fitted.measured_scale:.2f} (alarm above 1.4)"
        return f"recalibrated on {fitted.rows:,} randomised offers; {slope}"
    if fitted.method == "newest":
        return (
            f"no randomised offers to check the price slope; level and spread fit to {fitted.rows:,} validation offers"
        )
    return "not recalibrated"
