"""The `pricing` command: starts flows and asks tasks; heavy libraries are imported where they are used."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import answers
from models.errors import PricingError
from tasks.servers.signals import exit_when_ended

if TYPE_CHECKING:
    from tasks.quotes.quote import Quote

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


class Source(StrEnum):
    """The kinds of place that data comes from."""

    tafeng = "tafeng"
    files = "files"
    database = "database"
    marketplace = "marketplace"


class Approval(StrEnum):
    """Who lets prices go live."""

    automatic = "automatic"
    review = "review"


class LeastApproval(StrEnum):
    """What every book needs before it goes live."""

    automatic = "automatic"
    review = "review"
    two_person = "two_person"


class Market(StrEnum):
    """The domains that marketplaces are simulated in."""

    ecommerce = "ecommerce"
    hotel = "hotel"
    finance = "finance"
    automobile = "automobile"


@app.callback()
def pricing() -> None:
    """Learn how users respond to price, and keep guarded, personalised prices live in Postgres."""


@app.command(epilog="Example: pricing run --source files --path shop/ --currency EUR --policy ecommerce")
def run(
    source: Annotated[Source, typer.Option(help="Where the tables come from.")] = Source.tafeng,
    path: Annotated[
        Path | None, typer.Option(help="files: the folder with users.parquet or users.csv and so on.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="database: SQLAlchemy URL of the tables or views.")] = None,
    policy: Annotated[str, typer.Option(help="A preset's name, or the path of a TOML file.")] = "ecommerce",
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code of the data's money, such as EUR.")] = None,
    domain: Annotated[Market, typer.Option(help="marketplace: what kind of shop is simulated.")] = Market.ecommerce,
    approval: Annotated[
        Approval, typer.Option(help="review: wait until somebody runs `pricing approve`.")
    ] = Approval.automatic,
) -> None:
    """The main job: train a demand model on the data, then put its prices live."""
    with _platform():
        from tasks.registry.policies import read_policy
        from tasks.sources import source_parameters

        read_policy(policy)  # a misspelt policy should wait neither for the engine nor for the training
        wanted = source_parameters(source.value, path, url, currency, domain.value)
        logging.getLogger("pricing.prefect").info("starting the workflow engine")
        from flows.deploy import DeployParameters, deploy
        from flows.train import TrainParameters, train
        from tasks.books.summary import summarise

        registered = train(TrainParameters(source=wanted, policy=policy))
        deploy(DeployParameters(version=str(registered.version), policy=policy, approval=approval.value))
        answers.print_summary(summarise())


@app.command(
    epilog="Example: pricing backfill --source files --path shop/ --currency EUR --from 2026-01-01 --to 2026-04-01"
)
def backfill(
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day, UTC.")],
    until: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The day after the last one, UTC.")],
    step_days: Annotated[int, typer.Option(min=1, max=366, help="Days that are validated and merged at once.")] = 7,
    source: Annotated[Source, typer.Option(help="Where the tables come from.")] = Source.tafeng,
    path: Annotated[Path | None, typer.Option(help="files: the folder with users.parquet and so on.")] = None,
    url: Annotated[str | None, typer.Option(help="database: SQLAlchemy URL of the tables or views.")] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code of the data's money, such as EUR.")] = None,
) -> None:
    """Collect and validate a source's past, some days at a time; a refused portion ends it, those before it stay."""
    if until <= since:
        raise typer.BadParameter("--to must be later than --from")
    with _platform():
        from flows.backfill import BackfillParameters
        from flows.backfill import backfill as backfill_flow
        from tasks.sources import source_parameters

        wanted = source_parameters(source.value, path, url, currency)
        days = {"since": since.date(), "until": until.date(), "step_days": step_days}
        snapshot = backfill_flow(BackfillParameters(source=wanted, **days))
    rows = ", ".join(f"{table} {count:,}" for table, count in snapshot.row_counts.items())
    answers.console.print(f"Snapshot {snapshot.snapshot_id[:12]} of {snapshot.dataset}: {rows}.", markup=False)


@app.command(epilog="Example: pricing up")
def up() -> None:
    """Start Postgres, the Prefect and MLflow servers, a worker and all deployments; one Ctrl-C ends them."""
    answers.show_progress()
    with _database():
        from tasks.servers.up import run_servers
        from tasks.settings import Settings

        run_servers(Settings())


