"""Data Docs that are read without a network: Great Expectations leaves their list, marks and styling to one."""

import re
from html import escape
from pathlib import Path

_STYLE = """<style>
  body { font-family: system-ui, sans-serif; line-height: 1.5; margin: 1.5rem; }
  th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
  i.text-success::before { content: "\\2713"; color: #2b8a3e; font-weight: bold; }
  i.text-danger::before { content: "\\2717"; color: #c92a2a; font-weight: bold; }
  footer, .navbar-brand img, [onclick^=clearTableFilters] { display: none !important; }
</style>
"""


def make_readable(folder: Path) -> None:
    """Give each page of the folder a style of its own, and the first one the list of the tables' validations."""
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if _STYLE not in text:
            page.write_text(text.replace("</head>", f"{_STYLE}</head>", 1), encoding="utf-8")
    first = folder / "index.html"
    first.write_text(_with_list(first.read_text(encoding="utf-8"), folder), encoding="utf-8")


def _with_list(text: str, folder: Path) -> str:
    rows = "\n".join(_row(page, folder) for page in sorted(folder.glob("validations/*/*/*/*.html")))
    heading = "<tr><th>table</th><th>batch</th><th>validated</th><th>rules kept</th></tr>"
    listed = f"<h2>Validations of the tables</h2>\n<table>\n{heading}\n{rows}\n</table>\n"
    return re.sub(r"(<body[^>]*>)", lambda body: f"{body[1]}\n{listed}", text, count=1)


def _row(page: Path, folder: Path) -> str:
    table, batch, moment, _ = page.relative_to(folder / "validations").parts
    day, time = moment.split(".")[0].split("T")
    validated = f"{day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]} UTC"
    kept = "✗ not all" if "fa-times text-danger" in page.read_text(encoding="utf-8") else "✓ all"
    link = f'<a href="{escape(page.relative_to(folder).as_posix())}">{escape(table)}</a>'
    return f"<tr><td>{link}</td><td>{escape(batch)}</td><td>{validated}</td><td>{kept}</td></tr>"
