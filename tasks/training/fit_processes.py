"""One fit by several processes, which share every batch; with CUDA each has a device of its own.

    accelerate launch --num_processes 2 -m tasks.training.fit_processes FOLDER

is what each of them runs, on a folder that `fit_in_processes` wrote; it leaves the fitted model there. They are of this
machine, or of as many as `Machines` says.
"""

import json
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from models.demand.fitted import FitReport, FittedDemand, fit_demand
from models.demand.network import DemandConfig
from models.demand.training import Progress, TrainingConfig, TrainingError
from models.demand.workers import launched_processes
from models.features.content import Encoders, ProductContent
from models.features.decisions import Decisions
from tasks.servers.processes import end, with_descendants
from tasks.training.checkpoints import member_checkpoints
from tasks.training.fits import keep_fit, kept_fit
from tasks.training.machines import Machines

_END_SECONDS = 5  # of patience with processes that are asked to end
_LAST_LINES = 15
_EPOCH = "epoch of the fit:"
_OF_THE_LAUNCHER = re.compile(r"[EW]\d{4} .*torch/distributed/elastic")


def fit_in_processes(
    training: Decisions,
    validation: Decisions,
    demand: DemandConfig,
    training_config: TrainingConfig,
    processes: int,
    folder: Path,
    progress: Progress,
) -> tuple[FittedDemand, FitReport]:
    """Do what `fit_demand` does with so many processes; `folder` keeps the checkpoints of each network.

    Raises:
        TrainingError: a process failed, there are fewer CUDA devices than processes, or machines that would have
            fewer processes than others.

    """
    machines, devices = Machines.here(), torch.cuda.device_count()
    wanted = machines.processes_each(processes)
    if 0 < devices < wanted:
        raise TrainingError(f"{wanted} processes cannot share {devices} CUDA devices; ask for {devices} at most")
    _write(training, validation, demand, training_config, folder)
    with machines.inviting(folder, processes):
        launch(machines, 0, processes, folder, progress)
    fit = kept_fit(folder)
    assert fit is not None  # noqa: S101 - processes that end well leave one
    return fit


def launch(machines: Machines, rank: int, processes: int, folder: Path, progress: Progress) -> None:
    """Run this machine's share of the processes to their end, and leave none of them behind whatever happens here.

    Raises:
        TrainingError: one of them failed.

    """
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--multi_gpu",  # is how accelerate says torchrun; the processes themselves choose the CPU without CUDA
        *machines.launcher_options(processes, rank), "--mixed_precision=no", "--dynamo_backend=no",
        "-m", "tasks.training.fit_processes", str(folder),
    ]  # fmt: skip
    running = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    with running:
        try:
            said = _follow(running.stdout or (), progress)
            code = running.wait()
        finally:
            if running.poll() is None:
                end(with_descendants([running.pid]), _END_SECONDS)
                running.terminate()  # where nothing is known of its descendants, it ends them itself
    if code:
        raise TrainingError(
            f"the training in {processes} processes ended with exit code {code}; mend what they said last, or train in "
            f"1 process:\n{said}"
        )


def _follow(lines: Iterable[str], progress: Progress) -> str:
    """Tell of each epoch; return the last of the other lines, without the launcher's own where there are any else."""
    said: deque[str] = deque(maxlen=_LAST_LINES)
    of_the_launcher: deque[str] = deque(maxlen=_LAST_LINES)
    for line in lines:
        if line.startswith(_EPOCH):
            epoch, *losses = json.loads(line.removeprefix(_EPOCH))
            progress(epoch, *losses)
        elif of_the_launcher or _OF_THE_LAUNCHER.match(line):  # it speaks last, and at length
            of_the_launcher.append(line)
        else:
            said.append(line)
    return "".join(said or of_the_launcher).rstrip()


def _write(
    training: Decisions, validation: Decisions, demand: DemandConfig, training_config: TrainingConfig, folder: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    training.frame.to_parquet(folder / "training.parquet")
    validation.frame.to_parquet(folder / "validation.parquet")
    training.events.to_parquet(folder / "events.parquet")
    (folder / "content.npz").unlink(missing_ok=True)
    if (content := training.content) is not None:
        np.savez(
            folder / "content.npz", product_ids=np.array(content.product_ids, dtype=str), text=content.text,
            image=content.image, encoders=np.array([content.encoders.text, content.encoders.image], dtype=str),
        )  # fmt: skip
    settings = {"demand": asdict(demand), "training": asdict(training_config)}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


def _read(folder: Path) -> tuple[Decisions, Decisions]:
    events, content = pd.read_parquet(folder / "events.parquet"), _content(folder / "content.npz")
    training, validation = (pd.read_parquet(folder / f"{part}.parquet") for part in ("training", "validation"))
    return Decisions(training, events, content), Decisions(validation, events, content)


def _content(file: Path) -> ProductContent | None:
    if not file.exists():
        return None
    with np.load(file) as kept:
        encoders = Encoders(*kept["encoders"].tolist())
        return ProductContent(tuple(kept["product_ids"].tolist()), kept["text"], kept["image"], encoders)


def main(folder: Path) -> None:
    """Fit with the other processes; the first tells of the epochs and writes the model."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    configs = DemandConfig(**settings["demand"]), TrainingConfig(**settings["training"])
    with launched_processes(cpu=not torch.cuda.is_available()) as accelerator:
        _require_one_training(folder)
        progress = _tell if accelerator.is_main_process else None
        checkpoints = member_checkpoints(folder)
        fitted, report = fit_demand(*_read(folder), *configs, accelerator.device, progress, checkpoints, accelerator)
        if accelerator.is_main_process:
            keep_fit(fitted, report, folder)


def _require_one_training(folder: Path) -> None:
    """Refuse to share a training with a machine that read an older invitation: a shared home may show files late."""
    from accelerate.utils import gather_object

    if len(folders := sorted(set(gather_object([folder.name])))) > 1:
        raise TrainingError(f"the machines train different models, {' and '.join(folders)}: start the training again")


def _tell(*epoch: float) -> None:
    """Say the epoch to the one who waits; where nobody does any more, this ends the training."""
    sys.stdout.write(f"{_EPOCH}{json.dumps(epoch)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
