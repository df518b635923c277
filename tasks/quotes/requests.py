"""Prices for a table of requests, from a model and a policy: batch quotes, what-ifs, and the served model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from psycopg2.extensions import connection as Connection

import sql
from models.demand.fitted import FittedDemand
from models.errors import PricingError
from models.features.decisions import Decisions
from models.pricing.book_request import BookRequest
from models.pricing.decide import price_decisions
from models.pricing.policy import PricingPolicy
from models.pricing.price_book import price_book
from models.pricing.shadow_prices import BookTerms
from tasks.books.candidates import groups_of_users, remaining_stock
from tasks.books.publish import live_book
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import REQUESTS, ContractError
from tasks.data.pseudonyms import stored_user_ids
from tasks.database import database_url, read_rows, transaction
from tasks.registry.versions import version_of
from tasks.settings import Settings
from tasks.training.features import live_prices, read_decisions

OUTPUT_COLUMNS = [
    "request_id", "price", "uniform_price", "purchase_probability", "elasticity", "lower", "upper", "reasons",
    "book_id", "model_version",
]  # fmt: skip


class RequestError(PricingError):
    """A table of requests cannot be priced."""


@dataclass(frozen=True)
class Terms:
    """What requests are priced under: a model, a policy, and the book's multipliers if a book is live."""

    demand: FittedDemand
    policy: PricingPolicy
    dataset: str
    currency: str
    book: BookTerms | None = None


def quote_requests(requests: Path, out: Path) -> int:
    """Price a CSV or Parquet file of requests under the live book's model and policy; returns the number of rows.

    Raises:
        RequestError: no book is live, a file's type is unknown or its folder missing, or a product is unknown.
        ContractError: the file does not hold the requests of the data contract.
    """
    for path in (requests, out):
        if path.suffix not in {".csv", ".parquet"}:
            raise RequestError(f"{path}: requests are read from and written to .csv or .parquet")
    if not out.parent.is_dir():
        raise RequestError(f"{out}: there is no folder {out.parent}; make it, or name another")
    rows = conforming_requests(read_requests(requests), str(requests))
    url = database_url(Settings())
    live = live_book(url)
    if live is None:
        raise RequestError("no price book is live yet; publish one with `pricing run`")
    demand = version_of(str(live.model_version)).demand()
    with transaction(url) as connection:
        (book,) = read_rows(connection, sql.query("book_terms"), {"book_id": live.book_id})
        prices = price_requests(connection, rows, str(requests), live_terms(demand, book))
    prices = prices.assign(book_id=live.book_id, model_version=live.model_version)[OUTPUT_COLUMNS]
    if out.suffix == ".csv":
        prices.assign(reasons=prices["reasons"].map(json.dumps)).to_csv(out, index=False)
    else:
        prices.to_parquet(out, index=False)
    return len(prices)


def live_terms(demand: FittedDemand, book: dict[str, Any]) -> Terms:
    """The terms of a row of pricing.books."""
    policy = PricingPolicy.from_mapping(book["policy"], origin=f"book {book['book_id']}")
    return Terms(demand, policy, book["dataset"], book["currency"], BookTerms(**book["terms"]))


def conforming_requests(requests: pd.DataFrame, origin: str) -> pd.DataFrame:
    """The requests in the platform's types, each with an id of its own.

    Raises:
        ContractError: the requests break the data contract.
    """
    rows = conform(requests, REQUESTS, origin, first_row=1)
    again = rows["request_id"].duplicated(keep=False)
    if again.any():
        first = rows.loc[again, "request_id"].iloc[0]
        problem = f"{first!r} is the id of more than one request; give each its own"
        raise ContractError(origin, problem, "request_id", (np.flatnonzero(again) + 1).tolist())
    return rows


def price_requests(connection: Connection, requests: pd.DataFrame, origin: str, terms: Terms) -> pd.DataFrame:
    """One row a conforming request, in order: its prices, never explored. A refused one has no price and its reason.

    Requests are priced together, so that those of one pool fit what it has left; under a policy with limits
    on the whole portfolio they take the live book's multipliers instead, as its own prices did.

    Raises:
        RequestError: a product is unknown in the dataset.
    """
    rows = requests.assign(user_id=stored_user_ids(connection, requests["user_id"]))
    _decide(connection, rows)
    _refuse_unknown_products(connection, terms.dataset, origin)
    decisions = read_decisions(connection, terms.dataset, terms.demand.encoders)
    prices = _priced(connection, decisions, terms)
    prices["reasons"] = [
        reasons if refused is None else [refused]
        for reasons, refused in zip(prices["reasons"], prices["refused"], strict=True)
    ]
    prices.insert(0, "request_id", decisions.frame["decision_id"])
    return prices.set_index("request_id", drop=False).loc[rows["request_id"]].reset_index(drop=True)


def _priced(connection: Connection, decisions: Decisions, terms: Terms) -> pd.DataFrame:
    live = live_prices(connection, terms.dataset, decisions.frame["decision_id"])
    request = BookRequest(
        decisions=decisions.frame,
        curve=terms.demand.curve(decisions),
        uniform_curve=terms.demand.curve(decisions, personal=False),
        policy=terms.policy,
        currency=terms.currency,
        live_price=live["price"],
        live_uniform_price=live["uniform_price"],
        group=groups_of_users(connection, terms.dataset, terms.policy.fairness.group, decisions.frame["user_id"]),
        remaining=remaining_stock(connection, terms.dataset, decisions.frame["decided_at"].max().to_pydatetime()),
    )
    if terms.book is None or not terms.policy.binds_whole_book:
        return price_book(request).prices
    return price_decisions(
        request.decisions, request.curve, request.uniform_curve, request.policy, request.currency,
        live_price=request.live_price, live_uniform_price=request.live_uniform_price, terms=terms.book,
    )  # fmt: skip


def read_requests(path: Path) -> pd.DataFrame:
    """The file's rows as they stand.

    Raises:
        ContractError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise ContractError(str(path), "there is no such file")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype="str", keep_default_na=False, na_values=[""])
    except (OSError, ValueError, pa.ArrowException) as error:  # pandas' own are values it cannot understand
        raise ContractError(str(path), f"the file cannot be read: {' '.join(str(error).split())}") from error


def _decide(connection: Connection, rows: pd.DataFrame) -> None:
    names = {"request_id": "decision_id", "requested_at": "decided_at"}
    with connection.cursor() as cursor:
        cursor.execute(sql.query("decisions_empty"))
    copy_frame(
        connection, ["decision"], rows.rename(columns=names).drop(columns=["origin", "row_number"], errors="ignore")
    )


def _refuse_unknown_products(connection: Connection, dataset: str, origin: str) -> None:
    unknown = read_rows(connection, sql.query("unknown_products"), {"dataset": dataset})
    if unknown:
        shown = ", ".join(row["product_id"] for row in unknown[:3])
        raise RequestError(
            f"{origin}: {len(unknown)} products are unknown in dataset {dataset} (first: {shown}); "
            "collect them first, or leave those requests out"
        )
