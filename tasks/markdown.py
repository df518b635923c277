"""The pages that people read in MLflow and Prefect: their tables, and how a flow run shows one."""

from collections.abc import Collection, Iterable, Sequence

from prefect.artifacts import create_markdown_artifact
from prefect.context import TaskRunContext

# MLflow sets columns side by side without any room between them, and trims the spaces of a cell unless something
# follows them; Prefect prints a named entity as it stands.
GAP = "\N{EM SPACE}\N{ZERO WIDTH SPACE}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> str:
    """A pipe table of texts, the columns named in `right` set to the right; it needs an empty line before it."""
    rule = ["---:" if column in right else "---" for column in columns]
    head, *body = (f"| {f'{GAP} | '.join(cells)} |" for cells in (columns, *rows))
    return "\n".join([head, f"| {' | '.join(rule)} |", *body])


def show_page(page: str, key: str, description: str) -> None:
    """Keep a page as an artifact of the task's run; a task that is called as a function has none."""
    if TaskRunContext.get() is not None:
        create_markdown_artifact(page, key=key, description=description)
