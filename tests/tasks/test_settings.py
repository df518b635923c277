from pathlib import Path

import pytest

from tasks.settings import Settings, SettingsError


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_database_url_names_its_driver(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICING_DATABASE_URL", f"{scheme}://user:secret@host:5433/shop?sslmode=require")
    url = Settings().database_url
    assert url is not None
    assert url.get_secret_value() == "postgresql+psycopg2://user:secret@host:5433/shop?sslmode=require"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:secret@host/shop",
        "postgresql://user:secret@host",
        "host/secret",
        "postgres:///",
        "secret",
    ],
)
def test_a_wrong_database_url_is_refused_by_name_and_form_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRICING_DATABASE_URL", url)
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert str(caught.value).startswith("PRICING_DATABASE_URL: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None, "pydantic's own error shows the value"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PRICING_PREFECT_PORT", "70000"),
        ("PRICING_MLFLOW_PORT", "five"),
        ("PRICING_POSTGRES_PORT", "0"),
        ("PREFECT_API_URL", "localhost:4200"),
        ("PRICING_TRAINING_ADDRESS", "trainer"),
        ("PRICING_ALERT_URL", "hooks.example/T0/secret"),
    ],
)
def test_a_wrong_value_names_its_variable(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        Settings()


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PRICING_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(variable, "postgresql://user:secret@host/shop")
    monkeypatch.setenv("PREFECT_API_URL", "https://user:secret@host/api")
    monkeypatch.setenv("PRICING_ALERT_URL", "https://hooks.example/T0/secret")
    assert "secret" not in repr(Settings()) + str(Settings())


def test_the_environment_is_read_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings().home == tmp_path / ".pricing"
    monkeypatch.setenv("PRICING_HOME", "elsewhere")
    assert Settings().home == tmp_path / "elsewhere"
    monkeypatch.setenv("PRICING_HOME", "")
    assert Settings().home == tmp_path / ".pricing", "an empty variable counts as absent"
