import copy

import numpy as np
import pytest
import torch

from models.demand.checkpoint import CheckpointError
from models.demand.network import DemandConfig, DemandModel
from models.demand.training import TrainingConfig, train
from models.features.decisions import split_by_time
from models.features.encoding import Encoding
from models.features.offer_log import Log

CONFIG = TrainingConfig(epochs=4, patience=4, histories=64)


class Killed(BaseException):
    """Stands for a process that ends here."""


class Memory:
    """A checkpoint that keeps every state and is killed after some of them."""

    def __init__(self, saves=None):
        self.states, self.saves = [], saves

    def load(self):
        return copy.deepcopy(self.states[-1]) if self.states else None

    def save(self, state):
        self.states.append(copy.deepcopy(state))
        if len(self.states) == self.saves:
            raise Killed


@pytest.fixture(scope="module")
def parts(make_log):
    split = split_by_time(make_log(1000, users=80).decisions)
    encoding = Encoding.fit(split.train, minimum_count=2)
    return encoding, *(Log.of(part, encoding, np.zeros(len(part)), torch.device("cpu")) for part in split[:2])


def run(parts, checkpoint=None, config=CONFIG, weights=0):
    encoding, training, validation = parts
    torch.manual_seed(weights)
    network = DemandModel(DemandConfig(dimension=8, heads=2, history_length=4), encoding)
    return network, train(network, training, validation, config, checkpoint=checkpoint)


@pytest.mark.parametrize("killed_after", [1, 2, 4])
def test_a_killed_run_goes_on_to_the_same_bits(parts, killed_after):
    network, report = run(parts)
    checkpoint = Memory(killed_after)
    with pytest.raises(Killed):
        run(parts, checkpoint)
    checkpoint.saves = None
    # Neither the first weights nor the random numbers drawn since then are those of the run before.
    torch.rand(100)
    resumed, again = run(parts, checkpoint, weights=9)
    assert again == report
    assert len(checkpoint.states) == CONFIG.epochs
    assert all(torch.equal(weight, resumed.state_dict()[name]) for name, weight in network.state_dict().items())


def test_a_run_that_stopped_early_stays_stopped(parts):
    config = TrainingConfig(epochs=30, patience=1, histories=64, learning_rate=0.03)
    checkpoint = Memory()
    _, report = run(parts, checkpoint, config)
    epochs = len(checkpoint.states)
    assert epochs < 30
    assert run(parts, checkpoint, config)[1] == report
    assert len(checkpoint.states) == epochs


def test_the_checkpoint_of_another_run_is_refused(parts):
    checkpoint = Memory()
    run(parts, checkpoint)
    with pytest.raises(CheckpointError, match=r"'seed': 0.*'seed': 1"):
        run(parts, checkpoint, TrainingConfig(epochs=4, patience=4, histories=64, seed=1))
