"""One fit by two processes, through what the task calls; each launch is accelerate's own."""

import os
import subprocess
import sys
from dataclasses import replace

import accelerate.utils
import numpy as np
import pytest
import torch

from models.demand.fitted import fit_demand
from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig, TrainingError
from models.features.content import Encoders, ProductContent
from models.features.decisions import split_by_time
from models.simulation.marketplace import MarketplaceConfig, simulate
from tasks.servers.ports import free_port
from tasks.servers.processes import with_descendants
from tasks.training import fit_processes
from tasks.training.fit_processes import fit_in_processes

# Each process drops activations of its own, so that only without dropout two end where one does.
DEMAND = DemandConfig(dimension=8, layers=1, history_length=4, dropout=0.0)
TRAINING = TrainingConfig(epochs=3, patience=3, histories=64, identity_mask_share=0.0)


@pytest.fixture(scope="module")
def parts():
    log = simulate(MarketplaceConfig(users=60, products=12, offers=900)).log
    products, rng = tuple(log.frame["product_id"].unique()), np.random.default_rng(0)
    vectors = rng.normal(size=(len(products), 6)).astype("float32")
    content = ProductContent(products, vectors, vectors[:, :0], Encoders("numbers", ""))
    split = split_by_time(replace(log, content=content))
    return split.train, split.validation


@pytest.fixture
def left_behind():
    """The processes that run since the test began; earlier tests may have left one, such as Python's own tracker."""
    before = set(with_descendants([os.getpid()]))
    return lambda: set(with_descendants([os.getpid()])) - before


class Stopped(BaseException):
    """Stands for whatever may happen to the one who waits."""


def stop(epoch, *_):
    raise Stopped


def test_two_processes_that_were_stopped_go_on_to_the_model_of_one(parts, tmp_path, left_behind):
    epochs = []
    with pytest.raises(Stopped):
        fit_in_processes(*parts, DEMAND, TRAINING, 2, tmp_path, stop)
    assert not left_behind()
    shared, report = fit_in_processes(*parts, DEMAND, TRAINING, 2, tmp_path, lambda *epoch: epochs.append(epoch))
    assert not left_behind()
    assert epochs
    assert epochs[0][0] > 1
    assert [losses for _, *losses in epochs] == [
        list(losses) for losses in zip(report.training.training_loss, report.training.validation_loss, strict=True)
    ][epochs[0][0] - 1 :]

    alone, expected = fit_demand(*parts, DEMAND, TRAINING, torch.device("cpu"))
    assert report.first_stage == expected.first_stage
    assert shared.encoders == alone.encoders
    np.testing.assert_allclose(report.training.validation_loss, expected.training.validation_loss, atol=1e-4)
    curves = [fitted.curve(parts[1]) for fitted in (shared, alone)]
    np.testing.assert_allclose(curves[0].sensitivity, curves[1].sensitivity, rtol=2e-2)
    np.testing.assert_allclose(curves[0].valuation, curves[1].valuation, rtol=2e-2)


def test_what_a_process_said_last_is_the_error(parts, tmp_path, left_behind):
    wild = replace(TRAINING, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"2 processes ended with exit code 1(?s:.*)lower the learning rate"):
        fit_in_processes(*parts, DEMAND, wild, 2, tmp_path, stop)
    assert not left_behind()


@pytest.fixture
def two_machines(tmp_path, monkeypatch):
    """This machine twice, with a home that both see; the second joins the trainings of the first."""
    monkeypatch.setenv("PRICING_HOME", str(tmp_path))
    monkeypatch.setenv("PRICING_TRAINING_MACHINES", "2")
    monkeypatch.setenv("PRICING_TRAINING_ADDRESS", f"127.0.0.1:{free_port(None)}")
    (tmp_path / "training.json").write_text('{"folder": "killed", "processes": 2, "number": "0"}')  # nobody listens
    with subprocess.Popen(
        [sys.executable, "-m", "tasks.training.join", "1"], stderr=subprocess.PIPE, text=True
    ) as joined:
        yield joined
        joined.terminate()


@pytest.mark.slow
def test_two_machines_come_to_the_model_of_one(parts, tmp_path, monkeypatch, two_machines, left_behind):
    shared, report = fit_in_processes(*parts, DEMAND, TRAINING, 2, tmp_path / "shared", lambda *epoch: None)
    assert not (tmp_path / "training.json").exists()
    two_machines.terminate()
    assert "joining the training in shared" in two_machines.stderr.read()
    assert two_machines.wait() == 0
    assert not left_behind()

    monkeypatch.setenv("PRICING_TRAINING_MACHINES", "1")
    alone, expected = fit_in_processes(*parts, DEMAND, TRAINING, 2, tmp_path / "alone", lambda *epoch: None)
    np.testing.assert_allclose(report.training.validation_loss, expected.training.validation_loss, rtol=1e-6)
    curves = [fitted.curve(parts[1]) for fitted in (shared, alone)]
    np.testing.assert_allclose(curves[0].sensitivity, curves[1].sensitivity, rtol=1e-5)
    np.testing.assert_allclose(curves[0].valuation, curves[1].valuation, rtol=1e-5)


def test_machines_have_as_many_processes_as_each_other(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("PRICING_TRAINING_MACHINES", "2")
    with pytest.raises(TrainingError, match="3 processes cannot be shared by 2 machines: ask for a multiple of 2"):
        fit_in_processes(*parts, DEMAND, TRAINING, 3, tmp_path, stop)


def test_a_machine_that_trains_something_else_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(accelerate.utils, "gather_object", lambda names: [*names, "older"])
    with pytest.raises(TrainingError, match=r"different models, newer and older: start the training again"):
        fit_processes._require_one_training(tmp_path / "newer")


def test_processes_need_a_device_each(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_processes.torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainingError, match="3 processes cannot share 2 CUDA devices"):
        fit_in_processes(*parts, DEMAND, TRAINING, 3, tmp_path, stop)


def test_the_launcher_is_quoted_only_where_nobody_else_spoke():
    launcher = "E1124 03:00:00.000 1 torch/distributed/elastic/multiprocessing/api.py:1] failed (exitcode: -9)\n"
    told = []
    lines = ["epoch of the fit:[1, 0.5, 0.25]\n", "ValueError: no\n", launcher, "Traceback\n"]
    assert fit_processes._follow(lines, lambda *epoch: told.append(epoch)) == "ValueError: no"
    assert told == [(1, 0.5, 0.25)]
    assert fit_processes._follow([launcher, "Traceback\n"], stop) == f"{launcher}Traceback"
