"""The same features and prices, wherever the blocks of users are computed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tasks.servers.environment import environment
from tasks.settings import Settings

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


def surroundings(home: Path, url: str) -> dict[str, str]:
    """What the main job and every worker of a cluster must see alike."""
    seen = {"PRICING_HOME": str(home), "PRICING_DATABASE_URL": url, "PYTHONPATH": str(Path.cwd())}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in seen.items():
            patch.setenv(name, value)
        return seen | environment(Settings())


def main_job(runner: str, home: Path, url: str, shop: Path, scheduler: str | None = None) -> pd.DataFrame:
    """Run the main job in blocks of 40 users; returns the features it learnt from."""
    home.mkdir()
    (home / "job.py").write_text(MAIN_JOB)
    seen = os.environ | surroundings(home, url)
    if scheduler is not None:
        seen["PRICING_DASK_SCHEDULER"] = scheduler
    command = [sys.executable, str(home / "job.py"), str(shop), runner]
    done = subprocess.run(command, env=seen, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((home / "candidates").iterdir()) == [], "what the book was made from is not kept"
    (features,) = (home / "features").iterdir()
    return pd.read_parquet(features / "decisions.parquet")


@pytest.mark.slow
def test_two_worker_processes_give_the_same_book(
    database_url: str, module_database_url: str, shop_folder: Path, tmp_path: Path, execute: Execute
) -> None:
    from distributed import LocalCluster

    books, features = [], []
    for runner, url in (("local", database_url), ("distributed", module_database_url)):
        home = tmp_path / runner
        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", env=surroundings(home, url)
        ) as cluster:
            scheduler = cluster.scheduler_address if runner == "distributed" else None
            features.append(main_job(runner, home, url, shop_folder, scheduler))
        books += execute(url, "SELECT content_hash, personal_rows FROM pricing.books JOIN pricing.live USING (book_id)")
    pd.testing.assert_frame_equal(*features)
    assert books[0] == books[1]
    assert books[0][1] == 135 * 12
