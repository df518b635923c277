import pytest

from tasks.registry.pages import version_link


@pytest.mark.parametrize(
    ("tracking", "address"),
    [
        ("https://ann:secret@mlflow.shop/track/", "https://mlflow.shop/track"),
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("postgresql://ann:secret@host/mlflow", "http://127.0.0.1:5050"),  # a store and no server: that of `pricing up`
        (None, "http://127.0.0.1:5050"),
    ],
)
def test_a_version_s_page_is_led_to_without_a_password(
    tracking: str | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRICING_MLFLOW_PORT", "5050")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if tracking is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    assert version_link(3) == f"[version 3]({address}/#/models/demand/versions/3)"
