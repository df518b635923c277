"""Texts as vectors, by any Hugging Face encoder: frozen, so that a text has one vector and is read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.features.content import ContentError

_TOKENS = 256  # of a text are read: what sentence encoders are trained on


@dataclass(frozen=True)
class TextEncoder:
    """A pretrained encoder and its tokenizer.

    Raises:
        ContentError: by `load`, where there is no such encoder.

    """

    tokenizer: Any
    network: nn.Module
    length: int

    @classmethod
    def load(cls, name_or_path: str, device: torch.device) -> Self:
        """Return an encoder of the hub, or of a folder; transformers takes seconds to import."""
        from transformers import AutoModel, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(name_or_path)
            network = AutoModel.from_pretrained(name_or_path, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise ContentError(
                f"no text encoder at {name_or_path!r}: {str(error).splitlines()[0]}. "
                "Give a name of the Hugging Face hub, or a folder with its config, weights and tokenizer"
            ) from error
        return cls.of(tokenizer, network.to(device))

    @classmethod
    def of(cls, tokenizer: Any, network: nn.Module) -> Self:
        """Return an encoder of parts at hand; of an encoder with a decoder, only the encoder is kept."""
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        config: Any = network.config
        if getattr(config, "is_encoder_decoder", False):
            network = network.get_encoder()  # type: ignore[operator]
        length = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or _TOKENS, _TOKENS)
        return cls(tokenizer, network.eval().requires_grad_(False), length)

    def save(self, folder: str) -> None:
        """Write what `load` reads into a folder: config, weights and tokenizer as Hugging Face stores them."""
        self.network.save_pretrained(folder)  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch: int = 64) -> NDArray[np.float32]:
        """Return the mean of each text's token vectors, of length 1 (n, T) (Reimers & Gurevych, EMNLP 2019).

        Texts of similar length are read together, which saves most of the padding.
        """
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        width: int = self.network.config.hidden_size  # type: ignore[union-attr, assignment]
        vectors = np.empty((len(texts), width), "float32")
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            vectors[chosen] = self.read([texts[number] for number in chosen]).cpu().numpy()
        return vectors

    def unknown_share(self, texts: Sequence[str]) -> float:
        """Return the share of the texts' tokens that the tokenizer does not know."""
        if self.tokenizer.unk_token_id is None or not texts:
            return 0.0
        tokens = self.tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=self.length)
        found = np.concatenate([np.asarray(ids, "int64") for ids in tokens["input_ids"]])
        return float((found == self.tokenizer.unk_token_id).mean()) if len(found) else 0.0

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the same of texts that are read at once, on the network's device and with gradients (n, T)."""
        device = next(self.network.parameters()).device
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.length, return_tensors="pt")
        tokens = {name: tensor.to(device) for name, tensor in tokens.items()}
        return pool(self.network(**tokens).last_hidden_state, tokens["attention_mask"])


def pool(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean state of the tokens that are there, of length 1.

    Shape:
        states (n, L, T), mask (n, L) of 0 and 1; returns (n, T), zeros where no token is there.
    """
    there = mask[..., None].to(states.dtype)
    mean = (states * there).sum(1) / there.sum(1).clamp(min=1)
    return nn.functional.normalize(mean, dim=-1)
