import pytest

from models.pricing.disclosure import JURISDICTIONS, disclosure
from models.pricing.policy import PolicyError, PricingPolicy


def test_new_york_has_its_own_words():
    assert disclosure(["US-NY"]) == "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA"


@pytest.mark.parametrize("place", ["EU", "FR", "DE-BY"])
def test_a_member_state_has_the_rule_of_the_union(place):
    assert disclosure([place]) == JURISDICTIONS["EU"].text


def test_china_offers_a_price_that_is_not_personal():
    assert "not based on your personal characteristics" in disclosure(["CN"])
    assert "differential" in JURISDICTIONS["CN"].duties


@pytest.mark.parametrize("place", ["TW", "US-CA"])
def test_a_place_without_a_rule_says_so(place):
    assert disclosure([place]) == f"No specific rule on disclosing personalised prices is recorded for {place}."


def test_each_text_is_said_once_and_in_order():
    assert disclosure(["FR", "US-NY", "EU"]).split("\n") == [
        JURISDICTIONS["EU"].text,
        JURISDICTIONS["US-NY"].text,
    ]
    assert disclosure([]) == ""


def test_a_policy_names_its_jurisdictions():
    policy = PricingPolicy.from_toml('[disclosure]\njurisdictions = ["US-NY", "FR"]', "policy.toml")
    assert policy.disclosure.jurisdictions == ("US-NY", "FR")
    with pytest.raises(PolicyError, match=r"disclosure.jurisdictions has 'New York'"):
        PricingPolicy.from_toml('[disclosure]\njurisdictions = ["New York"]', "policy.toml")
