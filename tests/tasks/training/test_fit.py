"""The demand model of a snapshot, with what its products' titles say."""

import shutil
from datetime import UTC, datetime
from importlib.resources import files

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

import sql
from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig
from models.features.content import ContentError, Encoders
from models.features.text import TextEncoder
from tasks.copying import copy_frame
from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.data.snapshots import Snapshot
from tasks.database import database_url, transaction
from tasks.registry.model_store import load_demand, save_demand
from tasks.training import content as content_module
from tasks.training import extract as extract_module
from tasks.training import fit as fit_module
from tasks.training.content import read_content
from tasks.training.encoders import embed_texts
from tasks.training.extract import FeatureSet
from tasks.training.features import read_decisions
from tasks.training.fit import MODEL_CODE, Recipe, fit
from tasks.training.fits import drop_fit

SMALL = {"demand": DemandConfig(dimension=8, layers=1, history_length=4), "training": TrainingConfig(epochs=1)}


@pytest.fixture
def features(settings, migrated, learnable_shop, monkeypatch) -> FeatureSet:
    """The features of a shop whose titles end in a number, and an encoder `numbers` that reads it."""

    def load(name):
        if name != "numbers":
            return embed_texts(name)
        return lambda titles: np.array([[float(title.split()[-1]), 1, 2] for title in titles], "float32")

    monkeypatch.setattr(content_module, "embed_texts", load)
    snapshot = Snapshot("a" * 64, "shop", "EUR", {}, datetime(2026, 4, 1, tzinfo=UTC))
    with transaction(database_url(settings)) as connection:
        for name, frame in learnable_shop.items():
            rows = conform(frame, TABLES[name], name, first_row=1)
            copy_frame(connection, ["data", name], rows.assign(dataset="shop"))
        with connection.cursor() as cursor:
            cursor.execute(sql.query("decisions_from_offers"), {"dataset": "shop", "first_user": "", "next_user": None})
        extract_module._write(read_decisions(connection, "shop"), settings.home / "features")
    return FeatureSet(snapshot, settings.home / "features")


@pytest.fixture
def tiny_bert(tmp_path):
    """The folder of a BERT with random weights that tells the shop's titles apart."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "product", *map(str, range(12))]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    TextEncoder.of(BertTokenizer(str(tmp_path / "vocab.txt")), BertModel(config)).save(str(tmp_path / "bert"))
    return tmp_path / "bert"


def test_the_model_reads_titles_by_the_recipes_encoder_and_remembers_which(features, tmp_path):
    trained = fit.fn(features, Recipe(text_encoder="numbers", **SMALL))
    assert trained.fitted.encoders == Encoders("numbers", "")
    assert trained.split.test.content.text.shape == (12, 3)
    save_demand(trained.fitted, tmp_path)
    again, some = load_demand(tmp_path), trained.split.test.select(np.arange(50))
    assert again.encoders == Encoders("numbers", "")
    assert np.array_equal(again.curve(some).valuation, trained.fitted.curve(some).valuation)


def test_a_recipe_may_leave_texts_unread(features):
    trained = fit.fn(features, Recipe(text_encoder="none", image_encoder="none", **SMALL))
    assert not trained.fitted.encoders
    assert trained.split.train.content is None


def test_another_encoder_makes_another_model():
    snapshot = Snapshot("a" * 64, "shop", "EUR", {}, datetime(2026, 4, 1, tzinfo=UTC))
    hashes = {Recipe(text_encoder=name).inputs_hash(snapshot) for name in (None, "none", "numbers")}
    assert len(hashes) == 3


def test_other_code_of_a_model_makes_another_model(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "files", lambda package: tmp_path / package)
    for package in fit_module.MODEL_CODE:
        (tmp_path / package).mkdir()
    network = tmp_path / "models.demand" / "network.py"
    snapshot, hashes = Snapshot("a" * 64, "shop", "EUR", {}, datetime(2026, 4, 1, tzinfo=UTC)), set()
    for code in ("", "width = 8", "width = 9"):
        network.write_text(code)
        hashes.add(Recipe().inputs_hash(snapshot))
    assert len(hashes) == 3


@pytest.mark.parametrize("tuning", ["lora", "whole"])
def test_a_tuned_encoder_is_kept_and_reads_the_texts_from_then_on(features, settings, tiny_bert, tuning):
    recipe = Recipe(text_encoder=str(tiny_bert), text_tuning=tuning, image_encoder="none", **SMALL)
    trained = fit.fn(features, recipe)
    (folder,) = (settings.home / "encoders").iterdir()
    assert folder.name == recipe.inputs_hash(features.snapshot)
    assert trained.fitted.encoders == Encoders(str(folder), "")
    written = (folder / "model.safetensors").stat()
    again = fit.fn(features, recipe)
    assert (folder / "model.safetensors").stat() == written
    some = trained.split.test.select(np.arange(50))
    assert np.array_equal(again.fitted.curve(some).valuation, trained.fitted.curve(some).valuation)
    shutil.rmtree(folder)
    with (
        transaction(database_url(settings)) as connection,
        pytest.raises(ContentError, match=f"{folder} does not exist"),
    ):
        read_content(connection, "shop", ["p01"], trained.fitted.encoders)


def test_processes_share_a_fit_and_leave_nothing_else_behind(features, settings):
    trained = fit.fn(features, Recipe(text_encoder="numbers", processes=2, **SMALL))
    assert trained.fitted.encoders == Encoders("numbers", "")
    assert len(trained.report.training.validation_loss) == 1
    assert np.isfinite(trained.fitted.curve(trained.split.test).valuation).all()
    (folder,) = (settings.home / "fits").iterdir()
    assert folder == Recipe(text_encoder="numbers", processes=2, **SMALL).folder(features.snapshot)


def test_a_fit_that_was_not_registered_is_not_done_again(features, monkeypatch):
    recipe = Recipe(text_encoder="numbers", **SMALL)
    trained = fit.fn(features, recipe)
    monkeypatch.setattr(fit_module, "fit_demand", None)
    again = fit.fn(features, recipe)
    some = trained.split.test.select(np.arange(50))
    assert np.array_equal(again.fitted.curve(some).valuation, trained.fitted.curve(some).valuation)
    assert again.report == trained.report
    drop_fit(recipe.folder(features.snapshot))
    with pytest.raises(TypeError):
        fit.fn(features, recipe)


def test_a_fit_cut_off_while_it_was_written_is_done_again(features):
    recipe = Recipe(text_encoder="numbers", **SMALL)
    fit.fn(features, recipe)
    (recipe.folder(features.snapshot) / "report.json").unlink()
    (recipe.folder(features.snapshot) / "weights.safetensors").write_bytes(b"half")
    assert fit.fn(features, recipe).report.training.best_epoch == 1


def test_the_model_s_code_is_part_of_what_made_it():
    sources = [name for package in MODEL_CODE for name in files(package).iterdir() if name.name.endswith(".py")]
    assert {"network.py", "encoding.py"} <= {source.name for source in sources}
