import numpy as np
import pytest
import torch

from models.demand.network import DemandConfig, DemandModel
from models.demand.recorded_step import RecordedSteps, _power_of_two, _room
from models.demand.training import TrainingConfig, _negative_log_likelihood, train
from models.features.decisions import split_by_time
from models.features.encoding import Encoding
from models.features.offer_log import Log

HISTORIES = 64


@pytest.fixture(scope="module")
def decisions(make_log):
    return split_by_time(make_log(1500, users=100).decisions)


def learner(decisions, device):
    encoding = Encoding.fit(decisions.train, minimum_count=2)
    logs = [Log.of(part, encoding, np.zeros(len(part)), torch.device(device)) for part in decisions[:2]]
    torch.manual_seed(0)
    config = DemandConfig(dimension=8, heads=2, history_length=6, dropout=0.0)
    return DemandModel(config, encoding).to(device), *logs


def gradients_of_each_batch(network, log, step):
    """Gradients of some batches whose sizes rise and fall, so that buffers hold what is left of larger ones."""
    generator = torch.Generator().manual_seed(0)
    batches = [batch for size in (HISTORIES, 50, 20, HISTORIES) for batch in log.batches(size, generator)]
    assert len({len(layout.rows) for layout in log.layouts(batches)}) > 5
    found = []
    for layout in log.layouts(batches):
        hidden = torch.rand(len(layout.histories), generator=generator) < 0.3
        loss = float(step(layout, hidden, float(len(layout.rows))))
        found.append((loss, {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}))
    return found


def plain(network, log):
    def step(layout, hidden, divisor):
        network.zero_grad(set_to_none=True)
        decisions, offers = log.take(layout)
        loss = _negative_log_likelihood(network, decisions.mask(hidden.to(log.rows.device)), offers)
        (loss / divisor).backward()
        return loss.detach()

    return step


def recorded(network, log, record):
    def loss(decisions, offers, hidden):
        return _negative_log_likelihood(network, decisions.mask(hidden), offers)

    return RecordedSteps(log, list(network.parameters()), loss, HISTORIES, network.user.history_length, record)


def test_what_only_fills_a_buffer_changes_no_gradient(decisions):
    network, log, _ = learner(decisions, "cpu")
    recordings = []

    def run_again(run):
        recordings.append(run)
        return run

    expected = gradients_of_each_batch(network, log, plain(network, log))
    found = gradients_of_each_batch(network, log, recorded(network, log, run_again))
    assert 1 < len(recordings) < len(found), "one for each size of a buffer, not of a batch"
    for (loss, gradients), (same, those) in zip(expected, found, strict=True):
        assert loss == pytest.approx(same, rel=1e-5)
        assert gradients.keys() == those.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, those[name], rtol=1e-4, atol=1e-6)


def test_users_who_never_did_anything_need_no_events(make_log):
    silent = split_by_time(make_log(400, users=30, events_each=0).decisions)
    network, log, _ = learner(silent, "cpu")
    (layout,) = log.layouts(log.batches(HISTORIES)[:1])
    assert layout.longest == len(log.decisions.events.kind) == 0
    loss = recorded(network, log, lambda run: run)(layout, torch.zeros(len(layout.histories)).bool(), 1.0)
    assert torch.isfinite(loss)


@pytest.mark.parametrize("count", [0, *range(1, 70), 1000, 12345])
def test_there_is_room_and_little_of_it_is_empty(count):
    assert count <= _room(count) <= max(1.25 * count, count + 1)
    assert count <= _power_of_two(count) < 2 * max(count, 1)


@pytest.mark.gpu
def test_a_gpu_trains_what_a_cpu_trains(decisions):
    losses = []
    for device in ("cpu", "cuda", "cuda"):
        network, training, validation = learner(decisions, device)
        report = train(network, training, validation, TrainingConfig(epochs=4, histories=HISTORIES))
        losses.append([*report.training_loss, *report.validation_loss])
    np.testing.assert_allclose(losses[1], losses[0], rtol=5e-3)
    np.testing.assert_allclose(losses[2], losses[1], rtol=1e-4)


@pytest.mark.gpu
def test_a_recorded_batch_has_the_gradients_of_one_that_is_not(decisions):
    network, log, _ = learner(decisions, "cuda")
    steps = RecordedSteps.on_gpu(log, list(network.parameters()), recorded(network, log, None).loss, HISTORIES, 6)
    expected = gradients_of_each_batch(network, log, plain(network, log))
    found = gradients_of_each_batch(network, log, steps)
    for (loss, gradients), (same, those) in zip(expected, found, strict=True):
        assert loss == pytest.approx(same, rel=1e-3)
        for name, gradient in gradients.items():
            scale = gradient.norm() + 1e-6
            torch.testing.assert_close(gradient / scale, those[name] / scale, rtol=0, atol=0.05)
