"""The data contract: the tables a dataset consists of, and the error that says how a source breaks it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.errors import PricingError

Kind = Literal["text", "boolean", "number", "time", "image"]

ATTRIBUTES = "attributes"  # the one JSON column that keeps a table's open columns
SHOWN_ROWS = 5


class ContractError(PricingError):
    """A source breaks the data contract; the message names file, column, first rows and the way out."""

    def __init__(self, origin: str, problem: str, column: str | None = None, rows: Sequence[int] = ()) -> None:
        self.origin, self.problem, self.column, self.rows = origin, problem, column, tuple(rows)
        super().__init__(origin, problem, column, self.rows)

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        rows = f", {shown_rows(self.rows)}" if self.rows else ""
        return f"{self.origin}{column}{rows}: {self.problem}"


def shown_rows(rows: Sequence[int]) -> str:
    """Name the first of these rows; the first row under the header is row 1."""
    listed = ", ".join(map(str, rows[:SHOWN_ROWS]))
    more = f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
    return f"row{'s' if len(rows) > 1 else ''} {listed}{more}"


@dataclass(frozen=True)
class Column:
    """A column and what it holds; ``refers_to`` is the table whose key its values must be in."""

    name: str
    kind: Kind
    required: bool = False
    refers_to: str | None = None


@dataclass(frozen=True)
class Table:
    """A table of the contract.

    ``key`` names the columns that tell its rows apart, ``time`` the column by which it grows, ``prefixes``
    the beginnings of further column names a source may add.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    time: str | None = None
    prefixes: tuple[str, ...] = ()
    optional: bool = False

    def is_open(self, column: str) -> bool:
        """Whether a column outside the list is welcome because its prefix says what it is."""
        return any(column.startswith(prefix) and column != prefix for prefix in self.prefixes)

    @property
    def stored_columns(self) -> tuple[str, ...]:
        """Columns as the platform keeps them: the listed ones, then the open ones together."""
        listed = tuple(column.name for column in self.columns)
        return (*listed, ATTRIBUTES) if self.prefixes else listed

    @property
    def references(self) -> tuple[tuple[str, str], ...]:
        """Each (column, table) where the column's values must be keys of the table."""
        return tuple((column.name, column.refers_to) for column in self.columns if column.refers_to is not None)

    @property
    def has_images(self) -> bool:
        """Whether rows can be large, because one column holds images."""
        return any(column.kind == "image" for column in self.columns)


def _key(name: str, refers_to: str | None = None) -> Column:
    return Column(name, "text", required=True, refers_to=refers_to)


USERS = Table(
    name="users",
    columns=(
        _key("user_id"),
        Column("personalisation_consent", "boolean"),
        Column("protected_group", "text"),
    ),
    key=("user_id",),
    prefixes=("attr_",),
)

PRODUCTS = Table(
    name="products",
    columns=(
        _key("product_id"),
        Column("title", "text"),
        Column("description", "text"),
        Column("category", "text"),
        Column("brand", "text"),
        Column("image", "image"),
        Column("list_price", "number", required=True),
        Column("unit_cost", "number", required=True),
        Column("floor", "number"),
        Column("ceiling", "number"),
    ),
    key=("product_id",),
    prefixes=("attr_",),
)

BEHAVIOUR = Table(
    name="behaviour",
    columns=(
        _key("event_id"),
        _key("user_id", refers_to="users"),
        Column("occurred_at", "time", required=True),
        Column("kind", "text", required=True),
        Column("product_id", "text", refers_to="products"),
        Column("category", "text"),
        Column("dwell_seconds", "number"),
    ),
    key=("event_id",),
    time="occurred_at",
)

MARKET = Table(
    name="market",
    columns=(
        _key("product_id", refers_to="products"),
        Column("observed_at", "time", required=True),
        Column("competitor_price", "number"),
        Column("demand_index", "number"),
        Column("supply_index", "number"),
    ),
    key=("product_id", "observed_at"),
    time="observed_at",
    prefixes=("index_", "instrument_"),
)

INVENTORY = Table(
    name="inventory",
    columns=(
        _key("pool_id"),
        _key("product_id", refers_to="products"),
        Column("capacity", "number", required=True),
        Column("sells_from", "time"),
        Column("sells_until", "time"),
    ),
    key=("pool_id", "product_id"),
    optional=True,
)

_TERMS = (
    Column("list_price", "number"),
    Column("unit_cost", "number"),
    Column("floor", "number"),
    Column("ceiling", "number"),
    Column("quantity", "number"),
    Column("pool_id", "text"),
)

OFFERS = Table(
    name="offers",
    columns=(
        _key("offer_id"),
        _key("user_id", refers_to="users"),
        _key("product_id", refers_to="products"),
        Column("offered_at", "time", required=True),
        Column("price", "number", required=True),
        Column("purchased", "boolean", required=True),
        *_TERMS,
        Column("randomised", "boolean"),
        Column("propensity", "number"),
        Column("weight", "number"),
    ),
    key=("offer_id",),
    time="offered_at",
    prefixes=("context_",),
)

REQUESTS = Table(
    name="requests",
    columns=(
        _key("request_id"),
        _key("user_id", refers_to="users"),
        _key("product_id", refers_to="products"),
        Column("requested_at", "time", required=True),
        *_TERMS,
    ),
    key=("request_id",),
    time="requested_at",
    prefixes=("context_",),
)

# What a source holds, each table after those it refers to. Requests come in a file of their own.
TABLES = {table.name: table for table in (USERS, PRODUCTS, BEHAVIOUR, MARKET, INVENTORY, OFFERS)}
