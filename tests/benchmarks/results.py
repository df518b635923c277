"""The cells that are done: one JSON line each in a results folder, so that a run can be stopped and go on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.experiments import Cell, Size


@dataclass(frozen=True)
class Results:
    """The file `cells.jsonl`; of several records of one cell the last one counts."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "cells.jsonl"

    def append(self, record: dict[str, Any]) -> None:
        """Add one record on a line of its own, whatever a killed run left of the line before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as lines:
            lines.write("\n" + json.dumps(record))

    def records(self, size: Size) -> list[dict[str, Any]]:
        """Return the last record of each cell that was run at this size, in the order they were first run."""
        if not self.file.exists():
            return []
        latest: dict[tuple[Any, ...], dict[str, Any]] = {}
        for line in self.file.read_text().splitlines():
            record = _parsed(line)
            if record is not None and all(record[name] == value for name, value in asdict(size).items()):
                latest[_key(record)] = record
        return list(latest.values())

    def missing(self, cells: list[Cell], size: Size) -> list[Cell]:
        """Return the cells that are still to be run; one that failed is tried again."""
        done = {_key(record) for record in self.records(size) if record["status"] == "ok"}
        return [cell for cell in cells if _key(asdict(cell)) not in done]


def _key(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in Cell.__dataclass_fields__)


def _parsed(line: str) -> dict[str, Any] | None:
    """Return the record of a line, or None for an empty one and one that a killed run left half written."""
    try:
        record: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record
