"""What the engines' own checks say: hadolint, the compose specification, the strict schemas of the Kubernetes API."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"
PROGRAMS = Path(sys.executable).parent
OBJECTS: list[dict[str, Any]] = [
    item
    for path in sorted(INFRA.glob("kubernetes*/*.yaml"))
    for item in yaml.safe_load_all(path.read_text())
    if item["kind"] != "Kustomization"  # kubectl's own input, no object of the API
]


def complaints(*command: str | Path) -> str:
    """What a program of this environment finds wrong with a file: nothing where it ends well."""
    done = subprocess.run(
        [PROGRAMS / command[0], *command[1:]], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


def against_compose(file: Path) -> str:
    return complaints("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert not complaints("hadolint", "--no-color", INFRA / "Dockerfile")


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp\n")
    assert "DL3006" in complaints("hadolint", "--no-color", tmp_path / "Dockerfile")


@pytest.mark.parametrize("file", sorted(INFRA.glob("compose*.yaml")), ids=lambda file: file.name)
def test_compose_files_are_of_the_specification(file: Path) -> None:
    assert not against_compose(file)


def test_the_specification_knows_no_other_keys(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {one: {image: pricing, healtcheck: {}}}")
    assert "healtcheck" in against_compose(tmp_path / "compose.yaml")


@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_kubernetes_knows_every_field(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", sorted(INFRA.glob("kubernetes*")), ids=lambda folder: folder.name)
def test_what_kubectl_makes_of_a_kustomization_is_valid_in_one_namespace_with_tagged_images(folder: Path) -> None:
    built = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=True)
    for item in yaml.safe_load_all(built.stdout):
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
        assert item["metadata"]["namespace"] == "pricing"
    images = {line.split()[-1] for line in built.stdout.splitlines() if "image: " in line}
    assert images
    assert all(":" in image for image in images)


def test_kubernetes_knows_no_other_fields() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"}, "spec": {"selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError, match="selectors"):
        kubernetes_validate.validate(service, kubernetes_validate.latest_version(), strict=True)
