"""How the `pricing` command prints its answers, and its progress."""

import logging
from collections.abc import Sequence
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from tasks.books.summary import Summary
    from tasks.monitoring.judge import Surveillance
    from tasks.quotes.explain import Explanation
    from tasks.quotes.quote import Quote
    from tasks.quotes.recommend import Recommendation
    from tasks.quotes.replay import Replay
    from tasks.simulate import Simulation

console = Console(highlight=False)
progress = Console(stderr=True, highlight=False)


def print_books(books: list[dict[str, Any]]) -> None:
    """The history of price books, as pricing.price_books has it."""
    columns = ("book", "state", "model", "personal", "uniform", "currency", "published", "approver", "dataset")
    table = Table(*columns, box=None)
    for book in books:
        table.add_row(
            str(book["book_id"]),
            "live" if book["is_live"] else book["state"].replace("_", " "),
            str(book["model_version"]),
            *("" if book[count] is None else f"{book[count]:,}" for count in ("personal_rows", "uniform_rows")),
            book["currency"],
            "" if book["published_at"] is None else f"{book['published_at']:%Y-%m-%d %H:%M}",
            book["approver"] or "",
            book["dataset"],
        )
    console.print(table)


def print_quote(answer: "Quote") -> None:
    """The live price of one user and product."""
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


def print_recommendations(found: list["Recommendation"]) -> None:
    """The products to show a user, best first."""
    columns = ("title", f"price in {found[0].currency}", "P(buy)", "profit", "objective", "source")
    table = Table(Column("product", overflow="fold"), *columns, box=None, pad_edge=False)
    for row in found:
        amounts = (f"{row.price:,.2f}", f"{row.purchase_probability:.1%}", f"{row.expected_profit:,.2f}")
        table.add_row(row.product_id, row.title or "", *amounts, f"{row.objective:,.2f}", row.source)
    console.print(table)


def print_explanation(answer: "Quote", explained: "Explanation") -> None:
    """How a quoted price came about."""
    for note in explained.notes:
        console.print(f"\n{note}", markup=False)
    if explained.waterfall is None:
        return
    steps = [(f"{price:,.2f}", name) for name, price in explained.waterfall.items()]
    _print_amounts("The price after each step", steps)
    if explained.reasons is None:
        return
    for heading, reasons in (
        (f"Against the uniform price of {answer.uniform_price}", explained.reasons.personal),
        ("In this price as in everybody's", explained.reasons.shared),
    ):
        _print_amounts(heading, [(f"{reason.effect:+,.2f}", reason.name) for reason in reasons])


def print_replay(replayed: "Replay") -> None:
    """A past quote beside what comes out again, and what it came from."""
    table = Table("", "logged", "computed again", box=None, pad_edge=False)
    for name, (logged, computed) in replayed.figures.items():
        table.add_row(name.replace("_", " "), _figure(logged), _figure(computed))
    console.print(table)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in replayed.origin.items():
        facts.add_row(name, value)
    console.print("\n[bold]Where it came from[/]")
    console.print(facts)
    for note in replayed.notes:
        console.print(f"\n{note}", markup=False)
    console.print("\n[bold green]Every digit is the same.[/]")


def _figure(value: Any) -> str:
    """Every digit of a figure, however it is held."""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, float | Decimal):
        return f"{Decimal(str(value)).normalize():f}"
    return str(value)


def print_simulation(simulation: "Simulation") -> None:
    """Two policies on the same markets, and which is better."""
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


def print_surveillance(surveillance: "Surveillance") -> None:
    """The newest window's checks, and what they ask for."""
    table = Table("check", "value", "limit", "rows", "in figures", box=None, header_style="bold")
    for finding in surveillance.findings[-1]:
        value = "too little to tell" if finding.value != finding.value else f"{finding.value:.2f}"
        style = "red" if finding.is_breached else ""
        table.add_row(
            finding.check.replace("_", " "), value, f"{finding.limit:.2f}", f"{finding.rows:,}", finding.excess,
            style=style,
        )  # fmt: skip
    console.print(table)
    for alarm in surveillance.alarms:
        console.print(f"[red]{alarm.action.replace('_', ' ')}[/]: {', '.join(alarm.checks)}")
    if not surveillance.alarms:
        console.print("No alarm.")


def print_summary(summary: "Summary | None") -> None:
    """What a run put live, for a person to read."""
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
    asking = "USER" if first["is_pseudonym"] else first["user_id"]  # a pseudonym is asked for by the id behind it
    console.print(f"\nAsk for a price:     [bold]pricing quote {asking} {first['product_id']}[/]")
    console.print("See runs and model:  [bold]pricing up[/]")


def _print_amounts(heading: str, rows: list[tuple[str, str]]) -> None:
    table = Table("", "", box=None, show_header=False, pad_edge=False)
    table.columns[0].justify = "right"
    for row in rows:
        table.add_row(*row)
    if rows:
        console.print(f"\n[bold]{heading}[/]")
        console.print(table)


def show_progress() -> None:
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
