from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

import tasks.registry.pages
from tasks.plots import png_url, titled_axes
from tasks.registry.pages import report_version, version_link
from tasks.registry.versions import create_version, version_of


@pytest.mark.parametrize(
    ("tracking", "address"),
    [
        ("https://ann:secret@mlflow.shop/track/", "https://mlflow.shop/track"),
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("postgresql://ann:secret@host/mlflow", "http://127.0.0.1:5050"),  # a store and no server: that of `pricing up`
        (None, "http://127.0.0.1:5050"),
    ],
)
def test_a_version_s_page_is_led_to_without_a_password(
    tracking: str | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRICING_MLFLOW_PORT", "5050")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if tracking is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    assert version_link(3) == f"[version 3]({address}/#/models/demand/versions/3)"


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # of one of MLflow's own models, at its import
def test_a_training_s_run_shows_the_version_s_card_and_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry")
    shown: dict[str, str] = {}
    monkeypatch.setattr(
        tasks.registry.pages, "create_markdown_artifact", lambda page, key, **_: shown.update({key: page})
    )
    monkeypatch.setattr(tasks.registry.pages, "create_image_artifact", lambda url, key, **_: shown.update({key: url}))
    registry = MlflowClient()
    run = registry.create_run(registry.create_experiment("demand", str(tmp_path / "artifacts"))).info
    version = create_version(f"{run.artifact_uri}/model", run.run_id, {"dataset": "shop"}, "# The card")
    report_version.fn(version_of(str(version)))
    assert shown == {"model": f"In MLflow: {version_link(1)}.\n\n# The card"}  # of an edition that drew none
    registry.log_figure(run.run_id, titled_axes("Losses", "epoch", "loss")[0], "plots/log_loss.png")
    report_version.fn(version_of(str(version)))
    assert shown.keys() == {"model", "model-log-loss"}
    assert shown["model-log-loss"].startswith(png_url(b"\x89PNG")[:26])