@app.command(
    epilog="Examples: pricing quote 01791129 4710036003581 · pricing quote --requests requests.csv --out prices.csv"
)
def quote(
    user: Annotated[str | None, typer.Argument(help="A user's id.")] = None,
    product: Annotated[str | None, typer.Argument(help="A product's id.")] = None,
    requests: Annotated[Path | None, typer.Option(help="A CSV or Parquet file of requests to price.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write their prices (.csv or .parquet).")] = None,
) -> None:
    """The live price of one user and product, or the champion's prices for a file of requests."""
    if user and product and not requests and not out:
        _quote_one(user, product)
    elif requests and out and not user and not product:
        _quote_file(requests, out)
    else:
        raise typer.BadParameter("give USER and PRODUCT, or --requests FILE and --out FILE")


@app.command(epilog="Example: pricing recommend 01791129 --count 5")
def recommend(
    user: Annotated[str, typer.Argument(help="A user's id.")],
    count: Annotated[int, typer.Option(min=1, max=1_000, help="How many products.")] = 10,
) -> None:
    """The products to show a user: those that do best at the user's live prices, by the policy's objective."""
    with _database():
        from tasks.quotes.recommend import recommend as recommend_products

        found = recommend_products(user, count)
    answers.print_recommendations(found)


@app.command(epilog="Example: pricing books")
def books() -> None:
    """The history of price books, newest first."""
    with _database():
        from tasks.books.history import list_books

        found = list_books()
    answers.print_books(found)


@app.command(epilog="Example: pricing approve 3")
def approve(
    version: Annotated[int, typer.Argument(min=1, help="The model version whose prices wait to go live.")],
    book: Annotated[
        int | None, typer.Option(min=1, help="The book whose card you read, where several of a version wait.")
    ] = None,
) -> None:
    """Approve the prices that a version waits to put live, as the user that the database knows you by."""
    from tasks.books.approvals import approve as approve_version

    approved = approve_version(version, book)
    answers.console.print(
        f"Book {approved} of version {version} is approved; the flow that waits for it goes on by itself."
    )


@app.command(epilog="Example: pricing require-approval two_person")
def require_approval(
    least: Annotated[LeastApproval, typer.Argument(help="two_person: by somebody else than who trained the version.")],
) -> None:
    """Require an approval of every book from now on, whatever a deployment asks for; for the database's owner."""
    from tasks.books.approvals import require_approval as require

    require(least.value)
    answers.console.print(f"From now on every book needs: {least.value}.")


@app.command(epilog="Examples: pricing rollback · pricing rollback 3")
def rollback(
    book: Annotated[int | None, typer.Argument(help="A book's number; without it, the one before.")] = None,
) -> None:
    """Return to an earlier price book and its champion."""
    with _platform():
        from flows.rollback import RollbackParameters
        from flows.rollback import rollback as roll_back

        live = roll_back(RollbackParameters(book=book))
    answers.console.print(f"Book {live.book_id} is live, from model version {live.model_version}.")


@app.command(epilog="Example: pricing reprice --minutes 10")
def reprice(
    minutes: Annotated[float | None, typer.Option(min=0, help="Without it, until Ctrl-C.")] = None,
) -> None:
    """Let live prices follow what users do and what the market does; `pricing up` runs one already."""
    with _platform():
        from flows.reprice import RepriceParameters
        from flows.reprice import reprice as reprice_flow

        tally = reprice_flow(RepriceParameters(minutes=minutes))
    answers.console.print(f"{tally.entries:,} entries of the queue, {tally.prices:,} prices.")


@app.command(epilog="Example: pricing monitor --hours 24")
def monitor(hours: Annotated[float, typer.Option(min=0.01, help="Length of a window.")] = 24) -> None:
    """What the model promised against what happened, in the last five windows; the hourly flow does the same."""
    with _platform():
        from flows.monitor import NOTHING_LIVE, MonitorParameters
        from flows.monitor import monitor as monitor_flow

        surveillance = monitor_flow(MonitorParameters(window_hours=hours))
    if surveillance is None:
        answers.console.print(NOTHING_LIVE)
        return
    answers.print_surveillance(surveillance)


@app.command(epilog="Example: pricing verify")
def verify() -> None:
    """Check the ledger's chain, the prices of the live book and the one before it, and those set since."""
    with _database():
        from tasks.books.history import verify_ledger
        from tasks.quotes.between_books import verify_between_books

        proof, since = verify_ledger(), verify_between_books()
    if proof.live_book_id is None:
        answers.console.print("The ledger is empty, as it should be: no book is live yet.")
        return
    books = f"live book {proof.live_book_id}"
    if proof.book_id_before is not None:
        books += f" and of book {proof.book_id_before} before it"
    answers.console.print(f"The ledger verifies ({proof.entries} entries), and so do the prices of {books}.")
    if since:
        answers.console.print(f"The {since:,} prices set since then come out again from what they were set from.")


