"""A version is there whole or not at all, what a killed run left undone is done by the next, and nobody is in it."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import pytest

from tasks.data.snapshots import Snapshot
from tasks.quotes.requests import conforming_requests
from tasks.registry.versions import create_version, version_of, version_trained_from
from tasks.training.fit import Recipe

# of one of MLflow's own models, at its import
pytestmark = [pytest.mark.usefixtures("registry"), pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")]

SNAPSHOT = Snapshot("a" * 64, "shop", "EUR", {}, datetime(2026, 4, 1, tzinfo=UTC))
TAGS = {"dataset": "shop", "snapshot_id": SNAPSHOT.snapshot_id, "inputs_hash": Recipe().inputs_hash(SNAPSHOT)}


@pytest.fixture
def registry(migrated: None, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty registry of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry")
    return mlflow.MlflowClient()


def logged(registry: Any) -> tuple[str, str]:
    """Address and run of a model that was logged."""
    run = registry.create_run(registry.create_experiment("demand")).info
    return f"{run.artifact_uri}/demand", run.run_id


def test_a_version_is_created_with_tags_and_card_at_once(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for later in ("set_model_version_tag", "update_model_version"):
        monkeypatch.setattr(mlflow.MlflowClient, later, lambda *_: pytest.fail("a kill before this leaves half of it"))
    model_uri, run_id = logged(registry)
    assert create_version(model_uri, run_id, TAGS, "# Card\n" + "long\n" * 2_000) == 1
    found = registry.get_model_version("demand", "1")
    assert found.tags == TAGS
    assert found.description.startswith("# Card\nlong") and len(found.description) <= 5_000


def test_the_next_run_ends_a_registration_that_was_cut(registry: Any, settings: Any, query: Any) -> None:
    from tasks.registry.register import find_registered

    model_uri, run_id = logged(registry)
    create_version(model_uri, run_id, TAGS, "# Card")
    assert version_trained_from(TAGS["inputs_hash"]) is not None
    fit = Recipe().folder(SNAPSHOT)
    fit.mkdir(parents=True)
    for _ in range(2):
        assert find_registered.fn(SNAPSHOT, Recipe()) == version_of("challenger")
        assert query("SELECT run_id, model_version FROM pricing.trainings") == [(run_id, 1)]
    assert not fit.exists()


def test_the_example_is_of_nobody_and_a_valid_request() -> None:
    from tasks.registry.register import _input_example

    times = pd.to_datetime(["2026-03-01T10:00:00Z", "2026-03-02T11:30:00Z", "2026-03-02T11:30:00Z"])
    offers = pd.DataFrame({"user_id": ["ann", "bob", "cid"], "product_id": ["p1", "p1", "p2"], "decided_at": times})
    trained = SimpleNamespace(split=SimpleNamespace(test=SimpleNamespace(frame=offers)))
    rows = conforming_requests(_input_example(trained), "the example")
    assert not set(rows["user_id"]) & set(offers["user_id"])
    assert rows["product_id"].tolist() == ["p1", "p2"]
    assert set(rows["requested_at"]) == {times[2]}
