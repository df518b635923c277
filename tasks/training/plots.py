"""The plots of a model's page: what a reviewer looks at before approving it."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.demand.demand_curve import DemandCurve
from models.demand.evaluation import Evaluation
from models.features.decisions import Decisions
from tasks.plots import ACCENT, INK, MUTED, titled_axes
from tasks.training.fit import TrainedDemand

CURVES_DRAWN = 200


def model_plots(trained: TrainedDemand, evaluation: Evaluation) -> dict[str, Figure]:
    """Figures by file name."""
    test = trained.split.test
    return {
        "log_loss.png": _log_loss(evaluation.comparison),
        "calibration.png": _calibration(evaluation.calibration),
        "price_response.png": _price_response(evaluation.curve, test),
        "elasticity.png": _elasticity(evaluation.curve, test),
        "learning_curve.png": _learning_curve(trained),
    }


def _log_loss(comparison: pd.DataFrame) -> Figure:
    losses = comparison.query("metric == 'log_loss'").sort_values("value", ascending=False)
    figure, axes = titled_axes("Held-out log loss, lower is better", "log loss with 95 % interval", "")
    spread = [losses["value"] - losses["low"], losses["high"] - losses["value"]]
    axes.errorbar(losses["value"], losses["model"], xerr=spread, fmt="o", color=ACCENT, capsize=3)
    return figure


def _calibration(table: pd.DataFrame) -> Figure:
    figure, axes = titled_axes("Predicted against observed purchases, by tenth", "predicted rate", "observed rate")
    largest = float(table[["predicted", "observed"]].to_numpy().max()) * 1.05
    axes.plot([0, largest], [0, largest], color=MUTED, linewidth=1, label="perfect")
    axes.plot(table["predicted"], table["observed"], "o-", color=ACCENT, label="held-out weeks")
    axes.legend(frameon=False)
    return figure


def _price_response(curve: DemandCurve, offers: Decisions) -> Figure:
    figure, axes = titled_axes("How purchases answer to price", "price / list price", "purchase probability")
    low, high = np.quantile(offers.price_ratio, [0.01, 0.99])
    ratios = np.linspace(min(low, 0.7), max(high, 1.1), 60)
    drawn = curve.take(np.linspace(0, len(curve) - 1, CURVES_DRAWN).astype(np.int64))
    curves = np.array([drawn.purchase_probability(np.full(len(drawn), ratio)) for ratio in ratios])
    bands = np.quantile(curves, [0.1, 0.5, 0.9], axis=1)
    axes.fill_between(ratios, bands[0], bands[2], color=ACCENT, alpha=0.15, label="10 to 90 % of offers")
    axes.plot(ratios, bands[1], color=ACCENT, label="median offer")
    axes.legend(frameon=False)
    return figure


def _elasticity(curve: DemandCurve, offers: Decisions) -> Figure:
    figure, axes = titled_axes("Own-price elasticity at the prices shown", "elasticity", "weighted offers")
    axes.hist(curve.elasticity(offers.price_ratio), bins=60, weights=offers.weight, color=ACCENT)
    return figure


def _learning_curve(trained: TrainedDemand) -> Figure:
    report = trained.report.training
    epochs = range(1, len(report.training_loss) + 1)
    figure, axes = titled_axes("Learning curve", "epoch", "log loss")
    axes.plot(epochs, report.training_loss, color=MUTED, label="training")
    axes.plot(epochs, report.validation_loss, "o-", color=ACCENT, label="validation")
    axes.axvline(report.best_epoch, color=INK, linewidth=0.8, linestyle=":", label="kept")
    axes.legend(frameon=False)
    return figure
