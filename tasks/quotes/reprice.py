"""Reprice: as long as it runs, live prices follow what users do and the market does, within moments."""

import logging
import select
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Event, Lock

import psycopg2
import torch
from prefect import task
from psycopg2.extensions import connection as Connection

import sql
from tasks.database import DatabaseUnavailableError, database_url, read_rows, transaction
from tasks.markdown import markdown_table, show_page
from tasks.quotes.repricing import Demands, Repriced, continued_book, registered_demand, reprice_products, reprice_users
from tasks.quotes.sweep import Sweep
from tasks.servers.signals import asked_to_stop
from tasks.settings import Settings

log = logging.getLogger("pricing.reprice")

REPORT_SECONDS = 60.0
WAIT_SECONDS = 1.0  # for a wake-up; one that was missed costs no more than this
RETRY_SECONDS = 1.0  # where the database is away
# Two transactions share one interpreter: side by side each takes longer, and only a queue that grows is worth that.
HELP_FROM = 128  # entries waiting
HELP_SECONDS = 0.1  # from one look at their number to the next


@dataclass
class RepriceTally:
    """What was repriced: entries taken from the queue, prices set, and how long the entries had waited (seconds).

    `longest` is of the whole run; `waited` are those that no report has told yet.
    """

    entries: int = 0
    prices: int = 0
    longest: float = 0.0
    waited: list[float] = field(default_factory=list)

    def add(self, repriced: Repriced) -> None:
        """Count one transaction that has just been committed."""
        now = datetime.now(UTC)
        self.entries += len(repriced.queued_at)
        self.prices += repriced.prices
        waited = [(now - queued_at).total_seconds() for queued_at in repriced.queued_at]
        self.waited += waited
        self.longest = max([self.longest, *waited])

    def report(self) -> str:
        """The last minute in a line, which it forgets."""
        waited, self.waited = sorted(self.waited), []
        if not waited:
            return "nothing waited"
        median, late = (waited[int(share * (len(waited) - 1))] for share in (0.5, 0.99))
        return f"{len(waited):,} entries; half were live within {median:.2f} s, 99 % within {late:.2f} s"

    def page(self) -> str:
        """The whole run, as Markdown."""
        figures = [["entries of the queue", f"{self.entries:,}"], ["prices set", f"{self.prices:,}"]]
        figures.append(["longest wait of an entry, seconds", f"{self.longest:.2f}"])
        return f"# What was repriced\n\n{markdown_table(['', 'in this run'], figures, right=['in this run'])}"


@task
def reprice_waiting(minutes: float | None, entries_at_once: int, transactions: int) -> RepriceTally:
    """Price what waits in pricing.reprice_queue as it arrives, for so many minutes or until it is asked to stop.

    A block of the queue is one transaction: whatever fails, its entries wait again. Where many wait, so many of them
    run side by side, one being computed while the database works for another; so may any number of these tasks. A
    database that is away is waited for.
    """
    # Blocks are small: a second thread in one of them doubles the processor's work for a sixth of the time.
    torch.set_num_threads(1)
    ends = None if minutes is None else time.monotonic() + 60 * minutes
    tally, counting = RepriceTally(), Lock()

    def count(repriced: Repriced) -> None:
        with counting:
            tally.add(repriced)

    def report() -> None:
        with counting:
            log.info("%s", tally.report())

    with asked_to_stop() as stopping, ThreadPoolExecutor(transactions) as threads:
        log.info("live prices follow what users do and what the market does from now on")

        def ended() -> bool:
            return stopping.is_set() or (ends is not None and time.monotonic() >= ends)

        work = partial(reprice_until, ended, database_url(Settings()), entries_at_once, count)
        first = partial(work, Sweep())  # it looks at what was left behind, and the others go on meanwhile
        others = [partial(work, helps_from=HELP_FROM) for _ in range(1, transactions)]
        # Each with this run's context, so that Prefect knows whose messages it is sent.
        _await_all([threads.submit(copy_context().run, one) for one in (first, *others)], stopping, report)
    return tally


@task
def report_repricing(tally: RepriceTally) -> None:
    """What a run has repriced by its end, as its page."""
    show_page(tally.page(), "reprice", f"{tally.prices:,} prices set")


def reprice_until(
    ended: Callable[[], bool],
    url: str,
    entries_at_once: int,
    count: Callable[[Repriced], None],
    sweep: Sweep | None = None,
    demands: Demands = registered_demand,
    helps_from: int = 1,
) -> None:
    """Price block after block on one connection, and `count` what was committed, until it has `ended`.

    With `helps_from` above 1 it takes part only while at least so many entries wait, and leaves fewer to others.
    """
    is_away = False
    while not ended():
        try:
            with transaction(url) as connection:
                _listen(connection)
                is_away = False
                while not ended():
                    connection.notifies.clear()  # of what the next look at the queue will see
                    if helps_from > 1 and not _many_wait(connection, helps_from):
                        time.sleep(HELP_SECONDS)
                    elif not _price_block(connection, entries_at_once, demands, count, sweep):
                        _await_work(connection)
        except (psycopg2.OperationalError, psycopg2.InterfaceError, DatabaseUnavailableError) as error:
            if not is_away:  # said once, not every second that it lasts
                log.warning("the database is away, what waits stays in its queue: %s", str(error).strip())
            is_away = True
            time.sleep(RETRY_SECONDS)


def reprice_all(url: str, entries_at_once: int, demands: Demands = registered_demand) -> RepriceTally:
    """Price what waits now, and return when nothing is left that no other worker has taken."""
    tally = RepriceTally()
    with transaction(url) as connection:
        while _price_block(connection, entries_at_once, demands, tally.add):
            pass
    return tally


def _await_all(running: list[Future[None]], stopping: Event, report: Callable[[], None]) -> None:
    """Wait for the threads and report every minute; where one fails, or this wait does, all stop."""
    left = set(running)
    try:
        while left:
            done, left = wait(left, REPORT_SECONDS, FIRST_EXCEPTION)
            report()
            for one in done:
                one.result()
    finally:
        stopping.set()


def _price_block(
    connection: Connection,
    entries: int,
    demands: Demands,
    count: Callable[[Repriced], None],
    sweep: Sweep | None = None,
) -> bool:
    """Price products, then users, in one transaction each; returns whether there was anything to do."""
    if sweep is not None:
        sweep.by_the_clock(connection)
    worked = False
    for reprice_block in (reprice_products, partial(reprice_users, entries=entries)):
        live = continued_book(connection, demands)
        repriced = Repriced() if live is None else reprice_block(connection, live)
        connection.commit()
        count(repriced)
        worked = worked or bool(repriced.queued_at)
    if sweep is not None and not worked:
        sweep.while_idle(connection)
    return worked


def _many_wait(connection: Connection, entries: int) -> bool:
    """Whether at least so many entries wait, those under way included."""
    (found,) = read_rows(connection, sql.query("reprice_many_wait"), {"entries": entries})
    connection.commit()
    return bool(found["many_wait"])


def _listen(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("LISTEN reprice")
        # A commit that a crash loses leaves its entries in the queue as well, so there is no need to wait for the disk.
        cursor.execute("SET synchronous_commit = off")
    connection.commit()


def _await_work(connection: Connection) -> None:
    connection.poll()
    if not connection.notifies:  # one may have come with the answer to the last statement
        select.select([connection], [], [], WAIT_SECONDS)
