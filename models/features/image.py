"""Pictures as vectors, by a convolutional (or any other) network trained on other pictures: its pooled features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.features.content import ContentError

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pixels:
    """The pictures a network was trained on: square, `size` pixels wide, (value / 255 - mean) / deviation."""

    size: int = 224
    mean: tuple[float, float, float] = (127 / 255, 127 / 255, 127 / 255)  # those of EfficientNet-Lite
    deviation: tuple[float, float, float] = (128 / 255, 128 / 255, 128 / 255)


EFFICIENTNET_LITE0 = Pixels()


@torch.inference_mode()
def embed_images(
    network: nn.Module, images: Sequence[Picture], pixels: Pixels = EFFICIENTNET_LITE0, batch: int = 16
) -> NDArray[np.float32]:
    """Return one vector a picture (n, I), the mean of the network's features over the picture.

    Args:
        network: pictures (n, 3, size, size) in; out come maps (n, I, h, w), tokens (n, L, I) or vectors (n, I).
        images: RGB, (height, width, 3) uint8, of any sizes; they are stretched to squares.
        pixels: the scale the network was trained on.
        batch: pictures read together; they bound the memory.

    """
    network.eval()
    device = next(network.parameters()).device
    parts = [
        _pool(network(torch.stack([_read(image, pixels) for image in images[start : start + batch]]).to(device)))
        for start in range(0, len(images), batch)
    ]
    return torch.cat(parts).cpu().numpy() if parts else np.empty((0, 0), "float32")


def load_network(name_or_path: str, device: torch.device) -> tuple[nn.Module, Pixels]:
    """Return a vision network of the Hugging Face hub, or of a folder, and the pictures it was trained on.

    Raises:
        ContentError: there is none.

    """
    from transformers import AutoModel
    from transformers.image_processing_utils import BaseImageProcessor

    try:
        settings, _ = BaseImageProcessor.get_image_processor_dict(name_or_path)
        network = AutoModel.from_pretrained(name_or_path, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ContentError(
            f"no image encoder at {name_or_path!r}: {str(error).splitlines()[0]}. "
            "Give a name of the Hugging Face hub, or a folder with config, weights and preprocessor_config.json"
        ) from error
    size = settings["size"]
    side = size if isinstance(size, int) else size.get("height") or size["shortest_edge"]
    return LastState(network).to(device), Pixels(side, tuple(settings["image_mean"]), tuple(settings["image_std"]))


class LastState(nn.Module):
    """A transformers network of which only the last hidden state is asked for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return maps (n, I, h, w) or tokens (n, L, I)."""
        state: Tensor = self.network(pixel_values=pixels).last_hidden_state
        return state


def _read(image: Picture, pixels: Pixels) -> Tensor:
    values = torch.tensor(image, dtype=torch.float32).movedim(-1, 0)[None] / 255
    side = (pixels.size, pixels.size)
    values = functional.interpolate(values, side, mode="bilinear", antialias=True, align_corners=False)[0]
    mean, deviation = (torch.tensor(part)[:, None, None] for part in (pixels.mean, pixels.deviation))
    return (values - mean) / deviation


def _pool(features: Tensor) -> Tensor:
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features
