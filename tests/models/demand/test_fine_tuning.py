"""A tiny BERT with random weights, and a shop where only the titles tell which products sell."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from transformers import BertConfig, BertModel, BertTokenizer, T5Config, T5Model

from models.demand import fine_tuning
from models.demand.fine_tuning import FineTuning, fine_tune
from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig
from models.features.content import ContentError, Encoders, ProductContent
from models.features.decisions import Decisions
from models.features.text import TextEncoder

CPU = torch.device("cpu")
NOUNS = [f"noun{number}" for number in range(12)]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "plain", *NOUNS]
PRODUCTS = 48
SMALL = FineTuning(
    epochs=6, histories=64, lora_learning_rate=2e-2, whole_learning_rate=3e-3,
    demand=DemandConfig(dimension=16, layers=1, history_length=4, content_directions=6),
    training=TrainingConfig(epochs=3, histories=128, learning_rate=1e-2),
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=12,
    )  # fmt: skip
    return TextEncoder.of(BertTokenizer(str(folder / "vocab.txt")), BertModel(config))


@pytest.fixture(scope="module")
def texts():
    """Titles of four nouns, which mean nothing, and one word that does."""
    rng = np.random.default_rng(1)
    words = [("fine", "plain")[number % 2] for number in range(PRODUCTS)]
    return {f"p{number}": " ".join([*rng.choice(NOUNS, 4), word]) for number, word in enumerate(words)}


@pytest.fixture(scope="module")
def shop(make_log, texts, encoder):
    """Training and validation offers: what is fine sells, what is plain does not, and nothing else differs."""
    decisions = make_log(offers=4000, users=400, products=PRODUCTS, events_each=2).decisions
    frame = decisions.frame.drop(columns=["category", "activity_thrift", "instrument_cost"])
    ratio = decisions.price_ratio
    fine = frame["product_id"].map(texts).str.endswith("fine").to_numpy()
    log_odds = np.where(fine, 1.5, -1.5) + 4 * (1 - ratio)
    bought = np.random.default_rng(2).random(len(frame)) < expit(log_odds)
    frame = frame.assign(list_price=10.0, price=10 * ratio, purchased=bought.astype(float))
    products = tuple(texts)
    vectors = encoder.embed(list(texts.values()))
    content = ProductContent(products, vectors, np.empty((PRODUCTS, 0), "float32"), Encoders("tiny", ""))
    offers = Decisions(frame, decisions.events, content)
    late = np.arange(len(frame)) % 4 == 0
    return offers.select(~late), offers.select(late)


@pytest.fixture(scope="module")
def tune(encoder, texts, shop):
    return lambda config=SMALL: fine_tune(encoder, texts, *shop, config, CPU)


@pytest.fixture(scope="module", params=["lora", "whole"])
def method(request):
    return request.param


@pytest.fixture(scope="module")
def tuned(tune, method):
    return tune(replace(SMALL, method=method))


def share_between(vectors: np.ndarray, fine: np.ndarray) -> float:
    """Share of the vectors' spread that lies between fine and plain products."""
    centred = vectors - vectors.mean(axis=0)
    means = [centred[group].mean(axis=0) for group in (fine, ~fine)]
    return float(sum(group.sum() * mean @ mean for group, mean in zip((fine, ~fine), means, strict=True))
                 / (centred**2).sum())  # fmt: skip


def test_tuned_vectors_hold_what_sells(encoder, texts, tuned):
    fine = np.array([text.endswith("fine") for text in texts.values()])
    before, after = (share_between(model.embed(list(texts.values())), fine) for model in (encoder, tuned[0]))
    assert after > 2 * before
    losses = tuned[1].validation_loss
    assert losses[tuned[1].best_epoch] == min(losses) < losses[0] - 0.01


def test_the_given_encoder_stays_as_it_is(encoder, texts, shop, tuned):
    assert np.array_equal(encoder.embed(list(texts.values())), shop[0].content.text)
    assert not tuned[0].network.training
    assert not any(parameter.requires_grad for parameter in tuned[0].network.parameters())


def test_equal_seeds_make_equal_encoders(tune, texts, tuned, method):
    again, report = tune(replace(SMALL, method=method))
    assert report == tuned[1]
    assert np.array_equal(again.embed(list(texts.values())), tuned[0].embed(list(texts.values())))


def test_a_stored_encoder_is_a_plain_one_with_the_same_vectors(texts, tuned, tmp_path):
    tuned[0].save(str(tmp_path))
    again = TextEncoder.load(str(tmp_path), CPU)
    assert type(again.network) is BertModel
    assert again.length == 12
    assert np.array_equal(again.embed(list(texts.values())), tuned[0].embed(list(texts.values())))


def test_an_encoder_that_only_gets_worse_stays_frozen(tune, encoder, texts):
    spoilt, report = tune(replace(SMALL, method="whole", whole_learning_rate=10.0, head_learning_rate=0.0, epochs=1))
    assert report.best_epoch == 0
    assert report.validation_loss[1] > report.validation_loss[0]
    assert np.array_equal(spoilt.embed(list(texts.values())), encoder.embed(list(texts.values())))


def test_what_cannot_be_tuned_is_said_before_any_training(tune, encoder, texts, shop, monkeypatch):
    t5 = T5Model(T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)).get_encoder()
    with pytest.raises(ContentError, match="encoder with a decoder"):
        fine_tune(replace(encoder, network=t5), texts, *shop, SMALL, CPU)
    same = [replace(part, content=replace(part.content, text=np.ones((PRODUCTS, 16), "float32"))) for part in shop]
    with pytest.raises(ContentError, match="do not differ"):
        fine_tune(encoder, texts, *same, replace(SMALL, method="whole"), CPU)
    monkeypatch.setattr(fine_tuning, "find_spec", lambda package: None)
    with pytest.raises(ContentError, match="pip install peft"):
        tune(replace(SMALL, method="lora"))
