"""The simulated marketplace as a dataset like any other; its hidden truth stays behind."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import ClassVar

import pandas as pd

from models.simulation.marketplace import MarketplaceConfig, simulate

VERSION = 1  # raise it when the simulation changes, so that a dataset collected before is read anew
BLOCK_ROWS = 100_000


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
        return frozenset(self._tables)

    def origin(self, table: str) -> str:
        """Name the table of the simulation."""
        return f"{table} of {self.name}"

    def batches(
        self, table: str, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[pd.DataFrame]:
        """Give the rows of a table; nothing is ever added to them, so that they are always read whole."""
        frame = self._tables[table]
        for start in range(0, max(len(frame), 1), BLOCK_ROWS):
            yield frame.iloc[start : start + BLOCK_ROWS].reset_index(drop=True)

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        from PIL import Image

        market = simulate(self.config)
        products = market.tables["products"]
        if market.images:
            files = []
            for product in products["product_id"]:
                file = io.BytesIO()
                Image.fromarray(market.images[product]).save(file, format="PNG")
                files.append(file.getvalue())
            products = products.assign(image=files)
        return market.tables | {"products": products}