@app.command(epilog="Example: pricing forget 01791129")
def forget(user: Annotated[str, typer.Argument(help="A user's id.")]) -> None:
    """Remove a person's data, prices and quotes; the ledger still verifies."""
    with _database():
        from tasks.quotes.forget import forget as forget_user

        found = forget_user(user)
    for table, count in found.rows.items():
        answers.console.print(f"{table}: {count:,} rows removed", highlight=False)
    answers.console.print(
        "Remove the person from the source too: its next collection would bring them back. "
        "The next training leaves them out of the model."
    )


@app.command(epilog="Example: pricing replay 6f1e3c0a-9d1b-4c57-9a77-3c1c7a3a5b21")
def replay(quote_id: Annotated[str, typer.Argument(help="A quote's id, as pricing.quote returned it.")]) -> None:
    """Compute a past price again, digit by digit, from what was stored with it, and say what it came from."""
    with _database():
        _find_servers()
        from tasks.quotes.replay import replay as replay_quote

        answers.print_replay(replay_quote(quote_id))


@app.command(
    epilog="Examples: pricing simulate --domain hotel · pricing simulate --policy my.toml --against ecommerce --seeds 3"
)
def simulate(
    domain: Annotated[Market, typer.Option(help="The kind of market, with its own truth.")] = Market.ecommerce,
    policy: Annotated[
        str | None, typer.Option(help="A preset's name, or the path of a TOML file; without it the domain's preset.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="The policy to compare with, named likewise; without it everyone's list price.")
    ] = None,
    users: Annotated[int, typer.Option(min=100, help="Simulated users, each asking for four prices.")] = 2_000,
    offers: Annotated[int, typer.Option(min=1_000, help="Past offers that the demand model learns from.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another market.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Simulated markets; more give narrower intervals.")] = 1,
) -> None:
    """Compare two policies on a simulated market, whose true answers to every price are known."""
    from tasks.registry.policies import read_policy

    for name in filter(None, (policy, against)):
        read_policy(name)  # a misspelt policy should not wait for the workflow engine
    with _platform():
        logging.getLogger("pricing.prefect").info("starting the workflow engine")
        from flows.simulate import SimulateParameters
        from flows.simulate import simulate as run_simulation

        given = {"policy": policy, "users": users, "offers": offers, "seed": seed, "seeds": seeds}
        if against is not None:
            given["against"] = against
        answers.print_simulation(run_simulation(SimulateParameters(domain=domain.value, **given)))


def main() -> None:
    """Run the command; an error a person can mend is one line and exit status 1."""
    exit_when_ended()
    try:
        app()
    except PricingError as error:
        answers.progress.print(f"[bold red]error:[/] {type(error).__name__}: ", end="")
        answers.progress.print(str(error), markup=False)
        sys.exit(1)


def _quote_one(user: str, product: str) -> None:
    with _database():
        from tasks.quotes.quote import quote as live_quote

        answer = live_quote(user, product)
        answers.print_quote(answer)
        _explain_one(answer, user, product)


def _explain_one(answer: "Quote", user: str, product: str) -> None:
    """How the price came about; the price itself is printed by now, for this takes the model and some seconds."""
    _find_servers()
    from tasks.quotes.explain import explain_quote

    try:
        explained = explain_quote(answer, user, product)
    except PricingError as error:
        answers.console.print(f"\nThis price cannot be explained: {error}", markup=False)
        return
    answers.print_explanation(answer, explained)


def _quote_file(requests: Path, out: Path) -> None:
    with _platform():
        from tasks.quotes.requests import quote_requests

        count = quote_requests(requests, out)
    answers.console.print(f"{count:,} prices written to {out}")


@contextmanager
def _database() -> Iterator[None]:
    """The platform's database, ready; nothing else is started."""
    from tasks.database import database_url, migrate
    from tasks.settings import Settings

    migrate(database_url(Settings()))
    yield


@contextmanager
def _platform() -> Iterator[None]:
    """The database, and the environment in which Prefect, MLflow and Great Expectations find it and stay quiet."""
    answers.show_progress()
    with _database():
        # An error reaches the person as one line from main(); Prefect keeps the whole of it in the run's log.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        _find_servers()
        yield


def _find_servers() -> None:
    """Set the environment in which Prefect and MLflow are found."""
    from tasks.servers.environment import environment
    from tasks.settings import Settings

    os.environ.update(environment(Settings()))


if __name__ == "__main__":
    main()
