"""How parameters show themselves as a form: fields in the order they are declared, each with its own description."""

import re
from typing import Any


def as_form(schema: dict[str, Any]) -> None:
    """Order a JSON schema's fields, and tell each what the class's docstring says of it under `Args`.

    Meant as pydantic's `json_schema_extra`. Prefect keeps the schema as JSON whose keys have no order, and goes by
    `position`.
    """
    summary, _, arguments = str(schema.get("description", "")).partition("\n\nArgs:\n")
    schema["description"] = summary
    told = _told(arguments)
    for position, (name, field) in enumerate(schema["properties"].items()):
        field["position"] = position
        if name in told:
            field.setdefault("description", told[name])


def _told(arguments: str) -> dict[str, str]:
    """The descriptions of an `Args` section by name; names may share one."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?= {4}\w)", arguments):
        names, _, text = entry.partition(":")
        words = " ".join(text.split())
        found |= {name.strip(): words[:1].upper() + words[1:] for name in names.split(",")}
    return found
