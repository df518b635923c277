"""Our demand model beside LightGBM on Ta Feng's held-out weeks, and its elasticities beside the instrument's.

    python -m tests.benchmarks.tafeng --results results

Needs the features that `pricing run` has extracted, under PRICING_HOME, and the extra [bench].
"""

import argparse
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.demand.demand_curve import DemandCurve
from models.demand.fitted import FittedDemand, fit_demand
from models.demand.metrics import Estimate, Outcomes, evaluate, log_loss_difference
from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig
from models.features.decisions import Decisions, Split, split_by_time
from tasks.settings import Settings
from tasks.sources.tafeng import TaFeng, weekly_sales
from tasks.training.fit import Recipe
from tests.benchmarks.panel import own_price_elasticity
from tests.benchmarks.tabular import TabularView

logger = logging.getLogger("pricing.benchmark")

Array = NDArray[np.float64]
ROUNDS, PATIENCE = 600, 40
PEER = "LightGBM"
OURS = {  # one network, trained as for large logs; then what `pricing run` fits
    "demand model, one network": (DemandConfig(), TrainingConfig()),
    "demand model": (Recipe().demand, Recipe().training),
}


@dataclass(frozen=True)
class Forecasts:
    """Purchase probabilities of the held-out offers by each method, and the curves of the last of ours."""

    probability: dict[str, Array]
    curve: DemandCurve


