"""The platform's database: connections, migrations, and what a query returns."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import psycopg2
import pyarrow as pa
import pyarrow.csv
from psycopg2 import sql as names
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import RealDictCursor
from sqlalchemy.engine import make_url

import sql
from models.errors import PricingError
from tasks.servers.postgres import ensure_running
from tasks.settings import Settings

MIGRATION_LOCK = 7_265_001  # any number, the same in every process

BLOCK_PAGES = 4_096  # of 8 KiB: some 250,000 rows of the contract's tables
ARROW_TYPES = {  # by Postgres type oid
    16: pa.bool_(),
    20: pa.int64(),
    23: pa.int32(),
    25: pa.string(),
    701: pa.float64(),
    1009: pa.string(),  # text[], as Postgres writes it
    1184: pa.timestamp("us", tz="UTC"),
    1700: pa.float64(),
    3802: pa.string(),  # jsonb
}


class DatabaseUnavailableError(PricingError):
    """The database cannot be reached."""


class NotMigratedError(PricingError):
    """The database lacks tables or functions, and this login may not make them."""


def database_url(settings: Settings) -> str:
    """The SQLAlchemy URL of the platform's database; starts the embedded Postgres where none is configured."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return ensure_running(settings.home, settings.postgres_port)


@contextmanager
def transaction(url: str) -> Iterator[Connection]:
    """One connection and one transaction: committed at the end, rolled back by any exception."""
    connection = _connect(url)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def _connect(url: str) -> Connection:
    target = make_url(url).set(drivername="postgresql")
    try:
        return psycopg2.connect(target.render_as_string(hide_password=False))
    except psycopg2.OperationalError as error:
        shown = target.render_as_string(hide_password=True)
        raise DatabaseUnavailableError(
            f"cannot connect to {shown}: {str(error).strip()}. Is it running, and is PRICING_DATABASE_URL right?"
        ) from error


def migrate(url: str) -> list[str]:
    """Apply the migrations this database lacks, and then its functions anew; returns the names of what was applied.

    A database that has all of them is left alone, so that a login which owns none of its tables may ask as well.

    Raises:
        NotMigratedError: something is missing that this login may not apply.
    """
    missing: list[str] = []
    try:
        with transaction(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
            cursor.execute("SET LOCAL client_min_messages = warning")
            scripts, applied = _scripts(), _applied(cursor)
            missing += [name for name in scripts if name not in applied]
            for name in missing:
                cursor.execute(scripts[name])
            if missing:
                cursor.execute("DELETE FROM public.pricing_migrations WHERE name LIKE 'functions %'")
                cursor.execute("INSERT INTO public.pricing_migrations (name) SELECT unnest(%s)", [missing])
    except psycopg2.errors.InsufficientPrivilege as error:
        raise NotMigratedError(
            f"this database lacks {', '.join(missing) or 'its tables'}, which {make_url(url).username} may not make "
            f"({error.diag.message_primary}): run `pricing verify` once with its owner's PRICING_DATABASE_URL"
        ) from error
    return missing


def _scripts() -> dict[str, str]:
    """What a database must have applied, in order: each migration once, and all functions whenever anything is new."""
    functions = "\n".join(text for _, text in sql.functions())
    everything = "\n".join([*dict(sql.migrations()).values(), functions])
    return dict(sql.migrations()) | {f"functions {hashlib.sha256(everything.encode()).hexdigest()[:16]}": functions}


def _applied(cursor: Cursor) -> set[str]:
    cursor.execute("SELECT to_regclass('public.pricing_migrations')")
    if cursor.fetchone() == (None,):
        cursor.execute(
            "CREATE TABLE public.pricing_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
    cursor.execute("SELECT name FROM public.pricing_migrations")
    return {name for (name,) in cursor.fetchall()}


def read_frame(connection: Connection, text: str, parameters: Mapping[str, object] | None = None) -> pd.DataFrame:
    """The rows of a query as a frame; for results known to be small."""
    with connection.cursor() as cursor:
        cursor.execute(text, parameters)
        return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])


def read_rows(
    connection: Connection, text: str, parameters: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of a small result, each by column name."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(text, parameters)
        return [dict(row) for row in cursor.fetchall()]


def read_arrow(connection: Connection, text: str, parameters: Mapping[str, object]) -> pa.Table:
    """The rows of a query as Arrow, by COPY: several times faster and smaller than rows of Python objects.

    Raises:
        KeyError: a column has a type that ARROW_TYPES does not list.
    """
    with connection.cursor() as cursor:
        bound = cursor.mogrify(text, parameters).decode()
        cursor.execute(f"SELECT * FROM ({bound}) AS rows LIMIT 0")  # noqa: S608 - text is ours, parameters are bound
        types = {column.name: ARROW_TYPES[column.type_code] for column in cursor.description or ()}
        buffer = io.BytesIO()
        cursor.execute("SET LOCAL TimeZone = 'UTC'")
        cursor.copy_expert(f"COPY ({bound}) TO STDOUT (FORMAT csv)", buffer)
    if not buffer.tell():
        return pa.schema(list(types.items())).empty_table()
    buffer.seek(0)
    return pyarrow.csv.read_csv(
        buffer,
        pyarrow.csv.ReadOptions(column_names=list(types)),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def read_blocks(
    connection: Connection, table: Sequence[str], columns: Sequence[str], pages: int | None = None
) -> Iterator[pa.Table]:
    """Some columns of schema.table as Arrow, in blocks of so many of its pages (BLOCK_PAGES), however long it is."""
    pages = pages or BLOCK_PAGES
    chosen, source = names.SQL(", ").join(map(names.Identifier, columns)), names.Identifier(*table)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s::regclass) / 8192", [source.as_string(connection)])
        (total,) = cursor.fetchone() or (0,)
    # A range of row addresses is read from its own pages alone; the table must not be written meanwhile.
    block = names.SQL("SELECT {} FROM {} WHERE ctid >= {} AND ctid < {}")
    for first in range(0, total, pages):
        bounds = (names.Literal(f"({page},0)") for page in (first, first + pages))
        yield read_arrow(connection, block.format(chosen, source, *bounds).as_string(connection), {})
