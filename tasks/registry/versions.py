"""The MLflow model registry: finding versions of the demand model, their files, and their aliases."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from models.demand.fitted import FittedDemand
from models.errors import PricingError
from models.pricing.policy import PricingPolicy
from tasks.registry.model_store import load_demand, load_policy

MODEL_NAME = "demand"
CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
REMEASURED = "price_figures"  # the tag that holds them
# The sections that are written after a version's card, in their order; each is written anew without the others.
GATES_HEADING, BOOK_HEADING = "## Gates", "## Prices against what is live"
_HEADINGS = re.compile(f"^({GATES_HEADING}|{BOOK_HEADING})$", re.MULTILINE)
LONGEST_DESCRIPTION = 5000  # characters, of MLflow's column
CARD_FILE = "card.md"
CUT_SHORT = (
    f"\n\nCut short here. The whole card is {CARD_FILE} of the run's artifacts, and a book's page in folder book.\n"
)


class VersionNotFoundError(PricingError):
    """The registry has no such version of the demand model."""


@dataclass(frozen=True)
class RegisteredDemand:
    """One version of the demand model in the registry."""

    version: int
    run_id: str
    dataset: str

    @property
    def uri(self) -> str:
        """The address MLflow loads it by."""
        return f"models:/{MODEL_NAME}/{self.version}"

    def metrics(self) -> dict[str, float]:
        """What evaluation measured of it."""
        return dict(MlflowClient().get_run(self.run_id).data.metrics)

    def remeasured(self) -> dict[str, float]:
        """What was measured of its prices since, against the champion that it was promoted beside; empty if nothing."""
        tags = MlflowClient().get_model_version(MODEL_NAME, str(self.version)).tags
        return dict(json.loads(tags.get(REMEASURED, "{}")))

    def parameters(self) -> dict[str, str]:
        """How it was made."""
        return dict(MlflowClient().get_run(self.run_id).data.params)

    def demand(self) -> FittedDemand:
        """The fitted model."""
        return load_demand(_artifacts(self.uri))

    def policy(self) -> PricingPolicy:
        """The policy it was registered with."""
        return load_policy(_artifacts(self.uri))


def version_of(alias_or_number: str) -> RegisteredDemand:
    """The version an alias points at, or the version of this number.

    Raises:
        VersionNotFoundError: there is none.
    """
    client = MlflowClient()
    try:
        if alias_or_number.isdecimal():
            return _registered(client.get_model_version(MODEL_NAME, alias_or_number))
        return _registered(client.get_model_version_by_alias(MODEL_NAME, alias_or_number))
    except MlflowException as error:
        if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            raise
        raise VersionNotFoundError(
            f"the registry has no version {alias_or_number!r} of model {MODEL_NAME!r}; "
            "train one with `pricing run`, or name one that the MLflow page lists"
        ) from error


def champion() -> RegisteredDemand | None:
    """The champion, where there is one."""
    try:
        return version_of(CHAMPION)
    except VersionNotFoundError:
        return None


def champion_of(dataset: str) -> RegisteredDemand | None:
    """The champion, where there is one and it was trained on this dataset."""
    found = champion()
    return found if found is not None and found.dataset == dataset else None


def version_trained_from(inputs_hash: str) -> RegisteredDemand | None:
    """The newest version made from exactly these inputs, if any."""
    found = MlflowClient().search_model_versions(f"name = '{MODEL_NAME}' and tags.inputs_hash = '{inputs_hash}'")
    return _registered(max(found, key=lambda version: int(version.version))) if found else None


def create_version(model_uri: str, run_id: str, tags: dict[str, str], card: str) -> int:
    """Register a logged model with its tags and its card, all or nothing; returns its version."""
    client = MlflowClient()
    try:
        client.create_registered_model(MODEL_NAME, description="How likely a user is to buy a product at a price.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    description = _shortened(card, LONGEST_DESCRIPTION)
    created = client.create_model_version(MODEL_NAME, model_uri, run_id, tags=tags, description=description)
    return int(created.version)


def set_alias(alias: str, version: int) -> None:
    """Point an alias of the demand model at a version."""
    MlflowClient().set_registered_model_alias(MODEL_NAME, alias, str(version))


def tag_version(version: int, tags: dict[str, str]) -> None:
    """Write tags a reviewer sees on the version's page."""
    for key, value in tags.items():
        MlflowClient().set_model_version_tag(MODEL_NAME, str(version), key, value)


def describe_version(version: int, heading: str, text: str) -> None:
    """Write one of the sections after a version's card, in place of the one that is there under this heading.

    Where all of it is more than MLflow keeps, the card gives way: what a reviewer decides by comes after it.
    """
    description = MlflowClient().get_model_version(MODEL_NAME, str(version)).description or ""
    card, *parts = _HEADINGS.split(description)
    sections = dict(zip(parts[::2], parts[1::2], strict=True)) | {heading: text}
    ordered = [name for name in (GATES_HEADING, BOOK_HEADING) if name in sections]
    after = "".join(f"\n\n{name}\n\n{sections[name].strip()}" for name in ordered)
    card = _shortened(card.rstrip(), LONGEST_DESCRIPTION - len(after) - 1)
    whole = f"{card.rstrip()}{after}\n".lstrip()
    MlflowClient().update_model_version(MODEL_NAME, str(version), _shortened(whole, LONGEST_DESCRIPTION))


def _shortened(text: str, longest: int) -> str:
    """As much of a text as so many characters hold, in whole lines."""
    if len(text) <= longest:
        return text
    kept = text[: max(longest - len(CUT_SHORT), 0)]
    return kept.rpartition("\n")[0] + CUT_SHORT


def _registered(version: ModelVersion) -> RegisteredDemand:
    return RegisteredDemand(int(version.version), str(version.run_id), version.tags["dataset"])


@cache
def _artifacts(uri: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(f"{uri}/artifacts/demand"))
