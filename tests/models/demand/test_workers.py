"""One training run by two processes, and one that is killed: each in interpreters of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.demand.network import DemandConfig, DemandModel
from models.demand.training import TrainingConfig, train
from models.demand.workers import Workers
from models.features.decisions import split_by_time
from models.features.encoding import Encoding
from models.features.offer_log import Log

ROOT = Path(__file__).parents[3]
CONFIG = DemandConfig(dimension=8, heads=2, history_length=4, dropout=0.0)
TRAINING = TrainingConfig(epochs=3, histories=64)

PARTS = """
import json, os, signal, sys
from pathlib import Path
import torch
from models.demand.network import DemandModel
from models.demand.training import train
from models.demand.workers import launched_processes
from tasks.training.checkpoints import FileCheckpoint

folder, mode = Path(sys.argv[1]), sys.argv[2]
encoding, config, training_config, *logs = torch.load(folder / "parts.pt", weights_only=False)
torch.manual_seed(0)
network = DemandModel(config, encoding)

def keep(report):
    torch.save(network.state_dict(), folder / "weights.pt")
    (folder / "losses.json").write_text(json.dumps([report.training_loss, report.validation_loss]))
"""
TOGETHER = f"""{PARTS}
with launched_processes(cpu=True) as accelerator:
    assert accelerator.num_processes == 2
    report = train(network, *logs, training_config, accelerator=accelerator)
    if accelerator.is_main_process:
        keep(report)
threads = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
assert not any("gloo" in thread for thread in threads), threads
"""
ALONE = f"""{PARTS}
kill = lambda epoch, *_: mode == "killed" and epoch == 2 and os.kill(os.getpid(), signal.SIGKILL)
keep(train(network, *logs, training_config, kill, FileCheckpoint(folder / "run.pt")))
"""


@pytest.fixture(scope="module")
def parts(make_log):
    split = split_by_time(make_log(1000, users=80).decisions)
    encoding = Encoding.fit(split.train, minimum_count=2)
    logs = (Log.of(part, encoding, np.zeros(len(part)), torch.device("cpu")) for part in split[:2])
    return encoding, CONFIG, TRAINING, *logs


@pytest.fixture(scope="module")
def alone(parts):
    encoding, *_, training, validation = parts
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the other processes: sums over several threads end in other bits
    torch.manual_seed(0)
    network = DemandModel(CONFIG, encoding)
    report = train(network, training, validation, TRAINING)
    torch.set_num_threads(threads)
    return network.state_dict(), report


@pytest.fixture
def folder(tmp_path, parts):
    torch.save(parts, tmp_path / "parts.pt")
    return tmp_path


def start(script, folder, mode, *launcher):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    (folder / "trainer.py").write_text(script)
    command = [sys.executable, *launcher, str(folder / "trainer.py"), str(folder), mode]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def results(folder):
    losses = json.loads((folder / "losses.json").read_text())
    return torch.load(folder / "weights.pt", weights_only=True), losses


def test_two_processes_take_the_steps_of_one(folder, alone):
    # --multi_gpu is how accelerate says torchrun; the script asks for the CPU.
    launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
    options = ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    done = start(TOGETHER, folder, "together", *launcher, *options)
    assert done.returncode == 0, done.stderr
    weights, losses = results(folder)
    np.testing.assert_allclose(losses, [alone[1].training_loss, alone[1].validation_loss], atol=1e-4)
    assert all(torch.allclose(weight, weights[name], atol=2e-3) for name, weight in alone[0].items())


def test_a_run_that_was_killed_ends_with_the_bits_of_one_that_was_not(folder, alone):
    killed = start(ALONE, folder, "killed")
    assert killed.returncode == -9, killed.stderr
    assert not (folder / "weights.pt").exists()
    done = start(ALONE, folder, "resumed")
    assert done.returncode == 0, done.stderr
    weights, losses = results(folder)
    assert losses == [alone[1].training_loss, alone[1].validation_loss]
    assert all(torch.equal(weight, weights[name]) for name, weight in alone[0].items())


def test_one_process_alone_takes_all():
    batch = torch.arange(5)
    assert torch.equal(Workers().share(batch), batch)
    assert Workers().total(batch) is batch
    assert Workers().from_first(lambda: 3) == 3
