import numpy as np
import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

from models.features.content import ContentError
from models.features.image import EFFICIENTNET_LITE0, Pixels, embed_images, load_network

SMALL = Pixels(size=32)


def picture(height, width, colour=(200, 100, 0)):
    return np.full((height, width, 3), colour, "uint8")


@pytest.fixture
def maps():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.5))


def test_pictures_of_any_size_have_one_vector_each(maps):
    pictures = [picture(64, 64), picture(7, 90), picture(1, 1), picture(64, 64, (0, 0, 250))]
    vectors = embed_images(maps, pictures, SMALL, batch=3)
    assert vectors.shape == (4, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-4)  # one colour, whatever the size
    assert not np.allclose(vectors[0], vectors[3], atol=1e-2)
    np.testing.assert_allclose(embed_images(maps, pictures[3:], SMALL), vectors[3:], atol=1e-6)


def test_pixels_come_as_the_network_was_trained_on_them():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, pixels):
            seen.append(pixels)
            return pixels.mean((2, 3))

    embed_images(Spy(), [picture(10, 20, (127, 255, 0))])
    assert seen[0].shape == (1, 3, EFFICIENTNET_LITE0.size, EFFICIENTNET_LITE0.size)
    torch.testing.assert_close(seen[0][0, :, 5, 5], torch.tensor([0.0, 1.0, -127 / 128]), atol=1e-5, rtol=0)


def test_no_pictures_are_no_vectors(maps):
    assert len(embed_images(maps, [])) == 0


RESNET = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"))
VIT = ViTModel(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16))


@pytest.mark.parametrize("network", [RESNET, VIT], ids=["maps", "tokens"])
def test_networks_of_the_hub_are_read_with_their_own_scale(network, tmp_path):
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}'
    )
    loaded, pixels = load_network(str(tmp_path), torch.device("cpu"))
    assert pixels == Pixels(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert embed_images(loaded, [picture(40, 40)], pixels).shape == (1, 16)


def test_a_network_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ContentError, match=r"no image encoder at '.*nowhere'"):
        load_network(str(tmp_path / "nowhere"), torch.device("cpu"))
