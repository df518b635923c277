"""The SQL of the platform as files: numbered migrations, functions the storefront calls, named queries."""

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> str:
    """The text of sql/queries/<name>.sql; parameters are bound by name, `%(name)s`."""
    return files(__name__).joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")


def migrations() -> list[tuple[str, str]]:
    """Every migration as (name, text), in the order in which they apply."""
    return _scripts("migrations")


def functions() -> list[tuple[str, str]]:
    """Every CREATE OR REPLACE script as (name, text); they are applied again whenever migrations are."""
    return _scripts("functions")


def _scripts(folder: str) -> list[tuple[str, str]]:
    found = [path for path in files(__name__).joinpath(folder).iterdir() if path.name.endswith(".sql")]
    return [
        (path.name.removesuffix(".sql"), path.read_text(encoding="utf-8"))
        for path in sorted(found, key=lambda path: path.name)
    ]
