"""What fine-tuning the text encoder changes on a simulated marketplace, where the truth is known.

    python -m tests.benchmarks.fine_tuning --results results [--offers 20000] [--seed 0] [--tunings frozen lora whole]

The demand model is fit to equal offers on vectors of the frozen encoder, of one tuned by LoRA, and of one tuned whole.
A fifth of the products is in no offer that anything learns from; the visits after the log judge them apart.
"""

import argparse
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from models.demand.fine_tuning import FineTuning, fine_tune
from models.demand.training import SMALL_LOG_TRAINING
from models.features.decisions import Decisions
from models.simulation.marketplace import MarketplaceConfig
from tasks.training.encoders import MINILM, load_text_encoder
from tests.benchmarks.curves import best_ratio
from tests.benchmarks.measures import price_measures, response_measures
from tests.benchmarks.ours import DemandModel
from tests.benchmarks.scenario import Scenario, load_scenario

logger = logging.getLogger("pricing.benchmark")

Tuning = Literal["frozen", "lora", "whole"]
TUNINGS: tuple[Tuning, ...] = ("frozen", "lora", "whole")
NEW_EVERY = 5  # products: one of so many is new
EPOCHS, HISTORIES = 3, 512
_OFFERS_PER_USER = 20


@dataclass(frozen=True)
class Trial:
    """A marketplace whose log lacks the new products, and what all products' texts say."""

    scenario: Scenario
    new: frozenset[str]
    texts: dict[str, str]

    @classmethod
    def of(cls, scenario: Scenario) -> "Trial":
        """Take the new products' offers out of the log."""
        products = scenario.market.tables["products"]
        ids = products["product_id"]
        new = frozenset(ids.iloc[::NEW_EVERY])
        texts = dict(zip(ids, products["title"] + ". " + products["description"], strict=True))

        def known(part: Decisions) -> Decisions:
            return part.select(~_among(part, new))

        parts = known(scenario.training), known(scenario.validation)
        return cls(replace(scenario, training=parts[0], validation=parts[1]), new, texts)

    def tuned(self, tuning: Tuning) -> tuple[Scenario, list[float]]:
        """Return the scenario as the encoder reads it, and the losses of the tuning's epochs."""
        if tuning == "frozen":
            return self.scenario, []
        seed = self.scenario.market.config.seed
        config = FineTuning(tuning, epochs=EPOCHS, histories=HISTORIES, training=SMALL_LOG_TRAINING, seed=seed)
        parts = self.scenario.training, self.scenario.validation
        encoder, report = fine_tune(
            load_text_encoder(MINILM), self.texts, *parts, config, torch.device("cpu"), _log_epoch
        )
        content = self.scenario.requests.content
        assert content is not None
        vectors = encoder.embed([self.texts[product] for product in content.product_ids])
        content = replace(content, text=vectors)
        return self.scenario.changed(lambda part: replace(part, content=content)), report.validation_loss

    def judge(self, model: DemandModel, scenario: Scenario) -> dict[str, dict[str, list[float]]]:
        """Return regret and log loss with intervals, of the products in the log and of the new ones."""
        new = _among(scenario.requests, self.new)
        return {
            name: _measures(model, replace(scenario, requests=scenario.requests.select(rows)))
            for name, rows in (("known", ~new), ("new", new))
        }


def compare(trial: Trial, tunings: Iterable[Tuning], file: Path) -> None:
    """Tune, fit and judge each way; append a line for each to the file."""
    for tuning in tunings:
        started = time.perf_counter()
        scenario, losses = trial.tuned(tuning)
        tuned = time.perf_counter()
        measures = trial.judge(DemandModel.fit(scenario), scenario)
        record: dict[str, Any] = {
            "tuning": tuning,
            "offers": len(scenario.learning),
            "seed": scenario.market.config.seed,
            "validation_loss": losses,
            "tuning_seconds": round(tuned - started, 1),
            "fit_seconds": round(time.perf_counter() - tuned, 1),
            "measures": measures,
        }
        with file.open("a") as lines:
            lines.write(json.dumps(record) + "\n")
        logger.info("%s", record)


def _measures(model: DemandModel, scenario: Scenario) -> dict[str, list[float]]:
    curves = model.curves(scenario)
    found = price_measures(best_ratio(curves, scenario), scenario) | response_measures(curves, scenario)
    return {name: [round(number, 5) for number in found[name]] for name in ("regret", "wmape", "log_loss")}


def _among(decisions: Decisions, products: frozenset[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return decisions.frame["product_id"].isin(products).to_numpy("bool")


def _log_epoch(epoch: int, validation_loss: float) -> None:
    logger.info("epoch %d: log loss %.5f in validation, all products unknown", epoch, validation_loss)


def main() -> None:
    """Run what the command line asks for."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description="Frozen and fine-tuned text encoders on a simulated marketplace.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--offers", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tunings", nargs="+", choices=TUNINGS, default=TUNINGS)
    given = parser.parse_args()
    users = given.offers // _OFFERS_PER_USER
    config = MarketplaceConfig(domain="ecommerce", users=users, offers=given.offers, seed=given.seed)
    given.results.mkdir(parents=True, exist_ok=True)
    trial = Trial.of(load_scenario(config, given.results / "embeddings"))
    compare(trial, given.tunings, given.results / "fine_tuning.jsonl")


if __name__ == "__main__":
    main()
