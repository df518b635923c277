"""Places of titles by a tiny BERT with random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from models.demand import text_places
from models.demand.text_places import TextPlaces
from models.features.encoding import Encoding
from models.features.text import TextEncoder

CPU = torch.device("cpu")
PRODUCTS = 48


@pytest.fixture
def encoder(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cup", *map(str, range(10))]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    return TextEncoder.of(BertTokenizer(str(tmp_path / "vocab.txt")), BertModel(config))


@pytest.fixture
def texts():
    return {f"p{number}": " ".join(["cup", *f"{7 * number}"]) for number in range(PRODUCTS)}


@pytest.fixture
def decisions(make_log, describe, encoder, texts):
    vectors = dict(zip(texts, encoder.embed(list(texts.values())), strict=True))
    return describe(make_log(offers=200, users=20, products=PRODUCTS).decisions, vectors, {})


def test_every_product_finds_its_text_whether_or_not_the_vocabulary_knows_it(encoder, texts, decisions):
    encoding = Encoding.fit(decisions, minimum_count=5)
    silent = decisions.frame["product_id"][0]
    is_silent = torch.tensor((decisions.frame["product_id"] == silent).to_numpy())
    told = {product: text for product, text in texts.items() if product != silent}
    places = TextPlaces.of(encoder, told, encoding.text, CPU)
    numbered = replace(encoding, text=places.number_space).encode(places.number(decisions))
    filled, expected = (
        part.products.text[part.product] for part in (places.fill(numbered), encoding.encode(decisions))
    )
    assert 0 < len(encoding.product_ids) < 40
    torch.testing.assert_close(filled[~is_silent], expected[~is_silent], atol=1e-4, rtol=1e-4)
    assert expected[is_silent].any()
    assert not filled[is_silent].any()


def test_many_texts_are_read_in_blocks_with_the_gradients_of_one(encoder, texts, decisions, monkeypatch):
    network = encoder.network.requires_grad_(True)
    places = TextPlaces.of(encoder, texts, Encoding.fit(decisions).text, CPU)
    every = torch.arange(PRODUCTS + 1)

    def gradient() -> torch.Tensor:
        network.zero_grad()
        places.of_numbers(every)[:, 0].square().sum().backward()
        return network.embeddings.word_embeddings.weight.grad.clone()

    at_once, found = gradient(), places.of_numbers(every)
    monkeypatch.setattr(text_places, "_TEXTS_AT_ONCE", 7)
    torch.testing.assert_close(gradient(), at_once, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(places.of_numbers(every), found, atol=1e-4, rtol=1e-4)
    assert at_once.any()
    assert np.array_equal(found[0].detach(), np.zeros(places.space.width))
