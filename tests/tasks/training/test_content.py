"""Products' texts and images from the database, with encoders that count what they are asked."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from psycopg2.extensions import connection as Connection

import sql
from models.features.content import Encoders
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import PRODUCTS
from tasks.database import database_url, transaction
from tasks.training import content as content_module
from tasks.training.content import read_content
from tasks.training.features import read_decisions

BOTH = Encoders("words", "pixels")
RED, BLUE = (b"\x89PNG\r\n\x1a\n" + name for name in (b"red", b"blue"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str | bytes]]:
    """Each block that an encoder was asked to embed; a vector holds the number of letters, or of bytes."""
    blocks: list[list[str | bytes]] = []

    def load(name: str):
        def embed(contents):
            blocks.append(list(contents))
            return np.array([[len(content), 1.0] for content in contents], "float32")

        return embed

    monkeypatch.setattr(content_module, "embed_texts", load)
    monkeypatch.setattr(content_module, "embed_pictures", load)
    return blocks


@pytest.fixture
def connection(settings, migrated) -> Iterator[Connection]:
    with transaction(database_url(settings)) as connection:
        yield connection


def stock(connection: Connection, **columns) -> None:
    rows = pd.DataFrame({"product_id": ["a", "b", "c", "d"], "list_price": 4.0, "unit_cost": 2.0, **columns})
    copied = conform(rows, PRODUCTS, "products", first_row=1)
    if "image" in copied:
        copied["image"] = copied["image"].map(lambda image: "\\x" + image.hex(), na_action="ignore")
    copy_frame(connection, ["data", "products"], copied.assign(dataset="shop"))


def test_title_and_description_are_one_text_and_equal_ones_are_embedded_once(connection, asked):
    stock(connection, title=["Tea", "Tea", None, ""], description=["green", "green", "A cup", None])
    content = read_content(connection, "shop", list("abcd"), BOTH)
    assert asked == [["Tea. green", "A cup"]]
    assert content.product_ids == ("a", "b", "c")
    assert content.text.tolist() == [[10.0, 1.0], [10.0, 1.0], [5.0, 1.0]]
    assert content.image.shape == (3, 0)
    assert content.encoders == Encoders("words", "")


def test_images_are_embedded_once_and_products_without_one_have_zeros(connection, asked):
    stock(connection, title=[None, None, "Cup", None], image=[RED, BLUE, None, RED])
    content = read_content(connection, "shop", list("abcd"), BOTH)
    assert asked == [["Cup"], [RED, BLUE]]
    assert content.image.tolist() == [[11.0, 1.0], [12.0, 1.0], [0.0, 0.0], [11.0, 1.0]]
    assert content.text.tolist() == [[0.0, 0.0], [0.0, 0.0], [3.0, 1.0], [0.0, 0.0]]


def test_what_was_embedded_is_not_embedded_again(connection, asked):
    stock(connection, title=["Tea", "Cup", "Pot", None], image=[RED, None, None, None])
    first = read_content(connection, "shop", ["a", "b"], BOTH)
    asked.clear()
    again = read_content(connection, "shop", ["a", "b"], BOTH)
    assert not asked
    assert np.array_equal(again.text, first.text)
    assert np.array_equal(again.image, first.image)
    read_content(connection, "shop", list("abcd"), BOTH)
    assert asked == [["Pot"]]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE data.products SET title = 'Teapot' WHERE product_id = 'a'")
    read_content(connection, "shop", ["a"], BOTH)
    read_content(connection, "shop", ["a"], Encoders("other", ""))
    assert asked[1:] == [["Teapot"], ["Teapot"]]


def test_blocks_bound_what_is_read_at_once(connection, asked, monkeypatch):
    monkeypatch.setattr(content_module, "TEXTS_PER_BLOCK", 3)
    stock(connection, title=["one", "two", "three", "four"])
    content = read_content(connection, "shop", list("abcd"), BOTH)
    assert [len(block) for block in asked] == [3, 1]
    assert content.text[:, 0].tolist() == [3.0, 3.0, 5.0, 4.0]


@pytest.mark.parametrize("encoders", [BOTH, Encoders()])
def test_a_dataset_without_titles_loads_nothing(connection, asked, encoders):
    stock(connection)
    assert read_content(connection, "shop", list("abcd"), encoders) is None
    assert not asked


def test_decisions_bring_the_content_their_model_reads(connection, asked):
    stock(connection, title="Tea")
    with connection.cursor() as cursor:
        cursor.execute(sql.query("decisions_empty"))
        cursor.execute(
            "INSERT INTO decision (decision_id, user_id, product_id, decided_at) VALUES ('1', 'ann', 'b', now())"
        )
    assert read_decisions(connection, "shop").content is None
    decisions = read_decisions(connection, "shop", BOTH)
    assert decisions.content.product_ids == ("b",)
    assert decisions.content.encoders == Encoders("words", "")
