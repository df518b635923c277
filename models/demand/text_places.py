"""Places of products' texts that move while their encoder is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from models.features.content import ContentSpace
from models.features.decisions import Decisions
from models.features.encoding import EncodedDecisions
from models.features.offer_log import Log
from models.features.text import TextEncoder

_TEXTS_AT_ONCE = 64  # are held with all that their gradient needs


@dataclass(frozen=True)
class TextPlaces:
    """The texts of products, and their places in a space as an encoder that is being trained reads them now.

    Logs hold, in place of a text's place, its number from 1, so that every product finds its text whether or not the
    vocabulary knows it; 0 is no text. Numbers are exact in float32 up to 2^24.
    """

    encoder: TextEncoder
    texts: tuple[str, ...]  # by length, so that texts read at once fill about as many tokens
    number_of: Mapping[str, int]  # by product id
    space: ContentSpace
    mean: Tensor
    directions: Tensor

    @classmethod
    def of(cls, encoder: TextEncoder, texts: Mapping[str, str], space: ContentSpace, device: torch.device) -> Self:
        """Number the different texts."""
        distinct = tuple(sorted(set(texts.values()), key=lambda text: (len(text), text)))
        number = {text: place for place, text in enumerate(distinct, start=1)}
        number_of = {product: number[text] for product, text in texts.items()}
        mean, directions = (torch.tensor(part, device=device) for part in (space.mean, space.directions))
        return cls(encoder, distinct, number_of, space, mean, directions)

    @property
    def number_space(self) -> ContentSpace:
        """The space in which a text's place is its number."""
        return ContentSpace(self.space.encoder, np.zeros(1, "float32"), np.ones((1, 1), "float32"))

    def number(self, decisions: Decisions) -> Decisions:
        """Return the decisions with the numbers of texts for their vectors."""
        content = decisions.content
        if content is None:
            return decisions
        numbers = [[self.number_of.get(product, 0)] for product in content.product_ids]
        return replace(decisions, content=replace(content, text=np.array(numbers, "float32").reshape(-1, 1)))

    def fill(self, decisions: EncodedDecisions) -> EncodedDecisions:
        """Return numbered decisions with the places of the products' texts, each text read once."""
        numbers, product = torch.unique(decisions.products.text[:, 0].long(), return_inverse=True)
        return decisions._replace(products=decisions.products._replace(text=self.of_numbers(numbers)[product]))

    @torch.no_grad()
    def filled(self, log: Log) -> Log:
        """Return a numbered log with the places as they are now."""
        return replace(log, decisions=self.fill(log.decisions))

    def of_numbers(self, numbers: Tensor) -> Tensor:
        """Return places (n, K), with gradients, of different numbers (n,) in rising order; 0 has the place 0."""
        asked = [self.texts[number - 1] for number in numbers.tolist() if number]
        places = torch.zeros(len(numbers), self.space.width, device=numbers.device)
        if asked:
            places[len(numbers) - len(asked) :] = (self._read(asked) - self.mean) @ self.directions
        return places

    def _read(self, texts: list[str]) -> Tensor:
        """Vectors (n, T); of many texts, no more than some are kept in memory with what led to them."""
        if len(texts) <= _TEXTS_AT_ONCE:
            return self.encoder.read(texts)
        blocks = [texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE)]
        read = partial(checkpoint, self.encoder.read, use_reentrant=False)
        return torch.cat([read(block) for block in blocks])
