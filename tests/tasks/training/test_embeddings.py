import numpy as np

from tasks.training import embeddings
from tasks.training.embeddings import Embeddings


def test_vectors_are_kept_by_encoder_and_hash(tmp_path):
    store, other = Embeddings(tmp_path / "new" / "embeddings.sqlite", "a"), Embeddings(tmp_path / "other.sqlite", "b")
    assert store.read(["x"]) == {}
    store.add({"x": np.array([1.5, -2], "float32"), "y": np.zeros(2, "float32")})
    found = Embeddings(store.path, "a").read(["x", "z"])
    assert found.keys() == {"x"}
    assert found["x"].tolist() == [1.5, -2.0]
    assert found["x"].dtype == np.float32
    assert Embeddings(store.path, "b").read(["x"]) == other.read(["x"]) == {}


def test_what_is_there_stays_as_it_is(tmp_path):
    store = Embeddings(tmp_path / "embeddings.sqlite", "a")
    store.add({"x": np.ones(1, "float32")})
    store.add({"x": np.zeros(1, "float32"), "y": np.zeros(1, "float32")})
    assert {content: vector.tolist() for content, vector in store.read(["x", "y"]).items()} == {"x": [1.0], "y": [0.0]}


def test_more_hashes_than_a_statement_has_parameters(tmp_path):
    store = Embeddings(tmp_path / "embeddings.sqlite", "a")
    store.add({str(number): np.full(3, number, "float32") for number in range(40_000)})
    found = store.read([str(number) for number in range(80_000)])
    assert len(found) == 40_000
    assert found["39999"].tolist() == [39_999.0] * 3


def test_what_was_read_is_held_in_memory_as_far_as_it_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "MOST_HELD", 2)
    store = Embeddings(tmp_path / "embeddings.sqlite", "a")
    store.add({name: np.full(1, number, "float32") for number, name in enumerate("xyz")})
    assert store.read("xy").keys() == {"x", "y"}
    store.path.unlink()
    assert {content: vector.tolist() for content, vector in store.read("xy").items()} == {"x": [0.0], "y": [1.0]}
    store.add({"z": np.full(1, 2, "float32")})
    assert store.read("xyz").keys() == {"x", "y", "z"}
    assert list(embeddings._held[store.path, "a"]) == ["z"]  # no more than fits
