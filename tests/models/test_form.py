"""Forms show every field in its place, with its own words and none of a docstring's markup."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter

from flows.backfill import BackfillParameters
from flows.deploy import DeployParameters
from flows.monitor import MonitorParameters
from flows.reprice import RepriceParameters
from flows.rollback import RollbackParameters
from flows.simulate import SimulateParameters
from flows.train import TrainParameters
from flows.warn import WarnParameters
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


@dataclass(frozen=True)
class Sizes:
    """How large it is.

    Args:
        width, height: in metres, measured
            where it is widest.
        name: of its maker.

    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=as_form)

    name: str = ""
    width: float = 1.0
    height: float = 2.0


def test_a_docstring_s_arguments_become_the_fields_descriptions() -> None:
    schema = TypeAdapter(Sizes).json_schema()
    fields = schema["properties"]
    assert schema["description"] == "How large it is."
    assert [fields[name]["position"] for name in ("name", "width", "height")] == [0, 1, 2]
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
