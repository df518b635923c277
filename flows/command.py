"""The `pricing` command: starts flows and prints answers; heavy libraries are imported where they are used."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.errors import PricingError

if TYPE_CHECKING:
    from tasks.quote import Quote
    from tasks.simulate import Simulation
    from tasks.summary import Summary

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
console = Console(highlight=False)
progress = Console(stderr=True, highlight=False)


class Source(StrEnum):
    """The kinds of place that data comes from."""

    tafeng = "tafeng"
    files = "files"
    database = "database"
    marketplace = "marketplace"


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
) -> None:
    """The main job: train a demand model on the data, then put its prices live."""
    with _platform():
        logging.getLogger("pricing.prefect").info("starting the workflow engine")
        from flows.deploy import DeployParameters, deploy
        from flows.train import TrainParameters, train
        from tasks.policies import read_policy
        from tasks.sources import source_parameters
        from tasks.summary import summarise

        read_policy(policy)  # a misspelt policy should not wait for the training to end
        wanted = source_parameters(source.value, path, url, currency, domain.value)
        registered = train(TrainParameters(source=wanted, policy=policy))
        deploy(DeployParameters(version=str(registered.version), policy=policy))
        _print_summary(summarise())


@app.command(epilog="Example: pricing up")
def up() -> None:
    """Start Postgres, the Prefect and MLflow servers, a worker and all deployments; one Ctrl-C ends them."""
    _show_progress()
    with _database():
        from tasks.servers import run_servers
        from tasks.settings import Settings

        run_servers(Settings())


@app.command(
    epilog="Examples: pricing quote 01104905 4710199010372 · pricing quote --requests requests.csv --out prices.csv"
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


@app.command(epilog="Example: pricing books")
def books() -> None:
    """The history of price books, newest first."""
    with _database():
        from tasks.history import list_books

        found = list_books()
    table = Table("book", "state", "model", "personal", "uniform", "currency", "published", "dataset", box=None)
    for book in found:
        table.add_row(
            str(book["book_id"]),
            "live" if book["is_live"] else book["state"],
            str(book["model_version"]),
            *("" if book[count] is None else f"{book[count]:,}" for count in ("personal_rows", "uniform_rows")),
            book["currency"],
            "" if book["published_at"] is None else f"{book['published_at']:%Y-%m-%d %H:%M}",
            book["dataset"],
        )
    console.print(table)


@app.command(epilog="Examples: pricing rollback · pricing rollback 3")
def rollback(
    book: Annotated[int | None, typer.Argument(help="A book's number; without it, the one before.")] = None,
) -> None:
    """Return to an earlier price book and its champion."""
    with _platform():
        from flows.rollback import RollbackParameters
        from flows.rollback import rollback as roll_back

        live = roll_back(RollbackParameters(book=book))
    console.print(f"Book {live.book_id} is live, from model version {live.model_version}.")


@app.command(epilog="Example: pricing verify")
def verify() -> None:
    """Check the ledger's chain and that the live prices are those it recorded."""
    with _database():
        from tasks.history import verify_ledger

        proof = verify_ledger()
    console.print(
        f"The ledger's {proof.entries} entries verify, and so do the prices of live book {proof.live_book_id}."
    )


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
    from tasks.policies import read_policy

    for name in filter(None, (policy, against)):
        read_policy(name)  # a misspelt policy should not wait for the workflow engine
    with _platform():
        logging.getLogger("pricing.prefect").info("starting the workflow engine")
        from flows.simulate import SimulateParameters
        from flows.simulate import simulate as run_simulation

        given = {"policy": policy, "users": users, "offers": offers, "seed": seed, "seeds": seeds}
        if against is not None:
            given["against"] = against
        _print_simulation(run_simulation(SimulateParameters(domain=domain.value, **given)))


def main() -> None:
    """Run the command; an error a person can mend is one line and exit status 1."""
    try:
        app()
    except PricingError as error:
        progress.print(f"[bold red]error:[/] {type(error).__name__}: ", end="")
        progress.print(str(error), markup=False)
        sys.exit(1)


def _quote_one(user: str, product: str) -> None:
    with _database():
        from tasks.quote import quote as live_quote

        answer = live_quote(user, product)
        table = Table(box=None, show_header=False)
        table.add_row("price", f"[bold]{answer.price} {answer.currency}[/] ({answer.source})")
        table.add_row("uniform price", str(answer.uniform_price))
        table.add_row("list price", str(answer.list_price))
        table.add_row("reasons", ", ".join(answer.reasons) or "the best price needed no rule")
        if answer.disclosure:
            table.add_row("disclosure", answer.disclosure)
        table.add_row("expires", f"{answer.expires_at:%Y-%m-%d %H:%M %Z}")
        table.add_row("book, quote", f"{answer.book_id}, {answer.quote_id}")
        console.print(table)
        _explain_one(answer, user, product)


