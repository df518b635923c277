"""Point-in-time features: what Postgres knew of each decision's user, product and market before it was made."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple, Self

import pandas as pd
import pyarrow as pa
from psycopg2.extensions import connection as Connection

import sql
from models.features.content import NO_ENCODERS, Encoders
from models.features.decisions import EVENT_COLUMNS, Decisions
from models.features.history import history_features
from tasks.database import read_arrow, read_frame
from tasks.training.content import read_content

ATTRIBUTES: dict[str, Callable[[str], str]] = {
    "user_attributes": "user_{}".format,
    "product_attributes": "product_{}".format,
    "context_attributes": str,
    "market_attributes": lambda name: name if name.startswith("instrument_") else f"market_{name}",
}


class Extract(NamedTuple):
    """Decisions and their users' events as the database has them; parts are joined in the order of their users' ids."""

    features: pa.Table
    histories: pa.Table

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """The extract of all users of these extracts, each of other users."""
        return cls(*map(pa.concat_tables, zip(*parts, strict=True)))

    def decisions(self) -> Decisions:
        """The decisions that a model reads: histories located and counted, attributes in columns."""
        frame, events = self.features.to_pandas(), self.histories.to_pandas()
        attributes = [_expand(frame[column], rename) for column, rename in ATTRIBUTES.items()]
        known = [frame.drop(columns=list(ATTRIBUTES)), history_features(frame, events), *attributes]
        return Decisions(pd.concat(known, axis=1), events[list(EVENT_COLUMNS)])


def read_decisions(
    connection: Connection, dataset: str, encoders: Encoders = NO_ENCODERS, recorded: bool = False
) -> Decisions:
    """The rows of the temporary table `decision` with their features, and the events of their users.

    Batch extraction, pricing, batch quotes and repricing all fill `decision` and call this, so a model meets
    the same features wherever it is asked. With `recorded`, histories hold what the storefront recorded and no
    collection has brought into the dataset yet. Rows whose product is unknown are left out. What the products' texts
    and images say comes along for the `encoders` of the model that is to read it.
    """
    decisions = read_extract(connection, dataset, recorded).decisions()
    content = read_content(connection, dataset, decisions.frame["product_id"].unique(), encoders)
    return replace(decisions, content=content)


def read_extract(connection: Connection, dataset: str, recorded: bool = False) -> Extract:
    """The same without what texts and images say, as the database has it."""
    parameters: dict[str, object] = {"dataset": dataset, "recorded": recorded}
    return Extract(*(read_arrow(connection, sql.query(name), parameters) for name in ("features", "histories")))


def live_prices(
    connection: Connection, dataset: str, decision_ids: pd.Series, book_id: int | None = None
) -> pd.DataFrame:
    """What the users of the temporary table `decision` are quoted by the live book, or by `book_id` (decision_ids, 3).

    The columns are price, uniform_price and propensity (of a price drawn in the decision's own period), NaN
    where there is none.
    """
    live = read_frame(connection, sql.query("live_prices_of_decisions"), {"dataset": dataset, "book_id": book_id})
    return live.set_index("decision_id").astype("float64").reindex(decision_ids)


def _expand(attributes: pd.Series, rename: Callable[[str], str]) -> pd.DataFrame:
    """One column an attribute; each distinct JSON text is parsed once."""
    if attributes.isna().all():
        return pd.DataFrame(index=attributes.index)
    codes, distinct = pd.factorize(attributes)
    parsed = pd.DataFrame([*map(json.loads, distinct), {}])  # the last is what code -1, no attributes, reads
    settled = pd.DataFrame({rename(str(name)): _settled(values) for name, values in parsed.items()}, parsed.index)
    return settled.iloc[codes].set_axis(attributes.index)


def _settled(values: pd.Series) -> pd.Series:
    """A column of one type: booleans with gaps are nullable booleans, and a mixture is text."""
    if values.dtype != object:
        return values
    is_flag = pd.api.types.infer_dtype(values, skipna=True) == "boolean"
    return values.astype("boolean") if is_flag else values.map(str, na_action="ignore").astype("str")
