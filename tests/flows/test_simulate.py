from typing import get_args

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from flows.command import Market, app
from flows.simulate import SimulateParameters
from models.pricing.policy import PolicyError
from models.simulation.domains import Domain


def test_each_marketplace_has_its_own_seed() -> None:
    configs = SimulateParameters(domain="hotel", users=500, seed=4, seeds=3).marketplaces()
    assert [config.seed for config in configs] == [4, 5, 6]
    assert {(config.domain, config.users) for config in configs} == {("hotel", 500)}


@pytest.mark.parametrize("wrong", [{"users": 10}, {"seeds": 0}, {"domain": "opera"}, {"polices": "hotel"}])
def test_impossible_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SimulateParameters.model_validate(wrong)


def test_the_command_offers_every_domain() -> None:
    assert {market.value for market in Market} == set(get_args(Domain))


@pytest.mark.parametrize("option", ["--policy", "--against"])
def test_a_misspelt_policy_is_named_before_anything_starts(option: str) -> None:
    result = CliRunner().invoke(app, ["simulate", option, "hotle"])
    assert isinstance(result.exception, PolicyError)
    assert "'hotle' is neither a preset" in str(result.exception)
