import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer, GPT2Config, GPT2Model

from models.features.content import ContentError
from models.features.text import TextEncoder, pool

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "green", "tea", "red", "cup", "a", "fine"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT with random weights, stored as the hub stores one."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=12,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(folder):
    return TextEncoder.load(str(folder), torch.device("cpu"))


def test_a_text_has_one_vector_of_length_1_whatever_it_is_read_beside(encoder):
    texts = ["green tea", "a fine red cup", "tea", "", "a " * 50]
    together = encoder.embed(texts, batch=2)
    assert together.shape == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    alone = np.concatenate([encoder.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert not np.allclose(together[0], together[2], atol=1e-3)


def test_no_texts_are_no_vectors(encoder):
    assert encoder.embed([]).shape == (0, 16)


def test_longer_texts_than_the_network_has_places_for_are_cut(encoder):
    assert encoder.length == 12
    np.testing.assert_array_equal(encoder.embed(["tea " * 400]), encoder.embed(["tea " * 10]))


def test_the_share_of_unknown_tokens(encoder):
    assert encoder.unknown_share(["green tea", "绿 茶 tea"]) == pytest.approx(2 / 5)
    assert encoder.unknown_share([]) == 0.0


def test_the_encoder_is_frozen(encoder):
    assert not encoder.network.training
    assert not any(parameter.requires_grad for parameter in encoder.network.parameters())


def test_a_tokenizer_without_padding_gets_one(encoder):
    tokenizer = encoder.tokenizer.__class__.from_pretrained(encoder.tokenizer.name_or_path)
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    network = GPT2Model(GPT2Config(vocab_size=len(WORDS), n_positions=12, n_embd=16, n_layer=1, n_head=2))
    assert TextEncoder.of(tokenizer, network).embed(["tea", "a fine cup"]).shape == (2, 16)


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ContentError, match=r"no text encoder at '.*nowhere'"):
        TextEncoder.load(str(tmp_path / "nowhere"), torch.device("cpu"))


def test_padding_is_not_part_of_the_mean():
    states = torch.tensor([[[3.0, 4.0], [100.0, 100.0]], [[1.0, 1.0], [1.0, 1.0]]])
    pooled = pool(states, torch.tensor([[1, 0], [0, 0]]))
    torch.testing.assert_close(pooled, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
