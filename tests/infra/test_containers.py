"""What no schema knows: names, ports, variables, volumes and secrets of the containers fit each other and the code."""

import os
import re
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker
from sqlalchemy.engine import make_url

from tasks.database import migrate, transaction
from tasks.servers.environment import QUIET
from tasks.servers.postgres import _programs, ensure_running
from tasks.servers.unprivileged import server_account
from tasks.settings import Settings

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((INFRA / "kubernetes" / "kustomization.yaml").read_text())
DISTRIBUTED: dict[str, Any] = yaml.safe_load((INFRA / "kubernetes-distributed" / "kustomization.yaml").read_text())
MANIFESTS = [
    *(INFRA / "kubernetes" / name for name in KUSTOMIZATION["resources"]),
    *(INFRA / "kubernetes-distributed" / name for name in DISTRIBUTED["resources"] if name.endswith(".yaml")),
]
OBJECTS: list[dict[str, Any]] = [item for file in MANIFESTS for item in yaml.safe_load_all(file.read_text())]
DOCKERFILE = (INFRA / "Dockerfile").read_text()
PODS = {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in OBJECTS if "template" in item["spec"]}
VARIABLES = {
    name: [variable["name"] for container in spec["containers"] for variable in container.get("env", [])]
    for name, spec in PODS.items()
}
CONTAINERS = [
    pytest.param(container, id=f"{pod}/{container['name']}")
    for pod, spec in PODS.items()
    for container in [*spec.get("initContainers", []), *spec["containers"]]
]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("${PRICING_IMAGE")]
SECRET = re.compile(r"PASSWORD|SECRET|AUTH_STRING|_URL$|_URI$")


def known_variables() -> set[str]:
    """What the platform reads, and what Prefect and MLflow read of those set here."""
    import mlflow.environment_variables as mlflow_variables
    from prefect.settings import Settings as PrefectSettings
    from prefect.settings.legacy import _get_valid_setting_names

    return (
        {f"PRICING_{name.upper()}" for name in Settings.model_fields}
        | {name for name in dir(mlflow_variables) if name.startswith("MLFLOW_")}
        | set(_get_valid_setting_names(PrefectSettings))
        | {
            "POSTGRES_DB",
            "POSTGRES_PASSWORD",
            "PRICING_WORKER_PASSWORD",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
            "MLFLOW_BACKEND_STORE_URI",
            "PGAPPNAME",
        }
        | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION"}
    )


def unknown_options(command: list[str]) -> set[str]:
    """What a `pricing` or `mlflow` command would refuse; KeyError where there is no such command."""
    from mlflow.cli import cli
    from typer.main import get_command

    from flows.command import app

    program, subcommand, *words = command
    found = (cli if program == "mlflow" else get_command(app)).commands[subcommand]  # type: ignore[attr-defined]
    taken = {option for parameter in found.params for option in parameter.opts}
    return {word.split("=")[0] for word in words} - taken


@pytest.mark.parametrize("service", OURS)
def test_every_service_runs_the_platforms_image_with_variables_that_are_read(service: str) -> None:
    described = SERVICES[service]
    assert described["build"] == {"context": "..", "dockerfile": "infra/Dockerfile"}
    assert set(described.get("environment", {})) <= known_variables()
    assert described["security_opt"] == ["no-new-privileges:true"]


def test_no_password_has_a_default_and_none_is_written_down() -> None:
    text = (INFRA / "compose.yaml").read_text()
    assert not re.search(r"\$\{(?:\w*(?:PASSWORD|SECRET|AUTH)\w*):-", text)
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name) and "://" in str(value) and "@" in value:
                assert re.search(r"\$\{(POSTGRES|WORKER)_PASSWORD", value), name
            elif re.search(r"PASSWORD|SECRET|AUTH_STRING", name):
                assert value.startswith("${"), name


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_waits_for_can_come_true(service: str) -> None:
    for other, wanted in SERVICES[service].get("depends_on", {}).items():
        condition = wanted["condition"]
        assert condition in {"service_healthy", "service_completed_successfully"}
        assert condition != "service_healthy" or "healthcheck" in SERVICES[other]
        assert condition != "service_completed_successfully" or SERVICES[other]["restart"] == "on-failure"


