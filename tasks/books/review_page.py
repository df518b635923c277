"""The reviewer's page of a staged book: what it changes against what is live, and what it was checked by."""

from typing import Any

from psycopg2.extensions import connection as Connection

from tasks.books.certify import Certificate, listed, of_book
from tasks.books.price import PricedBook
from tasks.database import read_rows
from tasks.markdown import markdown_table
from tasks.registry.promote import Promotion

Change = dict[str, Any]


def price_changes(connection: Connection, priced: PricedBook, promotion: Promotion) -> list[Change]:
    """How the book's personal prices differ from what is quoted now: all of them first, then by segment."""
    query = of_book(connection, "price_changes", priced.book)
    return read_rows(connection, query, {"dataset": promotion.snapshot.dataset})


def review_page(priced: PricedBook, promotion: Promotion, certificate: Certificate, changes: list[Change]) -> str:
    """Markdown for the description of the model's version; the gates have a section of their own before it."""
    snapshot = promotion.snapshot
    newest = f"{snapshot.as_of:%Y-%m-%d %H:%M} UTC"
    return "\n".join(
        [
            f"Book {priced.book.book_id}: {priced.personal_rows:,} personal and {priced.uniform_rows:,} uniform prices "
            f"in {snapshot.currency}, from snapshot `{snapshot.snapshot_id[:12]}` (newest fact {newest}).",
            "",
            f"- suite of the data: {_data_suites(snapshot.validation)}",
            f"- suite of the prices: {_broken(certificate.expectations)}",
            f"- guardrails, counted in the tables: {_guardrails(certificate.guardrails)}",
            f"- limits on the whole book: {_limits(certificate.optimum)}",
            f"- left without a price: {_counts(certificate.refused) or 'none'}",
            f"- plots, reasons and parity: folder book/{priced.book.book_id} of the run",
            "",
            *_changes(changes),
        ]
    )


def _changes(changes: list[Change]) -> list[str]:
    if not changes or not changes[0]["compared"]:
        return ["Nothing was quoted for these users and products before: every price is new."]
    columns = ["segment", "prices", "up", "by", "down", "by", "mean change"]
    rows = [_row(change) for change in changes if change["compared"]]
    return [markdown_table(columns, rows, right=columns[1:])]


def _row(change: Change) -> list[str]:
    rise, fall = (_share(change[name], "+.2%") for name in ("mean_rise", "mean_fall"))
    up, down = (_share(change[name], ".0%") for name in ("share_up", "share_down"))
    segment = change["segment"] or "all, against what is quoted now"
    return [segment, f"{change['compared']:,}", up, rise, down, fall, _share(change["mean_change"], "+.2%")]


def _share(value: float | None, form: str) -> str:
    return "" if value is None else format(float(value), form)


def _data_suites(validation: dict[str, Any]) -> str:
    tables = validation.get("tables", {})
    if not tables:
        return "not recorded"
    rows = sum(table["rows"] for table in tables.values())
    failing = {name: table["failing"] for name, table in tables.items() if table["failing"]}
    return f"{rows:,} rows examined, {_counts(failing) or 'none'} kept out"


def _broken(expectations: dict[str, int]) -> str:
    broken = {rule: count for rule, count in expectations.items() if count}
    return f"{len(expectations)} rules, {_counts(broken) or 'none broken'}"


def _guardrails(counts: dict[str, int]) -> str:
    rules = {rule: count for rule, count in counts.items() if rule != "prices"}
    broken = {rule: count for rule, count in rules.items() if count}
    return f"{counts['prices']:,} prices, {len(rules)} rules, {_counts(broken) or 'no breach'}"


def _limits(optimum: dict[str, Any]) -> str:
    limits = [f"{state['name']} {state['achieved']:,.6g} of {state['limit']:,.6g}" for state in optimum["constraints"]]
    scarce = [str(state["pool_id"]) for state in optimum["constraints"] if state["runs_out"]]
    early = f"; sold out early at any price that the guardrails allow: {listed(scarce)}" if scarce else ""
    more = f" and {len(limits) - 3} more" if len(limits) > 3 else ""
    return f"{', '.join(limits[:3]) or 'none'}{more}{early}; duality gap {optimum['duality_gap']:.2g}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
