"""The house rules that a reader relies on: who may import whom, and which versions run together."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PURE = {"torch", "transformers", "accelerate", "peft", "safetensors", "numpy", "scipy", "pandas", "sklearn", "pydantic"}
INPUT_OUTPUT = {
    "prefect", "prefect_dask", "mlflow", "sqlalchemy", "psycopg2", "pyarrow", "pydantic_settings", "great_expectations",
    "matplotlib", "requests", "httpx", "PIL", "efficientnet_lite_pytorch",
}  # fmt: skip
MAY_IMPORT = {
    "models": PURE | {"models"},
    "sql": set[str](),
    "expectations": {"great_expectations", "expectations"},
    "tasks": PURE | INPUT_OUTPUT | {"tasks", "models", "sql", "expectations"},
    "flows": {"tasks", "models", "prefect", "pydantic"},
}
COMMAND_MAY_IMPORT = {"command.py": {"typer", "flows"}, "answers.py": {"rich"}}  # and no other file


def sources() -> list[Path]:
    return [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            names.add(str(node.module))
    return names


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_import_only_what_the_house_allows(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT[package] | set(sys.stdlib_module_names)
    if package == "flows":
        allowed = allowed | COMMAND_MAY_IMPORT.get(path.name, set())
    assert {name.split(".")[0] for name in imported(path)} <= allowed


@pytest.mark.parametrize("path", sorted((ROOT / "models").rglob("*.py")), ids=lambda path: path.name)
def test_models_know_no_environment_clock_or_path(path: Path) -> None:
    assert not imported(path) & {"os", "pathlib", "time", "logging", "subprocess", "io"}


BARE = """
import importlib, sys
from pathlib import Path

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

import torch, transformers  # with whatever they need themselves
sys.meta_path.insert(0, NotInstalled())
for part in ("demand", "features"):
    for path in sorted(Path("models", part).glob("*.py")):
        importlib.import_module(f"models.{part}.{path.stem}")
from models.demand.fitted import fit_demand
from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig
from models.features.decisions import split_by_time
from models.simulation.marketplace import MarketplaceConfig, simulate
offers = split_by_time(simulate(MarketplaceConfig(users=100, offers=1000)).log)
fit_demand(offers.train, offers.validation, DemandConfig(), TrainingConfig(epochs=1), torch.device("cpu"))
"""


def test_the_demand_model_is_fit_on_a_machine_that_has_torch_and_nothing_of_ours() -> None:
    """A GPU machine that is rented to train on has no Postgres, no Prefect and no pydantic."""
    missing = {"pydantic", "peft", "accelerate", "tasks", "flows"} | INPUT_OUTPUT - {"pyarrow"}  # pandas has its own
    command = [sys.executable, "-c", BARE, ",".join(missing)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def decorated_tasks(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [function for function in functions if any(_is_task(decorator) for decorator in function.decorator_list)]


def _is_task(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id == "task"


def test_tasks_do_not_call_tasks() -> None:
    paths = sorted((ROOT / "tasks").rglob("*.py"))
    tasks = {function.name: path for path in paths for function in decorated_tasks(path)}
    assert {"collect", "validate", "extract", "fit", "register", "price", "publish"} <= set(tasks)
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in tasks.values()}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in modules:
                taken = {alias.name for alias in node.names}
                assert not taken & set(tasks), f"{path} imports the task {taken & set(tasks)}"


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [
        path for path in sources() if path.stem in {"utils", "util", "helpers", "misc", "common", "base", "manager"}
    ]


@pytest.mark.parametrize(
    ("package", "at_least", "below"),
    [
        ("fastapi", "0.139", "0.151"),  # from 0.155 on Prefect's server dies with TypeError: min_items
        ("sqlalchemy", "2.0.40", "2.1"),  # on 2.1 Prefect's schedules create no runs
        ("prefect", "3.8.8", "3.9"),
        ("pandas", "3.0", "4"),
        ("great-expectations", "1.24", "2"),
        ("mlflow", "3.17", "4"),
    ],
)
def test_versions_that_run_together(package: str, at_least: str, below: str) -> None:
    assert Version(at_least) <= Version(version(package)) < Version(below)


def test_constraints_pin_exact_versions_of_public_packages() -> None:
    pins = (ROOT / "infra" / "constraints.txt").read_text(encoding="utf-8").split()
    assert len(pins) > 100
    assert all("==" in pin and "/" not in pin for pin in pins)