def _explain_one(answer: "Quote", user: str, product: str) -> None:
    """How the price came about; the price itself is printed by now, for this takes the model and some seconds."""
    from tasks.environment import environment
    from tasks.settings import Settings

    os.environ.update(environment(Settings()))
    from tasks.explain import explain_quote

    try:
        explained = explain_quote(answer, user, product)
    except PricingError as error:
        console.print(f"\nThis price cannot be explained: {error}", markup=False)
        return
    for note in explained.notes:
        console.print(f"\n{note}", markup=False)
    if explained.waterfall is None or explained.reasons is None:
        return
    steps = [(f"{price:,.2f}", name) for name, price in explained.waterfall.items()]
    _print_amounts("The price after each step", steps)
    for heading, reasons in (
        (f"Against the uniform price of {answer.uniform_price}", explained.reasons.personal),
        ("In this price as in everybody's", explained.reasons.shared),
    ):
        _print_amounts(heading, [(f"{reason.effect:+,.2f}", reason.name) for reason in reasons])


def _print_amounts(heading: str, rows: list[tuple[str, str]]) -> None:
    table = Table("", "", box=None, show_header=False, pad_edge=False)
    table.columns[0].justify = "right"
    for row in rows:
        table.add_row(*row)
    if rows:
        console.print(f"\n[bold]{heading}[/]")
        console.print(table)


def _quote_file(requests: Path, out: Path) -> None:
    with _platform():
        from tasks.requests import quote_requests

        count = quote_requests(requests, out)
    console.print(f"{count:,} prices written to {out}")


def _print_simulation(simulation: "Simulation") -> None:
    from tasks.simulate import SEASON_COLUMNS

    both = simulation.comparison
    console.print(
        f"\n{both.requests:,} requests of {both.users:,} simulated users ({simulation.domain}), each priced under both "
        "policies by a model that learnt from past offers, and judged by the users' true demand.\n"
    )
    _print_figures(["", *simulation.names, "difference (95 % interval)"], simulation.rows())
    console.print(f"\n[bold]{simulation.verdict()}[/]")
    if rows := simulation.season_rows():
        console.print(f"\nThe same stock sold request by request over a week, under {simulation.names[0]}:\n")
        _print_figures(SEASON_COLUMNS, rows)


def _print_figures(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_summary(summary: "Summary | None") -> None:
    if summary is None:
        console.print("\nNo user was active lately, so only uniform prices are live: try `pricing books`.")
        return
    book, metrics = summary.book, summary.metrics
    console.print(f"\n[bold green]Book {book['book_id']} is live[/]: {book['personal_rows']:,} personal prices")
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_row(
        "priced", f"{book['users']:,} users, {book['products']:,} products; {book['uniform_rows']:,} uniform prices"
    )
    facts.add_row("data", f"{book['dataset']}, snapshot {book['snapshot_id'][:12]}, in {book['currency']}")
    facts.add_row(
        "model",
        f"version {book['model_version']}; held-out log loss {metrics['log_loss']:.4f}, boosted trees "
        f"{metrics['log_loss'] + metrics['log_loss_gain_over_boosted_trees']:.4f}; "
        f"mean elasticity {metrics['elasticity_mean']:.1f}",
    )
    facts.add_row(
        "prices",
        f"{book['mean_change_from_list']:+.1%} from list on average; {book['share_below_uniform']:.0%} below the "
        f"uniform price, {book['share_above_uniform']:.0%} above; {book['share_explored']:.0%} explored",
    )
    console.print(facts)
    prices = Table("user", "product", "price", "uniform", "list", "P(buy)", "why", box=None, pad_edge=False)
    for row in summary.examples:
        amounts = [f"{row[amount]:,}" for amount in ("price", "uniform_price", "list_price")]
        chance, why = f"{row['purchase_probability']:.1%}", ", ".join(row["reasons"])
        prices.add_row(row["user_id"], row["product_id"], *amounts, chance, why)
    console.print(prices)
    first = summary.examples[0]
    console.print(f"\nAsk for a price:     [bold]pricing quote {first['user_id']} {first['product_id']}[/]")
    console.print("See runs and model:  [bold]pricing up[/]")


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
    _show_progress()
    with _database():
        from tasks.environment import environment
        from tasks.settings import Settings

        # An error reaches the person as one line from main(); Prefect keeps the whole of it in the run's log.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.update(environment(Settings()))
        yield


def _show_progress() -> None:
    """The platform's own log lines, each with the seconds since the start."""
    logger = logging.getLogger("pricing")
    logger.setLevel(logging.INFO)
    logger.addHandler(_ProgressLines())
    logger.propagate = False  # Prefect prints what reaches the root once more


class _ProgressLines(logging.Handler):
    """`  12.3 s  extract   301,000 offers with features …` on standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._started = monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        station = record.name.removeprefix("pricing.")
        style = "yellow" if record.levelno >= logging.WARNING else "default"
        progress.print(f"[dim]{monotonic() - self._started:6.1f} s[/]  [cyan]{station:<13}[/]", end="")
        progress.print(record.getMessage(), style=style, markup=False, soft_wrap=True)
