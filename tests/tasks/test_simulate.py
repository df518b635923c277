from pathlib import Path

import numpy as np
import pytest

from models.demand.demand_curve import DemandCurve
from models.features.decisions import Decisions
from models.pricing.policy import PolicyError
from models.simulation.marketplace import MarketplaceConfig, simulate
from models.simulation.policy_trial import Trial, compare
from tasks.simulate import LIST_PRICE_NAME, SEASON_COLUMNS, Simulation, sell_season, simulation_page, try_policy

USERS = 150


def typical(decisions: Decisions) -> DemandCurve:
    return DemandCurve(np.full(len(decisions), 5.0), np.full(len(decisions), 0.8))


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """Two hotels."""
    configs = [MarketplaceConfig("hotel", users=USERS, products=6, offers=600, seed=seed) for seed in (0, 1)]
    return [Trial(simulate(config), typical, typical) for config in configs]


@pytest.fixture(scope="module")
def simulation(trials: list[Trial]) -> Simulation:
    first, second = (try_policy.fn(trials, name) for name in ("hotel", LIST_PRICE_NAME))
    violated = first.violated, second.violated
    season = sell_season.fn(trials, "hotel")
    return Simulation("hotel", ("hotel", "list price"), compare(first.outcome, second.outcome), violated, season)


def test_users_of_different_markets_are_different_users(simulation: Simulation) -> None:
    assert simulation.comparison.users == 2 * USERS
    assert simulation.comparison.requests == 8 * USERS


def test_every_figure_has_its_line_with_both_policies(simulation: Simulation) -> None:
    rows = simulation.rows()
    labels = [row[0] for row in rows]
    assert labels[0] == "profit"
    assert {"group a, price / uniform", "group b, price / uniform", "limits not kept"} <= set(labels)
    assert all(first and second for _, first, second, _ in rows)


def test_the_page_shows_the_comparison_and_the_season(simulation: Simulation) -> None:
    page = simulation_page(simulation)
    assert simulation.verdict() in page
    for cell in (*SEASON_COLUMNS, "model, re-solved", "oracle, re-solved"):
        assert cell in page


def test_the_verdict_claims_no_more_than_the_interval(trials: list[Trial], simulation: Simulation) -> None:
    assert "hotel earns" in simulation.verdict()
    same = try_policy.fn(trials, "hotel").outcome
    draw = Simulation("hotel", ("one", "other"), compare(same, same), (0, 0), None)
    assert draw.verdict().count("neither clearly more nor less") == 2
    assert not draw.season_rows()


def test_a_policy_may_be_a_file(trials: list[Trial], tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[guardrails]\nmaximum_markup = 0.0\nmaximum_discount = 0.0\n")
    own, at_list = (try_policy.fn(trials, name).outcome["profit"].sum() for name in (str(path), LIST_PRICE_NAME))
    assert own == pytest.approx(at_list)


def test_an_unknown_policy_is_named(trials: list[Trial]) -> None:
    with pytest.raises(PolicyError, match="'hotle' is neither a preset"):
        try_policy.fn(trials, "hotle")


def test_without_scarce_stock_there_is_no_season() -> None:
    shop = simulate(MarketplaceConfig("finance", users=50, products=4, offers=200))
    assert sell_season.fn([Trial(shop, typical, typical)], "finance") is None
