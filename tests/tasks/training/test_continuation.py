from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tasks.training.continuation
from models.pricing.policy import PolicyError, PricingPolicy
from models.pricing.presets import PRESETS
from tasks.registry.register import _origin
from tasks.sources import SourceError, SourceParameters
from tasks.training.continuation import choose_policy, choose_source

OWN = PricingPolicy(satisfaction_weight=0.3)


@dataclass
class Champion:
    kept: dict[str, str] = field(default_factory=dict)
    version: int = 4

    def parameters(self) -> dict[str, str]:
        return self.kept

    def policy(self) -> PricingPolicy:
        return OWN


@pytest.fixture
def champion(monkeypatch: pytest.MonkeyPatch) -> Champion:
    live = Champion()
    monkeypatch.setattr(tasks.training.continuation, "champion", lambda: live)
    return live


@pytest.fixture
def nothing_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.training.continuation, "champion", lambda: None)


def test_a_nightly_training_goes_on_with_what_is_live(
    champion: Champion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    learnt = SourceParameters(kind="files", path=Path("shop"), currency="EUR")
    champion.kept = _origin(learnt, OWN)
    monkeypatch.chdir("/")  # the next run starts in another folder
    assert choose_source.fn(SourceParameters()) == learnt.model_copy(update={"path": tmp_path / "shop"})
    assert choose_policy.fn(None) == OWN


def test_what_is_asked_for_is_taken_as_it_is(champion: Champion) -> None:
    asked = SourceParameters(kind="database", url="postgresql://reader@host/shop")
    assert choose_source.fn(asked) == asked
    assert choose_policy.fn("hotel") == PRESETS["hotel"]


def test_before_anything_is_live_it_is_the_demonstration(nothing_live: None) -> None:
    assert choose_source.fn(SourceParameters()).kind == "tafeng"
    assert choose_policy.fn(None) == PRESETS["ecommerce"]


def test_a_champion_that_does_not_say_where_from_is_not_guessed(champion: Champion) -> None:
    with pytest.raises(SourceError, match="version 4, which is live, was registered before sources were kept"):
        choose_source.fn(SourceParameters())


def test_a_misspelt_policy_does_not_wait_for_the_training(champion: Champion) -> None:
    with pytest.raises(PolicyError, match="'hotle' is neither a preset"):
        choose_policy.fn("hotle")
