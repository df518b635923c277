import pickle

import pytest
import torch

from tasks.training.checkpoints import FileCheckpoint

STATE = {"network": {"weight": torch.arange(3.0)}, "validation_loss": [0.5, 0.25], "identity": {"seed": 3}}


@pytest.fixture
def checkpoint(tmp_path):
    return FileCheckpoint(tmp_path / "runs" / "one.pt")


def test_what_was_saved_is_loaded(checkpoint):
    assert checkpoint.load() is None
    checkpoint.save(STATE)
    loaded = checkpoint.load()
    assert torch.equal(loaded.pop("network")["weight"], STATE["network"]["weight"])
    assert loaded == {name: STATE[name] for name in ("validation_loss", "identity")}


def test_a_save_that_fails_half_way_leaves_the_state_before(checkpoint):
    checkpoint.save(STATE)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        checkpoint.save(STATE | {"identity": lambda: None})
    assert checkpoint.load()["identity"] == {"seed": 3}


def test_a_file_that_would_run_code_is_refused(checkpoint):
    checkpoint.save(STATE | {"identity": pytest.fail})
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load()
