import pytest
import torch

from models.demand.layers import Dropout, FeatureEncoder, TransformerBlock, content_map
from models.features.columns import FeatureGroup, Features, Scale


@pytest.mark.parametrize("histories", [0, 1, 3])
def test_a_block_keeps_the_shape_and_asks_for_as_many_tokens_as_told(histories):
    block = TransformerBlock(8, heads=2, dropout=0.0).eval()
    tokens, seen = torch.randn(histories, 5, 8), torch.ones(histories, 5, dtype=torch.bool)
    whole, first = block(tokens, seen), block(tokens, seen, queries=1)
    assert whole.shape == tokens.shape
    torch.testing.assert_close(first, whole[:, :1])


def test_a_token_that_is_not_there_changes_nothing():
    block = TransformerBlock(8, heads=2, dropout=0.0).eval()
    tokens, seen = torch.randn(2, 5, 8), torch.tensor([True, True, True, False, False])
    changed = tokens.clone()
    changed[:, 3:] = 100.0
    seen = seen.expand(2, 5)
    torch.testing.assert_close(block(changed, seen)[:, :3], block(tokens, seen)[:, :3])


def test_numbers_may_bend_and_unknown_texts_say_nothing():
    encoder = FeatureEncoder(FeatureGroup({"a": Scale((0.0, 1.0), False)}, {}), 4)
    with torch.no_grad():
        encoder.numeric.weight.zero_()
        encoder.numeric.bias.zero_()
        encoder.numeric.weight[:, 8:] = 1.0  # flat up to the middle, rising after it
    places = torch.tensor([[0.0], [0.25], [0.5], [0.75], [1.0]])
    vectors = encoder(Features(places, torch.zeros(5, 0, dtype=torch.int64)))
    assert vectors[:, 0].tolist() == [0.0, 0.0, 0.0, 4.0, 8.0]


def test_the_typical_product_has_content_that_says_nothing():
    torch.manual_seed(0)
    content = content_map(6, 8)
    assert content(torch.zeros(1, 6)).tolist() == [[0.0] * 8]
    assert 0 < content(torch.ones(1, 6)).abs().max() < 1
    assert content(torch.ones(0, 6)).shape == (0, 8)


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (400, 500)])
def test_dropout_keeps_shape_share_and_expectation(shape):
    torch.manual_seed(0)
    values = torch.ones(shape)
    dropped = Dropout(0.1)(values)
    assert dropped.shape == shape
    assert dropped[dropped > 0].tolist() == pytest.approx([1 / 0.9] * int((dropped > 0).sum()), rel=1e-4)
    if values.numel() > 1000:
        assert dropped.mean().item() == pytest.approx(1, abs=0.005)
    assert torch.equal(Dropout(0.1).eval()(values), values)


def test_dropout_follows_the_seed_and_its_gradient_is_its_mask():
    masks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values = torch.ones(30, 10, requires_grad=True)
        dropped = Dropout(0.5)(values)
        dropped.sum().backward()
        assert torch.equal(values.grad, dropped.detach())
        masks.append(values.grad)
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