def test_servers_are_published_on_this_machine_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_volumes_and_files_that_are_mounted_are_there() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (INFRA / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"], mount


def test_who_loads_models_has_the_home_in_which_tuned_encoders_lie() -> None:
    home = re.findall(r"PRICING_HOME=(\S+)", DOCKERFILE)[0]
    for name in ("worker", "reprice", "dask-worker"):
        assert SERVICES[name]["volumes"] == [f"home:{home}"]
        assert PODS[name]["containers"][0]["volumeMounts"] == [{"name": "home", "mountPath": home}]
        assert PODS[name]["volumes"] == [{"name": "home", "persistentVolumeClaim": {"claimName": "pricing-home"}}]
    (beside,) = PODS["reprice"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert beside["labelSelector"] == {"matchLabels": {"part": "worker"}}  # the claim is mounted on one node
    assert PODS["reprice"]["tolerations"] == PODS["worker"]["tolerations"]


def test_the_data_docs_of_the_worker_s_home_are_served_where_the_pages_lead() -> None:
    home, port = re.findall(r"PRICING_HOME=(\S+)", DOCKERFILE)[0], Settings.model_fields["data_docs_port"].default
    served = SERVICES["data-docs"]
    assert served["command"][3:] == [str(port), "--directory", f"{home}/data_docs"]
    assert (served["volumes"], served["ports"]) == ([f"home:{home}:ro"], [f"127.0.0.1:{port}:{port}"])
    container = next(container for container in PODS["worker"]["containers"] if container["name"] == "data-docs")
    assert container["command"] == served["command"]
    assert container["volumeMounts"] == [{"name": "home", "mountPath": home, "readOnly": True}]
    assert container["ports"] == [{"name": "data-docs", "containerPort": port}]
    (service,) = (item for item in OBJECTS if (item["kind"], item["metadata"]["name"]) == ("Service", "data-docs"))
    assert service["spec"] == {
        "selector": {"part": "worker"}, "ports": [{"name": "http", "port": port, "targetPort": "data-docs"}]
    }  # fmt: skip


def test_databases_are_those_that_the_servers_are_pointed_at() -> None:
    made = set(re.findall(r"CREATE DATABASE (\w+);", (INFRA / "databases.sql").read_text()))
    asked = set(re.findall(r"postgres:5432/(\w+)", (INFRA / "compose.yaml").read_text()))
    assert asked == made | {SERVICES["postgres"]["environment"]["POSTGRES_DB"]}


def test_the_flows_login_is_a_worker_of_a_database_that_another_owns(used_home: Path) -> None:
    owner = make_url(ensure_running(used_home))
    psql = _programs(server_account(used_home / "postgres" / "data")) / "psql"
    script = [psql, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file", INFRA / "databases.sql"]
    target = owner.set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run([*script, target], env=os.environ | {"PRICING_WORKER_PASSWORD": "se'cret"}, check=True)
    migrate(owner.render_as_string(hide_password=False))
    (login,) = re.findall(r"//(\w+):", SERVICES["worker"]["environment"]["PRICING_DATABASE_URL"])
    flows = owner.set(username=login, password="se'cret").render_as_string(hide_password=False)
    assert migrate(flows) == []
    with transaction(flows) as connection, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        connection.cursor().execute("DELETE FROM pricing.ledger")


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # of one of MLflow's own models, at its import
@pytest.mark.parametrize("service", ["migrate", "mlflow"])
def test_commands_exist_with_their_options(service: str) -> None:
    assert not unknown_options(SERVICES[service]["command"])


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_is_bounded_unprivileged_and_reads_secrets_by_reference(container: dict[str, Any]) -> None:
    assert container["image"] in {image["name"] for image in KUSTOMIZATION["images"]}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    assert {variable["name"] for variable in container.get("env", [])} <= known_variables()
    for variable in container.get("env", []):
        if re.search(r"PASSWORD|SECRET|AUTH_STRING|DATABASE.*URL|STORE_URI", variable["name"]):
            assert variable["valueFrom"]["secretKeyRef"]["name"] == "pricing", variable["name"]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_as_the_images_user_and_is_probed_unless_it_ends(name: str) -> None:
    spec = PODS[name]
    assert spec["securityContext"]["runAsNonRoot"]
    assert f"USER {spec['securityContext']['runAsUser']}" in DOCKERFILE
    claims = {item["metadata"]["name"] for item in OBJECTS if item["kind"] == "PersistentVolumeClaim"}
    for volume in spec.get("volumes", []):
        assert volume.get("persistentVolumeClaim", {"claimName": None})["claimName"] in {*claims, None}
    for container in spec["containers"]:
        names = {port["name"] for port in container.get("ports", [])}
        probes = {probe: asked for probe, asked in container.items() if probe.endswith("Probe")}
        assert ("livenessProbe" in probes) == ("restartPolicy" not in spec)
        assert bool(names) == ("readinessProbe" in probes)
        assert {asked["httpGet"]["port"] for asked in probes.values() if "httpGet" in asked} <= names
        for program, _, module in (asked["exec"]["command"] for asked in probes.values() if "exec" in asked):
            assert program == "python"
            assert find_spec(module)


def test_the_repricers_health_is_looked_up_by_the_name_of_its_sessions() -> None:
    (container,) = PODS["reprice"]["containers"]
    (named,) = (variable for variable in container["env"] if variable["name"] == "PGAPPNAME")
    assert named["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}  # each replica's own
    probe, *command = SERVICES["reprice"]["healthcheck"]["test"]
    assert (probe, SERVICES["reprice"]["environment"]["PGAPPNAME"]) == ("CMD", "reprice")
    for kind in ("startupProbe", "livenessProbe"):
        assert container[kind]["exec"]["command"] == command
        assert container[kind]["timeoutSeconds"] >= 20  # Python and its imports, on a busy node


def test_the_worker_alone_has_a_gpu_in_the_cuda_image() -> None:
    for name, spec in PODS.items():
        limits = spec["containers"][0]["resources"]["limits"]
        has_gpu = name == "worker"
        assert (spec.get("nodeSelector") == {"nvidia.com/gpu.present": "true"}) == has_gpu
        assert limits.get("nvidia.com/gpu") == (1 if has_gpu else None)
        assert {container["image"] for container in spec["containers"]} == {"pricing-cuda" if has_gpu else "pricing"}
    over = yaml.safe_load((INFRA / "compose.gpu.yaml").read_text())["services"]
    (device,) = over["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert over.keys() == {"worker"}
    assert over["worker"]["build"]["args"].keys() == set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))


def test_dask_is_the_same_in_both_and_where_the_worker_looks_for_it() -> None:
    for program in (dask_scheduler, dask_worker):
        name = program.__name__.removeprefix("distributed.cli.").replace("_", "-")
        (container,) = PODS[name]["containers"]
        assert container["command"] == SERVICES[name]["command"]
        known = {option for parameter in program.main.params for option in parameter.opts + parameter.secondary_opts}
        assert {word for word in container["command"] if word.startswith("--")} <= known
    assert VARIABLES["dask-worker"] == VARIABLES["worker"]  # both see the same platform
    (address,) = {word for word in SERVICES["dask-worker"]["command"] if word.startswith("tcp://")}
    patches = {patch["target"]["name"]: yaml.safe_load(patch["patch"]) for patch in DISTRIBUTED["patches"]}
    assert patches["worker"][0]["value"] == {"name": "PRICING_DASK_SCHEDULER", "value": address}
    assert address in (INFRA / "compose.yaml").read_text().split("name: pricing")[0]
    assert Settings(dask_scheduler=address).dask_scheduler == address


def test_nobody_but_the_platform_reaches_dask() -> None:
    (policy,) = (item["spec"] for item in OBJECTS if item["kind"] == "NetworkPolicy")
    (chosen,) = policy["podSelector"]["matchExpressions"]
    assert set(chosen["values"]) == {name for name in PODS if name.startswith("dask")}
    assert policy["ingress"] == [{"from": [{"podSelector": {"matchLabels": {"app": "pricing"}}}]}]
    assert not any("ports" in SERVICES[name] for name in ("dask-scheduler", "dask-worker"))


def test_the_images_that_are_applied_are_those_that_are_built() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    applied = {f"{image['name']}:{image['newTag']}" for image in KUSTOMIZATION["images"]}
    assert applied == set(re.findall(r"--tag (\S+)", DOCKERFILE)) == {f"pricing:{version}", f"pricing-cuda:{version}"}
    assert all(image in KUSTOMIZATION["images"] for image in DISTRIBUTED["images"])
    used = {parameter.values[0]["image"] for parameter in CONTAINERS}
    assert used == {image["name"] for image in KUSTOMIZATION["images"]}


def test_the_image_sets_what_pricing_up_sets() -> None:
    lines = re.findall(r"^ENV (.+)$", DOCKERFILE.replace("\\\n", ""), re.MULTILINE)
    variables = dict(variable.split("=", 1) for line in lines for variable in line.split())
    assert variables.items() >= QUIET.items()


def test_services_find_their_pods_and_the_secrets_keys_are_all_described() -> None:
    parts = {item["spec"]["template"]["metadata"]["labels"]["part"] for item in OBJECTS if "template" in item["spec"]}
    assert {item["spec"]["selector"]["part"] for item in OBJECTS if item["kind"] == "Service"} <= parts
    used = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for spec in PODS.values()
        for container in [*spec.get("initContainers", []), *spec["containers"]]
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    described = set(re.findall(r"--from-literal=([\w-]+)=", (INFRA / "kubernetes" / "platform.yaml").read_text()))
    assert used == described


def test_the_image_holds_every_package_and_installs_torch_first() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert {name.removesuffix("*") for name in packages} == copied
    assert DOCKERFILE.index("torch==") < DOCKERFILE.index("--constraint")
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
