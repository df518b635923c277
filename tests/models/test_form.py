"""Forms show every field in its place, with its own words and none of a docstring's markup."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from prefect import Flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from flows.backfill import BackfillParameters, backfill
from flows.deploy import DeployParameters, deploy
from flows.monitor import MonitorParameters, monitor
from flows.reprice import RepriceParameters, reprice
from flows.rollback import RollbackParameters, rollback
from flows.simulate import SimulateParameters, simulate
from flows.train import TrainParameters, train
from flows.warn import WarnParameters, warn
from models.form import as_form

FORMS = [
    BackfillParameters,
    DeployParameters,
    MonitorParameters,
    RepriceParameters,
    RollbackParameters,
    SimulateParameters,
    TrainParameters,
    WarnParameters,
]
FLOWS = [backfill, deploy, monitor, reprice, rollback, simulate, train, warn]


@dataclass(frozen=True)
class Sizes:
    """How large it is.

    Args:
        width, height: in metres, measured
            where it is widest.
        name: of the thing.

    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=as_form)

    name: str = ""
    maker_of_it: str = ""
    width: float = 1.0
    height: float = 2.0


def test_a_docstring_s_arguments_become_the_fields_descriptions() -> None:
    schema = TypeAdapter(Sizes).json_schema()
    fields = schema["properties"]
    assert schema["description"] == "How large it is."
    assert [fields[name]["position"] for name in ("name", "width", "height")] == [0, 2, 3]
    assert fields["maker_of_it"]["title"] == "Maker of it"
    assert (
        fields["width"]["description"] == fields["height"]["description"] == "In metres, measured where it is widest."
    )


def objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    yield from (found for found in schema.get("$defs", {}).values() if "properties" in found)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_ordered_and_speaks_of_no_arguments(form: type[BaseModel]) -> None:
    for found in objects(form.model_json_schema()):
        assert [field["position"] for field in found["properties"].values()] == list(range(len(found["properties"])))
        assert "Args" not in found["description"]
        assert all("description" in field or "title" in field for field in found["properties"].values())


def numbers(field: dict[str, Any]) -> Iterator[dict[str, Any]]:
    choices = field.get("anyOf", [field])
    yield from (choice for choice in choices if choice.get("type") in ("integer", "number"))


def is_bounded(number: dict[str, Any]) -> bool:
    return bool({"minimum", "exclusiveMinimum"} & number.keys()) and bool(
        {"maximum", "exclusiveMaximum"} & number.keys()
    )


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_field_has_title_words_and_bounds(flow: Flow[..., Any]) -> None:
    for found in parameter_schema(flow).definitions.values():
        assert found["additionalProperties"] is False, found["title"]
        for name, field in found["properties"].items():
            assert field["title"][:1].isupper(), name
            assert field["description"][:1].isalnum(), name
            assert all(map(is_bounded, numbers(field))), name


def refusals(flow: Flow[..., Any], **parameters: Any) -> list[str]:
    """What Prefect's server has against these parameters of a run."""
    schema = parameter_schema(flow).model_dump_for_openapi()
    return [error.message for error in validate({"parameters": parameters}, schema)]


@pytest.mark.parametrize(
    ("flow", "parameters"),
    [
        (train, {"recipe": {"training": {"epochs": -3}}}),
        (train, {"recipe": {"training": {"learning_rate": 0}}}),
        (train, {"recipe": {"demand": {"dimension": 0}}}),
        (train, {"recipe": {"demand": {"heads": 0}}}),
        (train, {"recipe": {"demand": {"members": -1}}}),
        (train, {"recipe": {"demand": {"depth": 3}}}),
        (train, {"policy": "hotle"}),
        (train, {"source": {"kind": "files"}}),
        (train, {"source": {"kind": "files", "path": None}}),
        (train, {"source": {"kind": "marketplace", "marketplace": {"users": -5}}}),
        (train, {"source": {"kind": "marketplace", "marketplace": {"user": 5}}}),
        (deploy, {"two_person": True}),
        (deploy, {"two_person": True, "approval": "automatic"}),
        (simulate, {"against": "hotle"}),
        (monitor, {"at_least": 61}),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_there_is_a_run(
    flow: Flow[..., Any], parameters: dict[str, Any]
) -> None:
    assert refusals(flow, **parameters)


@pytest.mark.parametrize(
    ("flow", "parameters"),
    [
        (train, {}),
        (train, TrainParameters().model_dump(mode="json")),
        (train, {"policy": "hotel", "source": {"kind": "files", "path": "shop"}}),
        (train, {"policy": "policies/own", "source": {"kind": "live", "path": None}}),
        (train, {"policy": "own.toml", "source": {"marketplace": {"domain": "hotel"}}}),
        (deploy, DeployParameters().model_dump(mode="json")),
        (deploy, {"two_person": True, "approval": "review", "policy": None}),
        (simulate, SimulateParameters().model_dump(mode="json")),
        (monitor, {}),
    ],
)  # fmt: skip
def test_what_can_be_meant_is_accepted(flow: Flow[..., Any], parameters: dict[str, Any]) -> None:
    assert refusals(flow, **parameters) == []
    assert flow.validate_parameters({"parameters": parameters})


@pytest.mark.parametrize(
    ("form", "values", "message"),
    [
        (TrainParameters, {"recipe": {"demand": {"dimension": 10, "heads": 3}}}, "3 does not divide 10"),
        (TrainParameters, {"recipe": {"training": {"epoch": 3}}}, "epoch"),
        (BackfillParameters, {"since": "2026-02-01", "until": "2026-01-01"}, "must be later"),
        (MonitorParameters, {"windows": 3, "at_least": 4}, "only 3 windows"),
    ],
)
def test_what_a_schema_cannot_say_is_refused_by_the_model(
    form: type[BaseModel], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        form.model_validate(values)
