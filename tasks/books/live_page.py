"""The page of a flow run that says which book is live at its end."""

from prefect import task
from prefect.artifacts import create_markdown_artifact

import sql
from tasks.books.publish import LiveBook
from tasks.database import database_url, read_rows, transaction
from tasks.registry.pages import version_link
from tasks.settings import Settings


@task
def report_live(live: LiveBook) -> None:
    """The live book: what it holds, who let it go live, until when it is quoted, and where its evidence is read."""
    with transaction(database_url(Settings())) as connection:
        (book,) = read_rows(connection, sql.query("book_page"), {"book_id": live.book_id})
    create_markdown_artifact(live_page(live, book), key="live-book", description=f"Book {live.book_id} is live")


def live_page(live: LiveBook, book: dict[str, object]) -> str:
    """The page, from a row of the query `book_page`."""
    lines = [
        f"# Book {live.book_id} of {book['dataset']} is live",
        f"- {book['personal_rows']:,} personal and {book['uniform_rows']:,} uniform prices in {book['currency']}",
        f"- from {version_link(live.model_version)} and snapshot `{str(book['snapshot_id'])[:12]}`",
        f"- let live by: {book['approver']}",
        f"- published {book['published_at']:%Y-%m-%d %H:%M} UTC; quoted until {book['expires_at']:%Y-%m-%d %H:%M} UTC",
    ]
    if book["cold_start"]:
        lines.append("- a cold start: no evidence yet of what its prices earn, so its limits are tighter")
    return "\n".join([*lines, "", "To go back to the book before it: run the deployment `rollback`."])
