"""Pages of a flow run that lead to a version's page in MLflow."""

from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from mlflow.tracking import MlflowClient
from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact

from tasks.plots import png_url
from tasks.registry.versions import MODEL_NAME, RegisteredDemand
from tasks.settings import Settings


@task
def report_version(registered: RegisteredDemand) -> None:
    """The version that a training ends with, as a page of its run: where it is approved from, its card, its plots."""
    card = MlflowClient().get_model_version(MODEL_NAME, str(registered.version)).description
    page = f"In MLflow: {version_link(registered.version)}.\n\n{card}"
    create_markdown_artifact(page, key="model", description=f"Version {registered.version}")
    for name, png in _plots(registered.run_id).items():
        key = f"model-{name.replace('_', '-')}"
        create_image_artifact(
            png_url(png), key=key, description=f"Version {registered.version}: {name.replace('_', ' ')}"
        )


def _plots(run_id: str) -> dict[str, bytes]:
    """The plots of a version's run, by name: those of one that was known before are there as well."""
    client = MlflowClient()
    with TemporaryDirectory() as scratch:
        drawn = [Path(file.path) for file in client.list_artifacts(run_id, "plots")]
        return {
            plot.stem: Path(client.download_artifacts(run_id, plot.as_posix(), scratch)).read_bytes() for plot in drawn
        }


def version_link(version: int) -> str:
    """A Markdown link to a version's page, on the tracking server or else on the one that `pricing up` starts."""
    settings = Settings()
    server = urlsplit(settings.mlflow_tracking_uri or "")
    address = f"http://127.0.0.1:{settings.mlflow_port}"
    if server.scheme in ("http", "https"):
        address = f"{server.scheme}://{server.netloc.rpartition('@')[2]}{server.path.rstrip('/')}"
    return f"[version {version}]({address}/#/models/{MODEL_NAME}/versions/{version})"
