import pytest

from models.pricing.policy import PolicyError, PricingPolicy
from models.pricing.presets import COLD_START_LIMITS, COLD_START_SHARE, PRESETS, WIDENING, tightened_for_cold_start


def test_the_open_preset_is_the_empty_file():
    assert PRESETS["open"] == PricingPolicy.from_toml("", "empty.toml")


def test_shop_prices_are_discounts_only():
    rails = PRESETS["ecommerce"].guardrails
    assert rails.maximum_markup == 0
    assert rails.above_uniform is False


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_stands_as_a_file_would(name):
    assert PricingPolicy.from_mapping(PRESETS[name].model_dump(), name) == PRESETS[name]
    assert PRESETS[name].guardrails.price_grid("EUR").spacing > 0


@pytest.mark.parametrize("name", PRESETS)
def test_a_cold_start_only_tightens_and_explores(name):
    policy, tightened = PRESETS[name], tightened_for_cold_start(PRESETS[name])
    expected = 0 if name == "health_services" else max(COLD_START_SHARE, policy.exploration.drawn_share)
    assert tightened.exploration.share == expected
    for rule, limit in COLD_START_LIMITS.items():
        own = getattr(policy.guardrails, rule)
        assert getattr(tightened.guardrails, rule) == (limit if own is None else min(own, limit))
    kept = {"minimum_margin", "above_uniform", "price_ending", "currency_digits"}
    assert tightened.guardrails.model_dump(include=kept) == policy.guardrails.model_dump(include=kept)


def test_a_policy_that_says_share_0_is_never_explored_and_one_that_says_nothing_only_in_a_cold_start():
    never, silent = (PricingPolicy.from_toml(text, "file") for text in ("exploration.share = 0", ""))
    for policy in (never, silent, PRESETS["health_services"]):
        assert policy.exploration.drawn_share == 0 and not policy.exploration.is_on
    assert not tightened_for_cold_start(never).exploration.is_on
    assert not tightened_for_cold_start(PRESETS["health_services"]).exploration.is_on
    assert tightened_for_cold_start(silent).exploration.share == COLD_START_SHARE
    assert PricingPolicy.from_mapping(never.model_dump(mode="json"), "stored") == never


def test_a_cold_start_without_room_to_explore_is_refused():
    frozen = PricingPolicy.from_toml("[guardrails]\nmaximum_step = 0", "policy.toml")
    with pytest.raises(PolicyError, match="maximum_step is 0"):
        tightened_for_cold_start(frozen)


def test_a_cold_start_widens_from_what_was_explored_to_the_policy_itself():
    policy = PricingPolicy.from_toml(
        "exploration.share = 0.02\n[guardrails]\nmaximum_markup = 0.2\nmaximum_discount = 0.3\nmaximum_step = 0.5",
        "wide",
    )
    limits = []
    for explored in ((1.0, 1.0), (0.86, 1.04), (0.74, 1.16), (0.7, 1.2)):
        rails = tightened_for_cold_start(policy, explored).guardrails
        limits.append((rails.maximum_discount, rails.maximum_markup))
    first = COLD_START_LIMITS["maximum_discount"], COLD_START_LIMITS["maximum_markup"]
    wider = 0.14 + WIDENING, 0.04 + WIDENING
    assert limits[:2] == [first, pytest.approx(wider)]
    assert limits[2:] == [(0.3, 0.2)] * 2
    assert tightened_for_cold_start(policy, (0.86, 1.04)).guardrails.maximum_step == COLD_START_LIMITS["maximum_step"]
    assert tightened_for_cold_start(policy, (0.7, 1.2)) == policy


def test_a_narrow_policy_starts_cold_too_until_anything_was_explored():
    narrow = PricingPolicy.from_toml("[guardrails]\nmaximum_markup = 0.0\nmaximum_discount = 0.1", "narrow")
    assert tightened_for_cold_start(narrow).exploration.share == COLD_START_SHARE
    assert tightened_for_cold_start(narrow, (0.95, 1.0)) == narrow
