import os
import time
from pathlib import Path

from tasks.books.blocks import Block
from tasks.retention import KEPT, KEPT_DAYS, drop_unused
from tasks.settings import Settings
from tasks.training.checkpoints import FileCheckpoint

STATE = {"validation_loss": [0.5]}


def test_what_was_used_lately_stays_and_the_rest_goes(tmp_path: Path) -> None:
    for name in KEPT:
        for folder, days in (("recent", KEPT_DAYS - 1), ("abandoned", KEPT_DAYS + 1)):
            (tmp_path / name / folder).mkdir(parents=True)
            (tmp_path / name / folder / "half.unfinished").touch()
            age(tmp_path / name / folder, days)
    age(tmp_path / "models", 100)
    drop_unused(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")} == {f"{name}/recent" for name in KEPT}
    assert (tmp_path / "models").exists()


def test_a_home_without_anything_is_left_alone(tmp_path: Path) -> None:
    drop_unused(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_training_that_goes_on_for_longer_keeps_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = FileCheckpoint(tmp_path / "fits" / "long" / "member-0.pt")
    checkpoint.save(STATE)
    age(checkpoint.path.parent, KEPT_DAYS + 1)
    checkpoint.save(STATE)
    drop_unused(tmp_path)
    assert checkpoint.load() == STATE


def test_the_candidates_of_a_book_lie_where_they_are_looked_for(settings: Settings) -> None:
    folder = Block("book", None, 0).folder
    folder.mkdir(parents=True)
    age(folder, KEPT_DAYS + 1)
    drop_unused(settings.home)
    assert not folder.exists()


def age(folder: Path, days: float) -> None:
    """Let a folder look as if it had last been used so many days ago."""
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder, (0, time.time() - days * 24 * 3600))
