"""The simulated marketplace as a dataset like any other; its hidden truth stays behind."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import ClassVar

import pandas as pd

from models.simulation.catalogue import Image
from models.simulation.draws import Draws
from models.simulation.marketplace import MarketplaceConfig

VERSION = 1  # raise it when the simulation changes, so that a dataset collected before is read anew


@dataclass(frozen=True)
class SimulatedMarketplace:
    """The tables of one simulated marketplace; equal configurations are the same dataset."""

    config: MarketplaceConfig
    currency: ClassVar[str] = "EUR"

    @property
    def name(self) -> str:
        """Tell the domain and, by a few digits of its hash, the configuration."""
        return f"marketplace-{self.config.domain}-{self.fingerprint()[:8]}"

    def fingerprint(self) -> str:
        """Hash the configuration, which every draw follows from, and the simulation's version."""
        return hashlib.sha256(f"{self.config} {VERSION}".encode()).hexdigest()

    def tables(self) -> frozenset[str]:
        """Name the contract's tables that this domain has."""
        return self._draws.table_names()

    def origin(self, table: str) -> str:
        """Name the table of the simulation."""
        return f"{table} of {self.name}"

    def batches(
        self, table: str, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[pd.DataFrame]:
        """Give a table block by block of users; nothing is ever added to it, so that it is always read whole."""
        blocks = self._draws.blocks(table)
        return map(self._with_images, blocks) if table == "products" else blocks

    def _with_images(self, products: pd.DataFrame) -> pd.DataFrame:
        images = self._draws.catalogue.images
        return products.assign(image=[_png(images[name]) for name in products["product_id"]]) if images else products

    @cached_property
    def _draws(self) -> Draws:
        return Draws.of(self.config)


def _png(image: Image) -> bytes:
    from PIL.Image import fromarray

    file = io.BytesIO()
    fromarray(image).save(file, format="PNG")
    return file.getvalue()
