import torch

from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig
from tests.benchmarks.training_speed import Speed, make_batches, make_logs, measure, table


def test_every_counted_epoch_is_measured():
    data = make_logs(400, torch.device("cpu"))
    config = TrainingConfig(histories=64)
    speed = measure(DemandConfig(dimension=8, layers=1, history_length=4), config, data, repeats=2)
    assert [len(times) for times in (speed.training, speed.bare, speed.batching)] == [2, 2, 2]
    assert min(speed.training + speed.bare + speed.batching) > 0
    assert sum(len(offers.weight) for _, offers in make_batches(data[1], config)) == speed.offers == 360


def test_the_ratio_is_one_where_both_take_as_long():
    summary = Speed(offers=100, training=[1.0, 2.0, 4.0], bare=[1.0, 2.0, 2.0], batching=[0.1, 0.2, 0.0]).summary()
    assert summary["training_examples_a_second"] == {"median": 50, "lowest": 25, "highest": 100}
    assert summary["ratio"] == {"median": 1, "lowest": 0.5, "highest": 1}
    report = {"device": "two wheels", "torch": "2", "offers": 100, "settings": {"default": summary}}
    assert table(report).splitlines()[-1] == "| default | 50 | 50 | 1.00 (0.50 to 1.00) | 10.0% |"
