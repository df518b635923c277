import numpy as np
import pytest
import torch

from models.demand.network import DemandConfig, DemandModel
from models.demand.training import (
    TrainingConfig,
    TrainingError,
    _negative_log_likelihood,
    log_loss,
    start_from_pooled,
    train,
)
from models.features.decisions import Decisions, split_by_time
from models.features.encoding import Encoding
from models.features.offer_log import Log

SMALL = DemandConfig(dimension=8, heads=2, history_length=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def parts(make_log):
    split = split_by_time(make_log(1500, users=100).decisions)
    encoding = Encoding.fit(split.train, minimum_count=2)
    return encoding, *(Log.of(part, encoding, np.zeros(len(part)), CPU) for part in split[:2])


def trained(parts, **options):
    encoding, training, validation = parts
    torch.manual_seed(0)
    network = DemandModel(SMALL, encoding)
    config = TrainingConfig(**({"epochs": 2, "histories": 64} | options))
    return network, train(network, training, validation, config)


def test_batches_hold_every_row_once_and_whole_histories(parts):
    _, training, _ = parts
    generator = torch.Generator().manual_seed(0)
    rows = 0
    batches = training.batches(50, generator)
    for histories, (decisions, offers) in zip(batches, training.read(batches), strict=True):
        rows += len(decisions.history)
        assert len(offers.weight) == training.count[histories].sum()
        own = torch.isin(training.decisions.history, histories)
        assert sorted(offers.price_ratio.tolist()) == sorted(training.offers.price_ratio[own].tolist())
        assert torch.equal(
            decisions.histories.end[decisions.history].sort().values,
            training.decisions.histories.end[training.decisions.history[own]].sort().values,
        )
    assert rows == len(training.rows)


@pytest.mark.parametrize("histories", [0, 1])
def test_a_batch_of_no_or_one_history(parts, histories):
    encoding, training, _ = parts
    network = DemandModel(SMALL, encoding)
    ((decisions, offers),) = training.read([torch.arange(histories)])
    loss = network(decisions).log_odds(offers.price_ratio).sum()
    loss.backward()
    assert torch.isfinite(loss)


def test_the_seed_decides_everything(parts):
    first, report = trained(parts)
    again, same = trained(parts)
    other, _ = trained(parts, seed=1)
    assert report == same
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert not torch.equal(first.product_key.weight, other.product_key.weight)


def test_the_best_epoch_is_kept_and_training_stops_after_patience(parts):
    network, report = trained(parts, epochs=30, patience=2, learning_rate=0.03)
    assert len(report.validation_loss) == report.best_epoch + 2
    assert log_loss(network, parts[2]) == pytest.approx(min(report.validation_loss), rel=1e-6)


def test_progress_is_told_after_each_epoch(parts):
    encoding, training, validation = parts
    told = []
    config = TrainingConfig(epochs=2, histories=64)
    report = train(DemandModel(SMALL, encoding), training, validation, config, lambda *epoch: told.append(epoch))
    assert told == list(zip([1, 2], report.training_loss, report.validation_loss, strict=True))


def test_a_loss_that_is_not_finite_is_an_error(parts):
    with pytest.raises(TrainingError, match="learning rate"):
        trained(parts, learning_rate=1e30)


def test_one_outcome_alone_cannot_be_learned(make_log):
    decisions = make_log(100).decisions
    refused = Decisions(decisions.frame.assign(purchased=0.0), decisions.events)
    network = DemandModel(SMALL, Encoding.fit(refused))
    with pytest.raises(TrainingError, match="all bought or all refused"):
        start_from_pooled(network, refused, Encoding.fit(refused), np.zeros(len(refused)))


def test_weights_count_as_copies(make_log):
    """An offer of weight 3 moves the loss as three offers do."""
    decisions = make_log(200).decisions
    twice = decisions.select(np.repeat(np.arange(len(decisions)), np.where(decisions.purchased > 0, 3, 1)))
    weighted = Decisions(decisions.frame.assign(weight=np.where(decisions.purchased > 0, 3.0, 1.0)), decisions.events)
    encoding = Encoding.fit(decisions)
    network = DemandModel(SMALL, encoding)
    losses = [log_loss(network, Log.of(each, encoding, np.zeros(len(each)), CPU)) for each in (twice, weighted)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_network_compiles_as_a_whole(parts):
    """As a GPU may train it, save for the code that is generated."""
    encoding, training, _ = parts
    torch.manual_seed(0)
    config = DemandConfig(dimension=8, heads=2, layers=1, history_length=16, dropout=0.0)
    network = DemandModel(config, encoding).train()
    compiled = torch.compile(network, dynamic=False, fullgraph=True, backend="eager")
    for batch in training.read(training.batches(64)[:2]):
        loss = _negative_log_likelihood(network, *batch, compiled)
        loss.backward()
        assert loss.item() == pytest.approx(_negative_log_likelihood(network, *batch).item(), rel=1e-5)
