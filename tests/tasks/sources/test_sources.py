from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.exceptions import PrefectHTTPStatusError
from prefect.testing.utilities import prefect_test_harness
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate
from pydantic import ValidationError

from flows.train import train
from tasks.settings import Settings
from tasks.sources import SourceError, SourceParameters, open_source, source_parameters
from tasks.sources.tafeng import TaFeng


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "files"}, "files need a path"),
        ({"kind": "spreadsheet"}, "kind"),
        ({"currency": "euro"}, "currency"),
        ({"surplus": 1}, "surplus"),
        ({"kind": "database", "url": "no url"}, "expected a SQLAlchemy URL"),
        ({"kind": "database", "url": "postgresql://u:s3cret@h/shop"}, "PRICING_SOURCE_URL"),
        ({"kind": "database", "url": "postgresql://r@h/s?password=s3cret"}, "PRICING_SOURCE_URL"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        SourceParameters.model_validate(values)


def test_the_form_of_the_parameters_explains_each_of_them():
    fields = SourceParameters.model_json_schema()["properties"]
    assert all(field.get("description") for field in fields.values())


def test_the_command_line_hands_a_url_on_by_the_environment(monkeypatch):
    monkeypatch.setenv("PRICING_SOURCE_URL", "before")
    parameters = source_parameters("database", None, "postgresql://reader:s3cret@host/shop", "EUR")
    assert "s3cret" not in parameters.model_dump_json()
    source = open_source(parameters, Settings())
    assert (source.name, source.currency) == ("database:postgresql://reader@host/shop", "EUR")


def test_the_command_line_is_told_what_is_missing():
    with pytest.raises(SourceError, match=r"^source: files need a path"):
        source_parameters("files", None, None, None)
    with pytest.raises(SourceError, match=r"^currency: "):
        source_parameters("tafeng", None, None, "euro")


def test_a_database_without_url_is_told_where_to_put_it(monkeypatch):
    monkeypatch.delenv("PRICING_SOURCE_URL", raising=False)
    with pytest.raises(SourceError, match="set PRICING_SOURCE_URL"):
        open_source(SourceParameters(kind="database"), Settings())


def test_ta_feng_is_the_default_and_has_its_own_currency(monkeypatch, tmp_path):
    monkeypatch.setenv("PRICING_HOME", str(tmp_path))
    assert open_source(SourceParameters(kind="tafeng"), Settings()) == TaFeng(tmp_path / "cache")
    with pytest.raises(SourceError, match="TWD, not EUR"):
        open_source(SourceParameters(kind="tafeng", currency="EUR"), Settings())


@pytest.fixture(scope="module")
def training() -> Iterator[tuple[SyncPrefectClient, UUID]]:
    """A Prefect server and its deployment of train."""
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        schema = parameter_schema(train).model_dump_for_openapi()
        yield client, client.create_deployment(client.create_flow(train), "train", parameter_openapi_schema=schema)


SECRETS = [
    "postgresql://u:s3cret@h/shop",
    "postgresql://u%40d:s3cret@h/shop",
    "mssql+pyodbc://u@server:s3cret@h/shop",
    "u:s3cret@h/shop",
    "postgresql:/u:s3cret@h/shop",
    "postgresql://r@h/s?password=s3cret",
    "postgresql://r@h/s?sslmode=require&SSLPassword=s3cret",
    "mysql://r@h/s?passwd=s3cret",
    "mysql://r@h/s?pass%77d=s3cret",
    "mssql+pyodbc:///?odbc_connect=PWD%3Ds3cret",
    "snowflake://r@h/s\n?token=s3cret",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_run_whose_url_holds_a_password_is_refused_by_the_server(
    training: tuple[SyncPrefectClient, UUID], url: str
) -> None:
    client, deployment = training
    asked = {"parameters": {"source": {"kind": "database", "url": url}}}
    with pytest.raises(PrefectHTTPStatusError, match="409"):
        client.create_flow_run_from_deployment(deployment, parameters=asked)
    with pytest.raises(PrefectHTTPStatusError, match="409"):
        client.update_deployment(deployment, DeploymentUpdate(parameters=asked))
    assert client.read_flow_runs() == []
    assert client.read_deployment(deployment).parameters == {}
    with pytest.raises(ValidationError) as refused:  # and by the parameters themselves, wherever they come from
        SourceParameters.model_validate(asked["parameters"]["source"])
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [None, "", "postgresql://r@h:5432/shop?sslmode=require&connect_timeout=3", "sqlite:////tmp/shop.db", "duckdb:///x"],
)
def test_a_url_without_a_password_is_accepted(url: str | None) -> None:
    schema = parameter_schema(train).model_dump_for_openapi()
    source = {"kind": "database", "url": url}
    assert validate({"parameters": {"source": source}}, schema) == []
    assert SourceParameters.model_validate(source).url == url
