"""What products' texts and pictures say, as vectors that pretrained encoders made of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import PricingError

Vectors = NDArray[np.float32]


class ContentError(PricingError):
    """Texts or pictures of products do not fit together, or not to the model that reads them."""


@dataclass(frozen=True)
class Encoders:
    """Names of the encoders that vectors were made by; empty where there are no vectors."""

    text: str = ""
    image: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.image)


NO_ENCODERS = Encoders()


@dataclass(frozen=True)
class ProductContent:
    """Vectors of products' texts and images; zero or NaN rows where a product has none.

    Args:
        product_ids: P different products.
        text: (P, T), T = 0 without any text.
        image: (P, I), I = 0 without any image.
        encoders: what made them; vectors of other encoders cannot be compared with them.

    Raises:
        ContentError: the lengths differ, or a product is there twice.

    """

    product_ids: tuple[str, ...]
    text: Vectors
    image: Vectors
    encoders: Encoders = NO_ENCODERS

    def __post_init__(self) -> None:
        products = len(self.product_ids)
        if len(set(self.product_ids)) < products:
            raise ContentError(f"of {products} products with content some are there twice; give each once")
        if {len(self.text), len(self.image)} != {products}:
            raise ContentError(
                f"{products} products have {len(self.text)} text and {len(self.image)} image vectors; give each one"
            )

    def rows(self, product_ids: pd.Series) -> NDArray[np.int64]:
        """Return each product's row (rows,), -1 where it is not here."""
        codes, distinct = pd.factorize(product_ids)
        known = pd.Index(self.product_ids, dtype=object).get_indexer(pd.Index(distinct.astype(str), dtype=object))
        return np.append(known, -1)[codes].astype(np.int64)


@dataclass(frozen=True, eq=False)
class ContentSpace:
    """The leading principal directions of the training products' vectors, in which a network reads them.

    A shop may have fifty products, and a map of all 384 dimensions of a text vector fits fifty points whatever they
    mean. The directions keep their own spread (no whitening), so that what hardly differs between products stays
    small; one scale for all of them brings the typical product to a length of sqrt(K).
    """

    encoder: str
    mean: Vectors  # (T,)
    directions: Vectors  # (T, K), divided by the scale

    @classmethod
    def fit(cls, vectors: Vectors, most: int, encoder: str) -> Self | None:
        """Learn at most `most` directions from the rows that hold anything; nothing where fewer than two differ."""
        known = vectors[present(vectors)].astype("float64")
        if len(known) < 2:
            return None
        mean = known.mean(axis=0)
        _, spread, axes = np.linalg.svd(known - mean, full_matrices=False)
        kept = min(most, int((spread > _FLAT * max(spread[0], _FLAT)).sum()))
        if not kept:
            return None
        places = (known - mean) @ axes[:kept].T
        scale = np.median(np.linalg.norm(places, axis=1)) / np.sqrt(kept)
        scale = scale if scale > 0 else spread[0] / np.sqrt(len(known))  # most products say the same
        return cls(encoder, mean.astype("float32"), (axes[:kept].T / scale).astype("float32"))

    @property
    def width(self) -> int:
        """Directions K."""
        return int(self.directions.shape[1])

    def encode(self, vectors: Vectors, encoder: str) -> Vectors:
        """Return places (rows, K), zero (the typical product) where a product has no vector.

        Raises:
            ContentError: the vectors are not of the encoder whose vectors the space was learnt from.

        """
        if not len(vectors) or not vectors.shape[1]:
            return np.zeros((len(vectors), self.width), "float32")
        if (vectors.shape[1], encoder) != (len(self.mean), self.encoder):
            raise ContentError(
                f"vectors of {vectors.shape[1]} numbers by {encoder or 'no named encoder'} for a model that reads "
                f"{len(self.mean)} by {self.encoder or 'no named encoder'}: make them with the model's own encoder"
            )
        there = present(vectors)
        places = np.zeros((len(vectors), self.width), "float32")
        places[there] = (vectors[there] - self.mean) @ self.directions
        return places


def present(vectors: Vectors) -> NDArray[np.bool_]:
    """Return which products have a vector at all (rows,): not zero and not NaN."""
    return np.asarray(np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1))


_FLAT = 1e-6
