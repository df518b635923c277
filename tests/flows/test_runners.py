"""The same features and prices, wherever the blocks of users are computed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Execute = Callable[[str, str], list[tuple[object, ...]]]

MAIN_JOB = """
import json, os, sys
from tasks.database import database_url, migrate
from tasks.servers.environment import environment
from tasks.settings import Settings

if __name__ == "__main__":
    migrate(database_url(Settings()))
    os.environ.update(environment(Settings()))
    import tasks.books.candidates, tasks.books.choose, tasks.training.extract
    from flows.deploy import DeployParameters, deploy
    from flows.train import TrainParameters, train
    tasks.books.candidates.USERS_PER_BLOCK = tasks.books.choose.USERS_PER_BLOCK = 40
    tasks.training.extract.USERS_PER_BLOCK = 40
    folder, runner = sys.argv[1:]
    source = {"kind": "files", "path": folder, "currency": "EUR"}
    small = {"demand": {"dimension": 8, "layers": 1, "history_length": 4}, "training": {"epochs": 1}}
    registered = train(TrainParameters(source=source, recipe=small, runner=runner))
    deploy(DeployParameters(version=str(registered.version), runner=runner))
"""


def main_job(runner: str, home: Path, url: str, shop: Path) -> pd.DataFrame:
    """Run the main job in blocks of 40 users; returns the features it learnt from."""
    home.mkdir()
    (home / "job.py").write_text(MAIN_JOB)
    environment = os.environ | {"PRICING_HOME": str(home), "PRICING_DATABASE_URL": url, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(home / "job.py"), str(shop), runner]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((home / "candidates").iterdir()) == [], "what the book was made from is not kept"
    (features,) = (home / "features").iterdir()
    return pd.read_parquet(features / "decisions.parquet")


@pytest.mark.slow
def test_two_worker_processes_give_the_same_book(
    database_url: str, module_database_url: str, shop_folder: Path, tmp_path: Path, execute: Execute
) -> None:
    books, features = [], []
    for runner, url in (("local", database_url), ("distributed", module_database_url)):
        features.append(main_job(runner, tmp_path / runner, url, shop_folder))
        books += execute(url, "SELECT content_hash, personal_rows FROM pricing.books JOIN pricing.live USING (book_id)")
    pd.testing.assert_frame_equal(*features)
    assert books[0] == books[1]
    assert books[0][1] == 135 * 12
