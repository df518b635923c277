"""Measures training against a bare PyTorch loop over the same batches, which lie ready in memory.

    python -m tests.benchmarks.training_speed --results results [--offers 80000] [--repeats 7]

Both take an epoch in turns on equal networks. The bare loop is forward, loss, backward and AdamW's step, in full
precision, kernel by kernel, and nothing else. Training's epoch also makes its batches, hides personal data, follows the
schedule of the learning rate, takes the validation loss and keeps the best weights; on a GPU its steps are recorded,
in bfloat16, and what takes a batch's rows from the log is part of the recording, so that only laying batches out is
counted as batching there. The first epoch warms up and does not count.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.demand.network import DemandConfig, DemandModel
from models.demand.training import SMALL_LOG_TRAINING, TrainingConfig, full_log_odds, train
from models.features.encoding import EncodedDecisions, Encoding
from models.features.offer_log import Log, Offers
from models.simulation.marketplace import MarketplaceConfig, simulate

logger = logging.getLogger("pricing.benchmark")

Batch = tuple[EncodedDecisions, Offers]
SETTINGS = {
    "default": (DemandConfig(), TrainingConfig()),
    "small log": (DemandConfig(), SMALL_LOG_TRAINING),
}
WIDE = DemandConfig(dimension=256, heads=8, layers=4, history_length=256)
SETTINGS_ON_GPU = SETTINGS | {
    "4,096 histories at once": (DemandConfig(), TrainingConfig(histories=4096)),
    "width 256, 4 layers, 256 events": (WIDE, TrainingConfig(histories=2048)),
    "the same, compiled": (WIDE, TrainingConfig(histories=2048, compiled=True)),
}
_OFFERS_PER_USER = 20
_VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Speed:
    """Seconds of the counted epochs of one setting, in their order."""

    offers: int
    training: list[float]
    bare: list[float]
    batching: list[float]

    def summary(self) -> dict[str, Any]:
        """Return rates, ratio and shares: the median, and the lowest and highest of the epochs."""
        training, bare, batching = map(np.array, (self.training, self.bare, self.batching))
        return {
            "training_examples_a_second": _spread(self.offers / training),
            "bare_examples_a_second": _spread(self.offers / bare),
            "ratio": _spread(bare / training),
            "batching_share": _spread(batching / training),
        }


def main() -> None:
    """Measure all settings, write `training_speed.json` and show a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--offers", type=int, default=80_000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    report: dict[str, Any] = {"device": name, "torch": torch.__version__, "offers": arguments.offers, "settings": {}}
    data = make_logs(arguments.offers, device)
    for setting, (demand, training) in (SETTINGS_ON_GPU if device.type == "cuda" else SETTINGS).items():
        speed = measure(demand, training, data, arguments.repeats)
        report["settings"][setting] = asdict(speed) | speed.summary()
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "training_speed.json").write_text(json.dumps(report, indent=2) + "\n")
    logger.info("%s", table(report))


def make_logs(offers: int, device: torch.device) -> tuple[Encoding, Log, Log]:
    """Return the encoding and the two logs, by time, of a simulated shop."""
    log = simulate(MarketplaceConfig(users=max(1, offers // _OFFERS_PER_USER), offers=offers)).log
    order = np.argsort(log.decided_at, kind="stable")
    parts = [log.select(part) for part in np.split(order, [round((1 - _VALIDATION_SHARE) * len(order))])]
    encoding = Encoding.fit(parts[0])
    training, validation = (Log.of(part, encoding, np.zeros(len(part)), device) for part in parts)
    return encoding, training, validation


def measure(demand: DemandConfig, config: TrainingConfig, data: tuple[Encoding, Log, Log], repeats: int) -> Speed:
    """Let training take `repeats` epochs after the first, and after each of them the bare loop one."""
    encoding, training, validation = data
    torch.manual_seed(config.seed)
    ours, theirs = (DemandModel(demand, encoding).to(training.rows.device) for _ in range(2))
    batches = list(make_batches(training, config))
    optimizer = torch.optim.AdamW(theirs.parameters(), config.learning_rate, fused=True)
    speed = Speed(len(training.rows), [], [], [])
    started = 0.0

    def between(epoch: int, *_: float) -> None:
        nonlocal started
        took = _now() - started
        bare = _seconds(lambda: bare_epoch(theirs, optimizer, batches))
        batching = _seconds(lambda: sum(1 for _ in prepared(training, config)))
        if epoch > 1:
            speed.training.append(took)
            speed.bare.append(bare)
            speed.batching.append(batching)
        started = _now()

    train(ours, training, validation, replace(config, epochs=repeats + 1, patience=repeats + 1), between)
    return speed


def make_batches(log: Log, config: TrainingConfig) -> Iterator[Batch]:
    """Yield an epoch's batches as training makes them."""
    generator = torch.Generator().manual_seed(config.seed)
    batches = log.batches(config.histories, generator)
    for histories, (decisions, offers) in zip(batches, log.read(batches), strict=True):
        hidden = torch.rand(len(histories), generator=generator) < config.personal_mask_share
        yield decisions.mask(hidden.to(log.rows.device, non_blocking=True)), offers


def prepared(log: Log, config: TrainingConfig) -> Iterator[object]:
    """Yield what an epoch's steps are given."""
    if not log.rows.is_cuda:
        return make_batches(log, config)
    return log.layouts(log.batches(config.histories, torch.Generator().manual_seed(config.seed)))


def bare_epoch(network: DemandModel, optimizer: torch.optim.Optimizer, batches: list[Batch]) -> None:
    """Take a step for each batch."""
    network.train()
    for decisions, offers in batches:
        optimizer.zero_grad()
        _loss(network, decisions, offers).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _loss(network: DemandModel, decisions: EncodedDecisions, offers: Offers) -> Tensor:
    log_odds = full_log_odds(network, network(decisions), offers)
    return functional.binary_cross_entropy_with_logits(log_odds, offers.purchased, offers.weight)


def table(report: dict[str, Any]) -> str:
    """Return the report as a Markdown table."""
    lines = [
        f"{report['device']}, torch {report['torch']}, {report['offers']:,} offers",
        "",
        "| Setting | Training, offers/s | Bare loop, offers/s | Ratio (lowest to highest) | Batching, share of time |",
        "|---|---|---|---|---|",
    ]
    for name, setting in report["settings"].items():
        ours, bare = (f"{setting[f'{loop}_examples_a_second']['median']:,.0f}" for loop in ("training", "bare"))
        ratio, share = setting["ratio"], setting["batching_share"]["median"]
        spread = f"{ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f})"
        lines.append(f"| {name} | {ours} | {bare} | {spread} | {share:.1%} |")
    return "\n".join(lines)


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"median": float(np.median(values)), "lowest": float(values.min()), "highest": float(values.max())}


def _seconds(run: Callable[[], object]) -> float:
    started = _now()
    run()
    return _now() - started


def _now() -> float:
    """Return the time at which all that was asked of the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
