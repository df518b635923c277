import json

import pytest
from pydantic import ValidationError

from models.errors import PricingError
from models.pricing.policy import Guardrails, PolicyError, PricingPolicy

WHOLE_FILE = """
satisfaction_weight = 0.25
[guardrails]
minimum_margin = 0.1
maximum_markup = 0
maximum_discount = 0.3
maximum_step = 0.2
above_uniform = false
price_ending = 0.99
currency_digits = 2
[exploration]
share = 0.05
dither = 0.01
method = "uniform"
"""


def test_every_key_is_read():
    policy = PricingPolicy.from_toml(WHOLE_FILE, "policy.toml")
    assert policy.satisfaction_weight == 0.25
    assert policy.guardrails.model_dump() == {
        "minimum_margin": 0.1,
        "maximum_markup": 0.0,
        "maximum_discount": 0.3,
        "maximum_step": 0.2,
        "above_uniform": False,
        "price_ending": 0.99,
        "currency_digits": 2,
    }
    assert policy.exploration.model_dump() == {"share": 0.05, "dither": 0.01, "method": "uniform"}


def test_what_a_file_leaves_out_is_not_limited():
    assert PricingPolicy.from_toml("", "empty.toml") == PricingPolicy()
    limits = PricingPolicy().guardrails.model_dump()
    assert limits.pop("above_uniform") is True
    assert set(limits.values()) == {None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("satisfaction_weight = 1.0", r"satisfaction_weight is 1\.0: .*less than 1"),
        ("satisfaction_weight = nan", "satisfaction_weight is nan"),
        ("satisfaction_weight = true", "satisfaction_weight is True"),
        ("satisfaction_weigth = 0.2", "unknown key satisfaction_weigth: a policy has satisfaction_weight"),
        (
            "[guardrails]\nmax_discount = 0.2",
            r"unknown key guardrails.max_discount: \[guardrails\] has minimum",
        ),
        ("[guardrails]\nmaximum_discount = 1.0", r"guardrails.maximum_discount is 1\.0"),
        ("[guardrails]\nmaximum_markup = -0.1", "guardrails.maximum_markup is -0.1"),
        ("[guardrails]\nminimum_margin = '0.1'", "guardrails.minimum_margin is '0.1'"),
        ("[guardrails]\nminimum_margin = -1", "guardrails.minimum_margin is -1"),
        ("[guardrails]\nprice_ending = 0.99\ncurrency_digits = 0", "price_ending is 0.99"),
        ("[guardrails]\ncurrency_digits = 9", "guardrails.currency_digits is 9"),
        ("[exploration]\nshare = 1.5", "exploration.share is 1.5"),
        ("[exploration]\nmethod = 'bandit'", "exploration.method is 'bandit'"),
        ("[exploration]\nshare = 0.1\n[guardrails]\nmaximum_step = 0", "guardrails.maximum_step is 0"),
        (
            "[exploration]\ndither = 0.1\n[guardrails]\nmaximum_markup = 0\nmaximum_discount = 0",
            "guardrails.maximum_discount and guardrails.maximum_markup are both 0",
        ),
        ("guardrails = 3", "guardrails is 3"),
        ("[guardrails", "policy.toml is not TOML"),
    ],
)
def test_a_policy_that_cannot_be_kept_names_its_key(text, message):
    with pytest.raises(PolicyError, match=message) as caught:
        PricingPolicy.from_toml(text, "policy.toml")
    assert str(caught.value).startswith("policy.toml")
    assert isinstance(caught.value, PricingError)


def test_every_problem_is_named_at_once():
    with pytest.raises(PolicyError, match=r"satisfaction_weight.*maximum_markup"):
        PricingPolicy.from_toml("satisfaction_weight = 2\n[guardrails]\nmaximum_markup = -1", "policy.toml")


def test_a_form_or_a_stored_policy_gives_the_same_policy_back():
    policy = PricingPolicy.from_toml(WHOLE_FILE, "policy.toml")
    assert PricingPolicy.model_validate(json.loads(policy.model_dump_json())) == policy


def test_each_field_of_the_form_has_a_title_and_a_description():
    schema = PricingPolicy.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    fields = [field for section in sections for field in section["properties"].values()]
    assert len(fields) >= 13
    assert all(field["description"] for field in fields)
    assert all(field["title"] for field in fields if "$ref" not in field)


def test_a_policy_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        PricingPolicy().satisfaction_weight = 0.5


def test_an_ending_the_currency_cannot_have_is_refused_when_the_currency_is_known():
    rails = Guardrails(price_ending=0.99)
    assert rails.price_grid("EUR").spacing == 1.0
    with pytest.raises(PolicyError, match=r"guardrails.price_ending in TWD.*currency_digits"):
        rails.price_grid("TWD")
    assert Guardrails(price_ending=0.99, currency_digits=2).price_grid("TWD").spacing == 1.0
