"""Tables or views of any database SQLAlchemy can reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd
import sqlalchemy
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tasks.data.contract import TABLES, ContractError
from tasks.sources import SourceError

BLOCK_ROWS = 20_000
IMAGE_BLOCK_ROWS = 100


@dataclass(frozen=True)
class DatabaseSource:
    """Tables or views named as the contract names them, in the schema that the URL's user sees first.

    ``since`` and ``until`` are passed on where the table's time is a timestamp with time zone. Databases that keep
    times as text (SQLite) are read whole each time, because texts with different offsets do not sort by time. The
    password is in no name, message or representation.

    Raises:
        SourceError: the URL cannot be understood, or the database cannot be reached.
        ContractError: reading a table failed.
    """

    url: URL = field(repr=False)
    currency: str

    @classmethod
    def at(cls, url: str, currency: str) -> "DatabaseSource":
        """The database behind a URL, given as text."""
        try:
            parsed = make_url(url)
            parsed.get_dialect()
        except (ArgumentError, NoSuchModuleError, ValueError):
            raise SourceError(
                "the source's URL is unclear; expected DIALECT://USER:PASSWORD@HOST:PORT/DATABASE with "
                "any of @ : / ? # % in the password percent-encoded, and the dialect's driver installed"
            ) from None
        return cls(
            parsed.set(drivername="postgresql+psycopg2") if parsed.drivername == "postgresql" else parsed,
            currency,
        )

    @property
    def name(self) -> str:
        """The dataset's name: where the database is and who reads it, without password and options."""
        return f"database:{self._place}"

    @property
    def _place(self) -> str:
        shown = URL.create(
            self.url.get_backend_name(),
            self.url.username,
            None,
            self.url.host,
            self.url.port,
            self.url.database,
        )
        return shown.render_as_string(hide_password=True)

    def fingerprint(self) -> None:
        """Nothing: to hash a database's content is to read it."""

    def tables(self) -> frozenset[str]:
        """The contract's tables that are there as tables, views or materialised views."""
        with self._engine(self._place) as engine:
            inspector = sqlalchemy.inspect(engine)
            found = {*inspector.get_table_names(), *inspector.get_view_names()}
            if engine.dialect.name == "postgresql":
                found.update(inspector.get_materialized_view_names())
        return frozenset(found & TABLES.keys())

    def origin(self, table: str) -> str:
        """The table and its database."""
        return f"{table} in {self._place}"

    def batches(
        self, table: str, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[pd.DataFrame]:
        """The table's rows as a stream; numbers of rows count them as they were read."""
        contract = TABLES[table]
        with self._engine(self.origin(table)) as engine, engine.connect() as connection:
            source = sqlalchemy.Table(table, sqlalchemy.MetaData(), autoload_with=connection, resolve_fks=False)
            statement = sqlalchemy.select(source)
            time = source.columns.get(contract.time) if contract.time else None
            if time is not None and getattr(time.type, "timezone", False):
                bounds = [] if since is None else [time >= since]
                statement = statement.where(*bounds, *([] if until is None else [time < until]))
            size = IMAGE_BLOCK_ROWS if contract.has_images and "image" in source.columns else BLOCK_ROWS
            streamed = connection.execution_options(stream_results=True, max_row_buffer=size).execute(statement)
            names = list(streamed.keys())
            empty = True
            for rows in streamed.partitions(size):
                empty = False
                yield pd.DataFrame([tuple(row) for row in rows], columns=names, dtype=object)
            if empty:
                yield pd.DataFrame(columns=names, dtype=object)

    @contextmanager
    def _engine(self, place: str) -> Iterator[Engine]:
        """A connection pool for one use; what the driver complains of is told without the password."""
        try:
            engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)
        except (ImportError, ArgumentError) as error:
            raise SourceError(f"{self._place}: {self._without_password(error)}. Is its driver installed?") from None
        try:
            yield engine
        except SQLAlchemyError as error:
            raise ContractError(place, f"cannot be read: {self._without_password(error)}") from None
        finally:
            engine.dispose()

    def _without_password(self, error: Exception) -> str:
        text = str(getattr(error, "orig", None) or error).strip()
        password = str(self.url.password) if self.url.password else None
        return text.replace(password, "***") if password else text
