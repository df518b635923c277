from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.features.content import ProductContent
from models.simulation.marketplace import MarketplaceConfig, simulate
from tests.benchmarks import experiments
from tests.benchmarks.experiments import DOMAINS, EXPERIMENTS, Size, cells, run
from tests.benchmarks.measures import wmape_limits
from tests.benchmarks.methods import LABELS, METHODS, OURS
from tests.benchmarks.scenario import Scenario

SMALL = Size(users=60, products=6, offers=1_000)


def small_scenario(config: MarketplaceConfig, cache: Path) -> Scenario:
    market = simulate(config)
    return Scenario(market, market.log, market.log.select(market.log.randomised), market.requests)


def test_the_main_table_comes_first_and_its_first_seed_before_the_others():
    order = cells(EXPERIMENTS, DOMAINS, [0, 1, 2])
    main = [cell for cell in order if cell.experiment == "main"]
    assert order[: len(main)] == main
    assert [cell.seed for cell in main] == sorted(cell.seed for cell in main)
    assert len(main) == 3 * len(DOMAINS) * len(METHODS)
    assert len(set(order)) == len(order)


def test_cells_of_one_marketplace_stand_together():
    main = cells(["main"], DOMAINS, [0, 1])
    markets = [(cell.seed, cell.domain) for cell in main]
    assert sum(a != b for a, b in pairwise(markets)) == len(set(markets)) - 1


def test_every_method_has_a_label():
    assert set(METHODS) == set(LABELS)


@pytest.fixture
def without_encoders(monkeypatch: pytest.MonkeyPatch):
    experiments._loaded.cache_clear()
    monkeypatch.setattr(experiments, "load_scenario", small_scenario)
    yield
    experiments._loaded.cache_clear()


def test_a_cell_gives_its_measures(without_encoders, tmp_path):
    (cell,) = (cell for cell in cells(["main"], ["hotel"], [0]) if cell.method == "logit")
    found = run(cell, SMALL, tmp_path)
    assert found["status"] == "ok"
    assert 0 < found["measures"]["regret"][0] < 1
    assert found["offers"] == SMALL.offers


def test_products_that_the_log_never_offered_are_priced_alone(without_encoders, tmp_path):
    (cell,) = (cell for cell in cells(["new_products"], ["hotel"], [0]) if cell.method == "best_uniform")
    size = replace(SMALL, products=8)
    found, scenario = run(cell, size, tmp_path), experiments._scenario(cell, size, tmp_path)
    assert found["status"] == "ok"
    assert scenario.requests.frame["product_id"].nunique() == 2
    assert not set(scenario.requests.frame["product_id"]) & set(scenario.learning.frame["product_id"])


def test_content_is_taken_away_part_by_part():
    ours = [cell for cell in cells(["large_catalogue"], ["hotel"], [0]) if cell.method == OURS]
    assert [cell.setting for cell in ours] == ["", "no text", "no image", "no text or image"]
    nothing = np.ones((1, 3), "float32")
    market = simulate(MarketplaceConfig(users=10, products=4, offers=80))
    market = market.with_content(ProductContent(("product-0000",), nothing, nothing))
    scenario = Scenario(market, market.log, market.log, market.requests)
    widths = []
    for cell in ours:
        change = experiments.CHANGES.get(cell.setting, lambda scenario: scenario)
        content = change(scenario).requests.content
        assert content is not None
        widths.append((content.text.shape[1], content.image.shape[1]))
    assert widths == [(3, 3), (0, 3), (3, 0), (0, 0)]


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_is_reachable_lies_between_what_nobody_can_know_and_a_guess(without_encoders, domain):
    scenario = small_scenario(MarketplaceConfig(domain, users=200, products=8, offers=4_000), Path())
    found = wmape_limits(scenario)
    guess = np.abs(scenario.true_probability(scenario.last_logged) - scenario.learning.purchased.mean())
    total = scenario.true_probability(scenario.last_logged).sum()
    assert 0.06 < found["least_wmape"].value < found["reachable_wmape"].value < 0.9 * guess.sum() / total


def test_a_method_that_fails_is_a_result_that_says_why(without_encoders, tmp_path, monkeypatch):
    class Failing:
        @classmethod
        def fit(cls, scenario: Scenario):
            raise ValueError("singular matrix")

    monkeypatch.setitem(experiments.FITTED, OURS, Failing)
    (cell,) = (cell for cell in cells(["main"], ["hotel"], [0]) if cell.method == OURS)
    found = run(cell, SMALL, tmp_path)
    assert (found["status"], found["error"]) == ("failed", "ValueError: singular matrix")


def test_a_peer_whose_package_is_missing_is_reported(without_encoders, tmp_path, monkeypatch):
    class Missing:
        @classmethod
        def fit(cls, scenario: Scenario):
            import package_that_nobody_has  # noqa: F401

    monkeypatch.setitem(experiments.FITTED, "lightgbm", Missing)
    (cell,) = (cell for cell in cells(["main"], ["hotel"], [0]) if cell.method == "lightgbm")
    assert run(cell, SMALL, tmp_path)["status"] == "not installed"
