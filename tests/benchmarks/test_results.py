from dataclasses import asdict, replace
from pathlib import Path

from tests.benchmarks.experiments import Cell, Size
from tests.benchmarks.results import Results

SIZE = Size(10, 4, 100)
CELL = Cell("main", "", "hotel", 0, "logit")
OTHER = replace(CELL, seed=1)


def record(cell: Cell, status: str = "ok", size: Size = SIZE, **more: object) -> dict[str, object]:
    return asdict(cell) | asdict(size) | {"status": status} | more


def test_a_cell_that_is_done_is_not_missing(tmp_path: Path):
    results = Results(tmp_path / "new")
    assert results.missing([CELL, OTHER], SIZE) == [CELL, OTHER]
    results.append(record(CELL))
    assert results.missing([CELL, OTHER], SIZE) == [OTHER]


def test_a_cell_of_another_size_does_not_count(tmp_path: Path):
    results = Results(tmp_path)
    results.append(record(CELL, size=replace(SIZE, offers=200)))
    assert results.missing([CELL], SIZE) == [CELL]
    assert results.records(SIZE) == []


def test_a_failed_cell_is_tried_again_and_its_last_record_counts(tmp_path: Path):
    results = Results(tmp_path)
    results.append(record(CELL, "failed", error="out of luck"))
    assert results.missing([CELL], SIZE) == [CELL]
    results.append(record(CELL))
    assert [found["status"] for found in results.records(SIZE)] == ["ok"]


def test_a_line_a_killed_run_left_half_written_costs_that_cell_alone(tmp_path: Path):
    results = Results(tmp_path)
    results.append(record(CELL))
    with results.file.open("a") as lines:
        lines.write('\n{"experiment": "main", "sett')
    results.append(record(OTHER))
    assert len(results.records(SIZE)) == 2
