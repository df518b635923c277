"""Where things are: the one class that reads the environment."""

import re
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import PricingError

URL_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_POSTGRES_URL = re.compile(
    r"(?P<scheme>postgres|postgresql|postgresql\+psycopg2)://(?P<rest>[^\s/?#]*/[^\s/?#]+(\?\S*)?)"
)
_WEB_URL = re.compile(r"https?://[^\s/]+.*")


class SettingsError(PricingError):
    """A setting in the environment cannot be used: the message names it and the form it must have."""


class Settings(BaseSettings):
    """Places and ports, read from the environment at the moment of the call.

    A value that cannot be used raises SettingsError. The value itself is not shown: it may hold a password.
    """

    model_config = SettingsConfigDict(
        env_prefix="PRICING_",
        env_ignore_empty=True,
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(default=Path(".pricing"), description="Folder of all state (PRICING_HOME).")
    database_url: SecretStr | None = Field(
        default=None, description="A Postgres to use in place of the embedded one (PRICING_DATABASE_URL)."
    )
    source_url: SecretStr | None = Field(
        default=None,
        description="The SQLAlchemy URL to collect from, for the source `database` (PRICING_SOURCE_URL).",
    )
    alert_url: SecretStr | None = Field(
        default=None,
        description="A web address that alarms are posted to as JSON with the key `text`, as Slack and others take them"
        " (PRICING_ALERT_URL).",
    )
    pseudonyms: bool = Field(
        default=False,
        description="Store user ids as keyed hashes, from a database's first collection on (PRICING_PSEUDONYMS).",
    )
    dask_scheduler: str | None = Field(
        default=None,
        pattern=r"^(tcp|tls|ws|wss)://[^\s/]+$",
        description="The Dask scheduler of the runner `distributed` (PRICING_DASK_SCHEDULER).",
    )
    training_machines: int = Field(
        default=1, ge=1, description="How many machines share a training (PRICING_TRAINING_MACHINES)."
    )
    training_address: str = Field(
        default="127.0.0.1:29500",
        pattern=r"^[^\s/:]+:\d+$",
        description="Where the first of them, the one of the run, listens for the others (PRICING_TRAINING_ADDRESS).",
    )
    mlflow_tracking_uri: str | None = Field(default=None, validation_alias="MLFLOW_TRACKING_URI", repr=False)
    prefect_api_url: str | None = Field(default=None, validation_alias="PREFECT_API_URL", repr=False)
    prefect_port: int = Field(default=4200, ge=1, le=65535, description="`pricing up` (PRICING_PREFECT_PORT).")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="`pricing up` (PRICING_MLFLOW_PORT).")
    data_docs_port: int = Field(default=8090, ge=1, le=65535, description="`pricing up` (PRICING_DATA_DOCS_PORT).")
    data_docs_url: str | None = Field(
        default=None,
        description="Where a server of your own shows HOME/data_docs; empty: as `pricing up` does"
        " (PRICING_DATA_DOCS_URL).",
    )
    postgres_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The embedded Postgres; empty: any free one at first, then that one (PRICING_POSTGRES_PORT).",
    )

    _variables: ClassVar[dict[str, str]] = {
        "mlflow_tracking_uri": "MLFLOW_TRACKING_URI",
        "prefect_api_url": "PREFECT_API_URL",
    }

    @property
    def data_docs(self) -> Path:
        """The folder of Great Expectations' own pages."""
        return self.home / "data_docs"

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError("; ".join(map(self._complaint, error.errors()))) from None

    @classmethod
    def _complaint(cls, error: Any) -> str:
        name = str(error["loc"][0]) if error["loc"] else "settings"
        variable = name if name.isupper() else cls._variables.get(name, f"PRICING_{name.upper()}")
        return f"{variable}: {error['msg'].removeprefix('Value error, ')}"

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _psycopg2(cls, url: SecretStr | None) -> SecretStr | None:
        """Name the driver: SQLAlchemy 2.1 takes postgresql: for psycopg 3, and no version knows postgres:."""
        if url is None:
            return None
        match = _POSTGRES_URL.fullmatch(url.get_secret_value())
        if match is None:
            raise ValueError(f"expected {URL_FORM}, with any of @ : / ? # % in the password percent-encoded")
        return SecretStr(f"postgresql+psycopg2://{match['rest']}")

    @field_validator("alert_url")
    @classmethod
    def _web_secret(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _WEB_URL.fullmatch(url.get_secret_value()):
            raise ValueError("expected http://HOST/PATH or https://HOST/PATH")
        return url

    @field_validator("data_docs_url")
    @classmethod
    def _web_page(cls, url: str | None) -> str | None:
        if url is not None and not _WEB_URL.fullmatch(url):
            raise ValueError("expected http://HOST:PORT/PATH")
        return None if url is None else url.rstrip("/")

    @field_validator("prefect_api_url")
    @classmethod
    def _web(cls, url: str | None) -> str | None:
        if url is not None and not _WEB_URL.fullmatch(url):
            raise ValueError("expected http://HOST:PORT/api")
        return url
