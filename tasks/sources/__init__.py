"""Where data comes from: one small protocol, one file per kind of place."""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from models.errors import PricingError
from models.form import as_form_where
from models.simulation.domains import Domain
from models.simulation.marketplace import MarketplaceConfig
from tasks.settings import Settings

NO_CURRENCY = "XXX"  # ISO 4217 for "no currency is involved"

# What a person may write into a form: Prefect's server keeps it for all to read, and checks it by the schema alone,
# before any of this code runs. The schema's dialect has no flag for the case of letters, and a key that is
# percent-encoded could be any of these.
_SECRETS = ("pass", "pwd", "secret", "token", "credential", "odbc")
_SECRET_KEY = "|".join(["%", *("".join(f"[{letter}{letter.upper()}]" for letter in word) for word in _SECRETS)])
URL_WITHOUT_PASSWORD = rf"^$|^[\w+]+://(?![^:/]*:[^@]+@)(?![\s\S]*[?&][^=&]*({_SECRET_KEY})[^=&]*=)"


class SourceError(PricingError):
    """A source cannot be opened as it was asked for."""


class Source(Protocol):
    """A dataset's tables of the data contract, read in blocks of bounded memory.

    ``name`` tells this dataset from every other and holds no secret; ``currency`` is an ISO 4217 code.
    """

    @property
    def name(self) -> str:
        """The dataset's name."""
        ...

    @property
    def currency(self) -> str:
        """The currency of its money."""
        ...

    def fingerprint(self) -> str | None:
        """A hash of the content, to know an unchanged source by; None where it costs as much."""
        ...

    def tables(self) -> frozenset[str]:
        """Names of the contract's tables that are there."""
        ...

    def origin(self, table: str) -> str:
        """What a person calls the place a table comes from: a file, or a table of a database."""
        ...

    def batches(
        self, table: str, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[pd.DataFrame]:
        """The table's rows as the source has them; rows before ``since`` and from ``until`` on may be left out."""
        ...


class SourceParameters(BaseModel):
    """Which dataset to collect, as the form of the Prefect UI asks for it. It holds no secret."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra=as_form_where("kind", "files", path={"type": "string"}),
    )

    kind: Literal["live", "tafeng", "files", "database", "marketplace"] = Field(
        default="live",
        title="Kind of place",
        description="live: where the live prices' model learnt from; before there is one, tafeng. "
        "tafeng: four months of a real supermarket. files: a folder of Parquet or CSV. "
        "database: tables or views. marketplace: a simulated shop, hotel, lender or car dealer.",
    )
    path: Path | None = Field(
        default=None, title="Folder", description="files: the folder with users.parquet or users.csv and so on."
    )
    url: str | None = Field(
        default=None,
        title="URL",
        description="database: SQLAlchemy URL without a password. One with a password belongs in the "
        "environment variable PRICING_SOURCE_URL, which is read where this is empty.",
        json_schema_extra={"pattern": URL_WITHOUT_PASSWORD},
    )
    currency: str | None = Field(
        default=None,
        pattern="^[A-Z]{3}$",
        title="Currency",
        description="ISO 4217 code of the dataset's money, such as EUR.",
    )
    marketplace: MarketplaceConfig = Field(
        default=MarketplaceConfig(),
        title="Marketplace",
        description="marketplace: what is simulated; the other kinds ignore it.",
    )

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, url: str | None) -> str | None:
        try:
            make_url(url or "sqlite://")
        except (ArgumentError, ValueError):
            raise ValueError("expected a SQLAlchemy URL such as postgresql://USER@HOST:PORT/DATABASE") from None
        if url and not re.search(URL_WITHOUT_PASSWORD, url):
            raise ValueError(
                "a URL with a password, be it among its options, belongs in the environment variable "
                "PRICING_SOURCE_URL of the worker: leave it out here"
            )
        return url

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.kind == "files" and self.path is None:
            raise ValueError("files need a path: the folder that holds them")
        return self


def source_parameters(
    kind: str, path: Path | None, url: str | None, currency: str | None, domain: Domain = "ecommerce"
) -> SourceParameters:
    """What a person asked for on the command line, checked.

    A URL may hold a password: it goes into the environment of this process alone. `domain` is the marketplace's.

    Raises:
        SourceError: what was asked for is not enough, or not understood.
    """
    if url is not None:
        os.environ["PRICING_SOURCE_URL"] = url
    try:
        asked = {"kind": kind, "path": path, "currency": currency, "marketplace": {"domain": domain}}
        return SourceParameters.model_validate(asked)
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, item['loc'])) or 'source'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        raise SourceError("; ".join(found)) from None


def open_source(parameters: SourceParameters, settings: Settings) -> Source:
    """The source these parameters ask for; nothing is read yet.

    Raises:
        SourceError: there is no folder at the path, no URL, or the URL cannot be understood.
    """
    assert parameters.kind != "live"  # noqa: S101  tasks.training.continuation has settled it
    if parameters.kind == "files":
        from tasks.sources.files import FilesSource

        assert parameters.path is not None  # noqa: S101  the parameters' own validation
        return FilesSource(parameters.path.expanduser().resolve(), parameters.currency or NO_CURRENCY)
    if parameters.kind == "database":
        from tasks.sources.database import DatabaseSource

        url = parameters.url or (settings.source_url.get_secret_value() if settings.source_url else None)
        if url is None:
            raise SourceError("no database to collect from: set PRICING_SOURCE_URL to its SQLAlchemy URL")
        return DatabaseSource.at(url, parameters.currency or NO_CURRENCY)
    if parameters.kind == "marketplace":
        from tasks.sources.marketplace import SimulatedMarketplace

        return SimulatedMarketplace(parameters.marketplace)
    from tasks.sources.tafeng import TaFeng

    if parameters.currency not in (None, TaFeng.currency):
        raise SourceError(
            f"the Ta Feng data is in {TaFeng.currency}, not {parameters.currency}: leave the currency out"
        )
    return TaFeng(settings.home / "cache")
