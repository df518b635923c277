"""Report: the plots and figures of a certified book, where reviewers look: its model's run and the Prefect run."""

import logging
from typing import Any

from mlflow.tracking import MlflowClient
from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact

from tasks.books.book_plots import book_plots
from tasks.books.certify import Certificate
from tasks.books.price import PricedBook
from tasks.books.review_page import price_changes, review_page
from tasks.database import database_url, transaction
from tasks.markdown import markdown_table
from tasks.plots import data_url
from tasks.registry.pages import version_link
from tasks.registry.promote import Promotion
from tasks.registry.versions import BOOK_HEADING, describe_version
from tasks.retries import RETRIED
from tasks.settings import Settings

log = logging.getLogger("pricing.report")

CAPTIONS = {
    "price_response": "How one user's demand and the profit from it answer to the price.",
    "price_distribution": "Personal prices beside the uniform prices of the same products.",
    "profit_satisfaction_frontier": "Profit against consumer surplus as the satisfaction weight moves.",
    "parity_by_group": "Mean prices of each group of users, relative to the uniform price.",
}


@task(**RETRIED)
def report_book(priced: PricedBook, promotion: Promotion, certificate: Certificate) -> None:
    """Attach the book's page and plots to the run of its model (folder book/<number>) and to this flow run.

    What it changes for users stands in the description of the model's version, where a reviewer reads it.
    """
    client, run_id = MlflowClient(), promotion.registered.run_id
    folder = f"book/{priced.book.book_id}"
    with transaction(database_url(Settings())) as connection:
        review = review_page(priced, promotion, certificate, price_changes(connection, priced, promotion))
    describe_version(promotion.registered.version, BOOK_HEADING, review)
    page = f"{book_page(priced, promotion, certificate)}\n\n{BOOK_HEADING}\n\n{review}"
    client.log_text(run_id, page, f"{folder}/book.md")
    client.log_dict(run_id, certificate.parity, f"{folder}/parity.json")
    create_markdown_artifact(page, key="book", description=f"Book {priced.book.book_id}")
    figures = book_plots(priced.sample, priced.parity)
    for name, figure in figures.items():
        client.log_figure(run_id, figure, f"{folder}/{name}.png")
        create_image_artifact(data_url(figure), key=f"book-{name.replace('_', '-')}", description=CAPTIONS[name])
    log.info(
        "page and %d plots of book %d are in folder %s of run %s", len(figures), priced.book.book_id, folder, run_id
    )


def book_page(priced: PricedBook, promotion: Promotion, certificate: Certificate) -> str:
    """The book in figures, as Markdown."""
    policy, snapshot = promotion.policy, promotion.snapshot
    start = " (a cold start: guardrails tightened)" if promotion.cold_start else ""
    refused = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in certificate.refused.items())
    lines = [
        f"# Book {priced.book.book_id} of {snapshot.dataset}",
        "",
        f"- {priced.personal_rows:,} personal and {priced.uniform_rows:,} uniform prices, in {snapshot.currency}",
        f"- from {version_link(promotion.registered.version)}, data as of {snapshot.as_of:%Y-%m-%d %H:%M} UTC",
        f"- satisfaction weight θ = {policy.satisfaction_weight:g}{start}",
        f"- left without a price: {refused or 'none'}",
        "",
        "## Why prices are where they are",
        "",
        markdown_table(
            ["reason", "prices"],
            [[reason, f"{count:,}"] for reason, count in certificate.binding.items()],
            right=["prices"],
        ),
        "",
        "## Limits on the whole book",
        "",
        *_limits(certificate.optimum),
        "",
        f"## Parity between groups ({policy.fairness.group})",
        "",
        *_parity(certificate.parity, policy.fairness.group, policy.fairness.parity_bound),
    ]
    return "\n".join(lines)


def _limits(optimum: dict[str, Any]) -> list[str]:
    gap = (
        f"Duality gap {optimum['duality_gap']:.2g}: prices inside the guardrails can be better by at most this share; "
        f"the tolerance is {optimum['gap_tolerance']:.2g}, of which rounding to whole ticks explains "
        f"{optimum['rounding_bound']:.2g}."
    )
    if not optimum["constraints"]:
        return [f"None. {gap}"]
    columns = ["limit", "pool", "at most or least", "expected", "slack", "worth of one unit more"]
    rows = [
        [state["name"].replace("_", " ") + (" (runs out)" if state["runs_out"] else ""), state["pool_id"] or "",
         *(f"{state[name]:,.6g}" for name in ("limit", "achieved", "slack", "shadow_price"))]
        for state in optimum["constraints"]
    ]  # fmt: skip
    return [markdown_table(columns, rows, right=columns[2:]), "", gap]


def _parity(parity: dict[str, Any], group: str, bound: float | None) -> list[str]:
    offered, paid = parity["offered"]["groups"], parity["demand_weighted"]["groups"]
    if not offered:
        return [f"Not measured: no priced user has a value of `{group}`."]
    rows = [
        [one["group"], f"{one['users']:,}", f"{one['decisions']:,}", _interval(one), _interval(other)]
        for one, other in zip(offered, paid, strict=True)
    ]
    gaps = (
        f"Gap {parity['offered']['gap']:.2%} as offered, {parity['demand_weighted']['gap']:.2%} as expected to be paid"
    )
    return [
        "Mean price as a share of the uniform price of the same product, with 95 % intervals clustered by user.",
        "",
        markdown_table(["group", "users", "prices", "as offered", "as expected to be paid"], rows, ["users", "prices"]),
        "",
        f"{gaps}; {'no bound is set' if bound is None else f'the bound is {bound:.2%}'}.",
    ]


def _interval(group: dict[str, Any]) -> str:
    return f"{group['mean']:.2%} ({group['low']:.2%} to {group['high']:.2%})"
