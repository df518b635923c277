"""A file of requests is priced under the live book, or refused in one line before the model is loaded."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tasks.quotes.requests
from tasks.data.contract import ContractError
from tasks.quotes.requests import RequestError, quote_requests

REQUESTS = pd.DataFrame(
    {
        "request_id": ["a", "b", "c"],
        "user_id": ["u001", "u002", "nobody"],
        "product_id": "p01",
        "requested_at": "2026-04-02T10:00:00Z",
    }
)
TWICE = REQUESTS.assign(request_id=["a", "b", "a"])
IDS_TWICE = "column request_id, rows 1, 3: 'a' is the id of more than one request; give each its own"


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.quotes.requests, "version_of", lambda version: pytest.fail("the model was loaded"))


def test_a_file_of_requests_is_priced(book_shop: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    book_shop.published()
    registered = type("Registered", (), {"demand": lambda self: book_shop.demand})()
    monkeypatch.setattr(tasks.quotes.requests, "version_of", lambda version: registered)
    REQUESTS.to_csv(tmp_path / "requests.csv", index=False)
    assert quote_requests(tmp_path / "requests.csv", tmp_path / "prices.csv") == 3
    prices = pd.read_csv(tmp_path / "prices.csv")
    assert prices["request_id"].tolist() == ["a", "b", "c"]
    assert prices["price"].notna().all()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("missing.csv", None, "there is no such file"),
        ("missing.parquet", None, "there is no such file"),
        ("broken.parquet", b"PAR1 and no more", "the file cannot be read: "),
        ("empty.csv", b"", "the file cannot be read: "),
        ("latin.csv", "request_id\nzo\xeb".encode("latin-1"), "the file cannot be read: "),
        ("ragged.csv", b"request_id\na,b\n1,2,3\n", "the file cannot be read: "),
        ("twice.csv", TWICE.to_csv(index=False).encode(), IDS_TWICE),
    ],
)
def test_a_file_that_cannot_be_priced_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ContractError) as refused:
        quote_requests(path, tmp_path / "prices.csv")
    message = str(refused.value)
    assert message.startswith(str(path)) and problem in message
    assert "\n" not in message


def test_a_folder_to_write_to_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"nowhere/prices.csv: there is no folder .*nowhere"):
        quote_requests(tmp_path / "missing.csv", tmp_path / "nowhere" / "prices.csv")


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # of one of MLflow's own models, at its import
def test_the_served_model_refuses_the_same(settings: Any) -> None:
    from tasks.registry.served_model import DemandPricer

    with pytest.raises(ContractError, match=f"the request, {IDS_TWICE}"):
        DemandPricer().predict(None, TWICE)
