"""The layers that the towers of the demand model are made of."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.features.columns import FeatureGroup, Features

_PIECES = 16


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward (Vaswani et al. 2017; Xiong et al. 2020).

    Attention weights are not dropped: no fused attention on a CPU does that, and held-out loss is none the better.

    Shape:
        tokens (H, T, D), seen (H, T); returns (H, queries or T, D).
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.feedforward = mlp(width, dropout)

    def forward(self, tokens: Tensor, seen: Tensor, queries: int | None = None) -> Tensor:
        """Return the tokens after the first `queries` of them (all without it) attended to every token seen."""
        asking, normed = tokens[:, :queries], self.norm(tokens)
        query = self._split(self.query(normed[:, :queries]))
        key, value = map(self._split, self.key_value(normed).chunk(2, dim=-1))
        mixed = functional.scaled_dot_product_attention(query, key, value, seen[:, None, None])
        asking = asking + self.output(mixed.transpose(1, 2).flatten(2))
        result: Tensor = asking + self.feedforward(asking)
        return result

    def _split(self, tokens: Tensor) -> Tensor:
        return torch.unflatten(tokens, -1, (self.heads, -1)).transpose(1, 2)


class Dropout(nn.Module):
    """Sets a share of the activations to 0 in training and scales up the rest.

    A CPU draws random numbers one after the other, which took a sixth of a training step; here each 64 random bits
    decide on four activations, so that the share is rounded to a multiple of 2^-16.

    Shape:
        values: any; returns the same.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Return the values that stay, scaled to the same expectation."""
        if not (self.training and self.share and values.device.type == "cpu"):
            return functional.dropout(values, self.share, self.training)
        words = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        quarters = words.view(torch.int16)[: values.numel()].view(values.shape)
        dropped = round(self.share * 2**16)
        return values * (quarters >= dropped - 2**15) * (2**16 / (2**16 - dropped))


class FeatureEncoder(nn.Module):
    """A piecewise linear map of each of a group's numbers plus the vectors of its texts.

    A place from 0 to 1 becomes `_PIECES` values that fill up one after the other (Gorishniy et al., On Embeddings for
    Numerical Features in Tabular Deep Learning, 2022), so that a linear map may bend between them.

    Shape:
        features: R; returns (R, D).
    """

    def __init__(self, group: FeatureGroup, width: int) -> None:
        super().__init__()
        self.numeric = nn.Linear(_PIECES * group.width, width) if group.width else None
        self.text = nn.Embedding(group.vocabulary_size, width)
        nn.init.zeros_(self.text.weight)  # a text that training never showed then says nothing
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Features) -> Tensor:
        """Return the feature vectors."""
        vector: Tensor = self.bias + self.text(features.codes).sum(1)
        if self.numeric is None:
            return vector
        pieces = torch.arange(_PIECES, device=vector.device)
        filled = (features.numeric[..., None] * _PIECES - pieces).clamp(0, 1)
        moved: Tensor = self.numeric(filled.flatten(1))
        return vector + moved


def embedding(values: int, width: int) -> nn.Embedding:
    """Return small random vectors; index 0 (missing) and 1 (unknown) start at nothing, which is what they tell."""
    table = nn.Embedding(values, width)
    nn.init.normal_(table.weight, std=0.1)
    nn.init.zeros_(table.weight[:2])
    return table


def content_map(directions: int, width: int) -> nn.Linear:
    """Return a small random linear map of a product's places in a `ContentSpace` (P, K) -> (P, D).

    Without a constant, so that a product without content adds nothing. Fifty products do not teach what bends: on the
    simulated marketplace a hidden layer found the level of products that were new less well than this.
    """
    linear = nn.Linear(directions, width, bias=False)
    nn.init.normal_(linear.weight, std=0.1 / math.sqrt(directions))
    return linear


def mlp(width: int, dropout: float) -> nn.Sequential:
    """Return a normalised feed-forward layer (R, D) -> (R, D), to be added to its input."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 2 * width),
        nn.GELU(),
        Dropout(dropout),
        nn.Linear(2 * width, width),
    )
