"""Pages of a flow run that lead to a version's page in MLflow."""

from urllib.parse import urlsplit

from mlflow.tracking import MlflowClient
from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks.registry.versions import MODEL_NAME, RegisteredDemand
from tasks.settings import Settings


@task
def report_version(registered: RegisteredDemand) -> None:
    """The version that a training ends with, as a page of its run: where it is approved from, and its card."""
    card = MlflowClient().get_model_version(MODEL_NAME, str(registered.version)).description
    page = f"In MLflow: {version_link(registered.version)}.\n\n{card}"
    create_markdown_artifact(page, key="model", description=f"Version {registered.version}")


def version_link(version: int) -> str:
    """A Markdown link to a version's page, on the tracking server or else on the one that `pricing up` starts."""
    settings = Settings()
    server = urlsplit(settings.mlflow_tracking_uri or "")
    address = f"http://127.0.0.1:{settings.mlflow_port}"
    if server.scheme in ("http", "https"):
        address = f"{server.scheme}://{server.netloc.rpartition('@')[2]}{server.path.rstrip('/')}"
    return f"[version {version}]({address}/#/models/{MODEL_NAME}/versions/{version})"