def main() -> None:
    """Fit both methods, compare, and write `tafeng.json` and `tafeng.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    split = split_by_time(tafeng_offers())
    forecasts = forecast(split)
    found = compared(split, forecasts) | elasticities(split.test, forecasts.curve)
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "tafeng.json").write_text(json.dumps(found, indent=2))
    (arguments.results / "tafeng.md").write_text(table(found))
    logger.info("\n%s", table(found))


def tafeng_offers() -> Decisions:
    """Return Ta Feng's offers with their features, as the platform extracted them.

    Raises:
        FileNotFoundError: `pricing run` has not been run in this home.

    """
    home = Settings().home
    folders = sorted((home / "features").glob("*/decisions.parquet"), key=lambda path: path.stat().st_mtime)
    if not folders:
        raise FileNotFoundError(f"no features under {home}: run `pricing run` first, or set PRICING_HOME")
    newest = folders[-1].parent
    return Decisions(pd.read_parquet(newest / "decisions.parquet"), pd.read_parquet(newest / "events.parquet"))


def fitted_demand(split: Split, config: DemandConfig, training: TrainingConfig) -> FittedDemand:
    """Return the demand model of training and validation part."""
    started = time.perf_counter()
    fitted, _ = fit_demand(split.train, split.validation, config, training, torch.device("cpu"))
    logger.info("demand model of %d networks fit in %.0f s", config.members, time.perf_counter() - started)
    return fitted


def forecast(split: Split) -> Forecasts:
    """Fit each on training and validation part and ask for the test part at the prices shown."""
    probability = {}
    for name, settings in OURS.items():
        curve = fitted_demand(split, *settings).curve(split.test)
        probability[name] = curve.purchase_probability(split.test.price_ratio)
    started = time.perf_counter()
    probability[PEER] = _boosted(split)
    logger.info("LightGBM fit in %.0f s", time.perf_counter() - started)
    return Forecasts(probability, curve)


def compared(split: Split, forecasts: Forecasts) -> dict[str, Any]:
    """Return log loss, AUC and calibration error of each, with intervals over users, and what LightGBM loses more."""
    test = split.test
    outcomes = Outcomes.of(test.purchased, test.weight, test.frame["user_id"])
    rate = float(np.average(split.train.purchased, weights=split.train.weight))
    measured = {name: evaluate(outcomes, p, rate) for name, p in forecasts.probability.items()}
    peer = forecasts.probability[PEER]
    gains = {name: log_loss_difference(outcomes, peer, forecasts.probability[name]) for name in OURS}
    return {
        "methods": {name: {key: list(value) for key, value in found.items()} for name, found in measured.items()},
        "gains": {name: list(gain) for name, gain in gains.items()},
    }


def elasticities(test: Decisions, curve: DemandCurve) -> dict[str, Any]:
    """Return the elasticity of the held-out products' total demand beside the instrument's estimate.

    That of a product is its offers' mean by expected purchases: what its sales in sum answer to its price. The panel
    gives each of its items the same say, and so does the mean over them here.
    """
    ratio = test.price_ratio
    demand = curve.purchase_probability(ratio) * test.weight
    sums = pd.DataFrame({"answer": curve.elasticity(ratio) * demand, "demand": demand, "weight": test.weight})
    sums = sums.assign(exposed=curve.elasticity(ratio) * test.weight).groupby(test.frame["product_id"]).sum()
    by_product = sums["answer"] / sums["demand"]
    panel = weekly_sales(TaFeng(cache=Settings().home / "cache").lines())
    logs = (np.log(panel[name]) for name in ("price", "purchases", "unit_cost"))
    instrumented = own_price_elasticity(panel["item_id"], panel["week"], *logs)
    in_panel = by_product.index.isin(panel["item_id"].astype(str))
    return {
        "products": len(by_product),
        "right_sign": float((by_product < 0).mean()),
        "by_exposure": float(sums["exposed"].sum() / sums["weight"].sum()),
        "by_purchase": float(sums["answer"].sum() / sums["demand"].sum()),
        "of_the_panels_products": float(by_product[in_panel].mean()),
        "instrument": instrumented.elasticity,
        "instrument_interval": list(instrumented.interval),
    }


def table(found: dict[str, Any]) -> str:
    """Return what was found, as Markdown."""
    lines = ["| method | log loss | AUC | ECE |", "|---|---|---|---|"]
    for name, measures in found["methods"].items():
        cells = (Estimate(*measures[key]) for key in ("log_loss", "auc", "ece"))
        lines.append(f"| {name} | " + " | ".join(f"{e.value:.4f} [{e.low:.4f}, {e.high:.4f}]" for e in cells) + " |")
    gains = {name: Estimate(*gain) for name, gain in found["gains"].items()}
    interval = found["instrument_interval"]
    return "\n".join(
        [
            *lines,
            "",
            *(
                f"{PEER}'s log loss less the {name}'s: {g.value:.5f} [{g.low:.5f}, {g.high:.5f}]."
                for name, g in gains.items()
            ),
            f"Demand falls in price for {found['right_sign']:.1%} of {found['products']:,} products.",
            f"Mean elasticity {found['by_exposure']:.2f} by exposures, {found['by_purchase']:.2f} by expected "
            f"purchases; of the panel's products {found['of_the_panels_products']:.2f}, by the instrument "
            f"{found['instrument']:.2f} [{interval[0]:.2f}, {interval[1]:.2f}].",
            "",
        ]
    )


def _boosted(split: Split) -> Array:
    """Return LightGBM's probabilities of the test part, learnt with the offers' sampling weights."""
    view = TabularView.fit(split.train)
    parts = [np.column_stack([part.price_ratio, view.table(part).to_numpy("float64")]) for part in split]
    trees = lightgbm.LGBMClassifier(
        n_estimators=ROUNDS, learning_rate=0.05, num_leaves=31, min_child_samples=40, subsample=0.8, subsample_freq=1,
        colsample_bytree=0.8, num_threads=2, random_state=0, verbosity=-1,
    )  # fmt: skip
    trees.fit(
        parts[0],
        split.train.purchased,
        sample_weight=split.train.weight,
        eval_set=[(parts[1], split.validation.purchased)],
        eval_sample_weight=[split.validation.weight],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return np.asarray(trees.predict_proba(parts[2])[:, 1])


if __name__ == "__main__":
    main()
