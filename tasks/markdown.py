"""Tables on the pages that people read in MLflow and Prefect."""

from collections.abc import Collection, Iterable, Sequence

# MLflow sets columns side by side without any room between them, and trims the spaces of a cell unless something
# follows them; Prefect prints a named entity as it stands.
GAP = "\N{EM SPACE}\N{ZERO WIDTH SPACE}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> str:
    """A pipe table of texts, the columns named in `right` set to the right; it needs an empty line before it."""
    rule = ["---:" if column in right else "---" for column in columns]
    head, *body = (f"| {f'{GAP} | '.join(cells)} |" for cells in (columns, *rows))
    return "\n".join([head, f"| {' | '.join(rule)} |", *body])
