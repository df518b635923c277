import pytest
from pydantic import ValidationError

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
