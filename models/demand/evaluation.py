"""What a fitted demand model is worth on held-out offers, beside the baselines it must beat."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.baselines import BoostedTrees, ConstantRate, LinearRegression, PurchaseModel
from models.demand.demand_curve import DemandCurve
from models.demand.fitted import FittedDemand
from models.demand.metrics import Estimate, Outcomes, calibration_table, evaluate, log_loss_difference
from models.features.decisions import Decisions, Split

Array = NDArray[np.float64]

DEMAND_MODEL = "demand model"
CHAMPION = "champion"


@dataclass(frozen=True)
class Evaluation:
    """Measurements on the held-out offers.

    `comparison` has one row a model and metric (model, metric, value, low, high), `calibration` the demand model's
    tenths, `curve` its demand curves (held-out rows), and `figures` the single numbers the gates read.
    """

    comparison: pd.DataFrame
    calibration: pd.DataFrame
    curve: DemandCurve
    figures: dict[str, float]


def evaluate_demand(
    fitted: FittedDemand,
    split: Split,
    champion: DemandCurve | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a model fit on `split.train`, and baselines fit on the same offers, on `split.test`.

    All intervals are at 95 % and clustered by user. The curves are judged at the prices that were shown.
    `champion` is what the champion says of the test part.
    """
    test, rate = split.test, ConstantRate.fit(split.train)
    peers: dict[str, PurchaseModel] = {
        "constant rate": rate,
        "linear regression": LinearRegression.fit(split.train, fitted.encoding, seed),
        "boosted trees": BoostedTrees.fit(split.train, fitted.encoding, seed),
    }
    curve = fitted.curve(test)
    predicted = {name: model.probability(test, test.price_ratio) for name, model in peers.items()}
    if champion is not None:
        predicted[CHAMPION] = champion.purchase_probability(test.price_ratio)
    predicted[DEMAND_MODEL] = curve.purchase_probability(test.price_ratio)
    outcomes = Outcomes.of(test.purchased, test.weight, test.frame["user_id"])
    measured = {name: evaluate(outcomes, p, rate.rate, seed) for name, p in predicted.items()}
    gains = {
        name: log_loss_difference(outcomes, predicted[name], predicted[DEMAND_MODEL], seed)
        for name in predicted
        if name != DEMAND_MODEL
    }
    return Evaluation(
        comparison=_comparison(measured),
        calibration=calibration_table(outcomes, predicted[DEMAND_MODEL]),
        curve=curve,
        figures=_figures(fitted, split, curve, measured[DEMAND_MODEL], gains),
    )


def gain_over_champion(curve: DemandCurve, champion: DemandCurve, test: Decisions, seed: int = 0) -> dict[str, float]:
    """Return what `evaluate_demand` says of the log loss gained over a champion, where only that is asked."""
    own, other = (one.purchase_probability(test.price_ratio) for one in (curve, champion))
    outcomes = Outcomes.of(test.purchased, test.weight, test.frame["user_id"])
    return _with_interval(f"log_loss_gain_over_{CHAMPION}", log_loss_difference(outcomes, other, own, seed))


def _comparison(measured: dict[str, dict[str, Estimate]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "metric": metric, **estimate._asdict()}
            for model, metrics in measured.items()
            for metric, estimate in metrics.items()
        ]
    )


def _figures(
    fitted: FittedDemand,
    split: Split,
    curve: DemandCurve,
    measured: dict[str, Estimate],
    gains: dict[str, Estimate],
) -> dict[str, float]:
    ratio = split.test.price_ratio
    elasticity = curve.elasticity(ratio)
    dearer = curve.purchase_probability(ratio * 1.01) < curve.purchase_probability(ratio)
    figures = {
        "sign_accuracy": float(dearer.mean()),
        "elasticity_mean": float(np.average(elasticity, weights=split.test.weight)),
        "elasticity_10th_percentile": float(np.quantile(elasticity, 0.1)),
        "elasticity_90th_percentile": float(np.quantile(elasticity, 0.9)),
        "randomised_offers": float(_randomised(split)),
    }
    if fitted.recalibration.method == "randomised":
        figures["price_slope_on_randomised"] = fitted.recalibration.measured_scale
    for name, estimate in measured.items():
        figures |= _with_interval(name, estimate)
    for peer, estimate in gains.items():
        figures |= _with_interval(f"log_loss_gain_over_{peer.replace(' ', '_')}", estimate)
    return figures


def _with_interval(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _randomised(split: Split) -> int:
    parts: tuple[Decisions, ...] = split
    return sum(int(part.randomised.sum()) for part in parts)
