"""The demand model of a snapshot, with what its products' titles say."""

from datetime import UTC, datetime

import numpy as np
import pytest

import sql
from models.content import Encoders
from models.demand import DemandConfig
from models.training import TrainingConfig
from tasks import content as content_module
from tasks import extract as extract_module
from tasks.conformity import conform
from tasks.contract import TABLES
from tasks.copying import copy_frame
from tasks.database import database_url, transaction
from tasks.extract import FeatureSet
from tasks.features import read_decisions
from tasks.fit import Recipe, fit
from tasks.model_store import load_demand, save_demand
from tasks.snapshots import Snapshot

SMALL = {"demand": DemandConfig(dimension=8, layers=1, history_length=4), "training": TrainingConfig(epochs=1)}


@pytest.fixture
def features(settings, migrated, learnable_shop, monkeypatch) -> FeatureSet:
    """The features of a shop whose titles end in a number, and an encoder that reads it."""

    def load(name):
        return lambda titles: np.array([[float(title.split()[-1]), 1, 2] for title in titles], "float32")

    monkeypatch.setattr(content_module, "embed_texts", load)
    snapshot = Snapshot("a" * 64, "shop", "EUR", {}, datetime(2026, 4, 1, tzinfo=UTC))
    with transaction(database_url(settings)) as connection:
        for name, frame in learnable_shop.items():
            rows = conform(frame, TABLES[name], name, first_row=1)
            copy_frame(connection, ["data", name], rows.assign(dataset="shop"))
        with connection.cursor() as cursor:
            cursor.execute(sql.query("decisions_from_offers"), {"dataset": "shop"})
        extract_module._write(read_decisions(connection, "shop"), settings.home / "features")
    return FeatureSet(snapshot, settings.home / "features")


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


def test_processes_share_a_fit_and_leave_nothing_else_behind(features, settings):
    trained = fit.fn(features, Recipe(text_encoder="numbers", processes=2, **SMALL))
    assert trained.fitted.encoders == Encoders("numbers", "")
    assert len(trained.report.training.validation_loss) == 1
    assert np.isfinite(trained.fitted.curve(trained.split.test).valuation).all()
    assert not list((settings.home / "checkpoints").iterdir())
