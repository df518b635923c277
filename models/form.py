"""How parameters show themselves as a form: fields in the order they are declared, each with its own words."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


def as_form(schema: dict[str, Any]) -> None:
    """Order a JSON schema's fields, entitle each, and tell it what the class's docstring says of it under `Args`.

    Meant as pydantic's `json_schema_extra`. Prefect keeps the schema as JSON whose keys have no order, and goes by
    `position`.
    """
    summary, _, arguments = str(schema.get("description", "")).partition("\n\nArgs:\n")
    schema["description"] = summary
    told = _told(arguments)
    for position, (name, field) in enumerate(schema["properties"].items()):
        field["position"] = position
        words = name.replace("_", " ")
        if field.get("title", words.title()) == words.title():  # none, or pydantic's own with a capital for each word
            field["title"] = words.capitalize()
        if name in told:
            field.setdefault("description", told[name])


# A dataclass's `__pydantic_config__`, for whoever shows or reads it as a form.
FORM: dict[str, Any] = {"extra": "forbid", "json_schema_extra": as_form}


@dataclass(frozen=True)
class Within:
    """The limits of a number in a form, beside its type in `Annotated`.

    Pydantic's own say the same, but where a model is fit and pydantic is not installed there is no form either.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return the schema of the type with the limits."""
        return handler(source) | {name: limit for name, limit in asdict(self).items() if limit is not None}


def as_form_where(name: str, value: Any, **needed: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """As `as_form`; besides, where the field `name` has this value, the `needed` ones must be there and be so.

    A schema's rule, so that Prefect's server refuses what breaks it before a run is made. It hangs on the field's
    being there, because the server drops all `required` from the schema that it checks a deployment's defaults by.
    """
    rule = {
        "if": {"properties": {name: {"const": value}}},
        "then": {"properties": needed, "required": list(needed)},
    }

    def form(schema: dict[str, Any]) -> None:
        as_form(schema)
        schema["dependentSchemas"] = {name: rule}

    return form


def _told(arguments: str) -> dict[str, str]:
    """The descriptions of an `Args` section by name; names may share one."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?= {4}\w)", arguments):
        names, _, text = entry.partition(":")
        words = " ".join(text.split())
        found |= {name.strip(): words[:1].upper() + words[1:] for name in names.split(",")}
    return found
