"""Score: the demand of one block of users, from their features."""

import logging
from dataclasses import dataclass
from time import perf_counter

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from prefect import task

from models.demand.demand_curve import DemandCurve
from tasks.books.blocks import Block
from tasks.books.candidates import TERMS, decide_pairs
from tasks.data.snapshots import require_unchanged
from tasks.database import database_url, transaction
from tasks.registry.promote import Promotion
from tasks.retries import RETRIED
from tasks.settings import Settings
from tasks.whole_files import write_parquet

log = logging.getLogger("pricing.score")


@dataclass(frozen=True)
class ScoredPairs:
    """The terms of a block's pairs and their demand, row by row; `terms` has the columns TERMS and decision_id."""

    terms: pd.DataFrame
    curve: DemandCurve

    def write(self, block: Block) -> None:
        """Keep them beside the block's pairs."""
        curve = {"sensitivity": self.curve.sensitivity, "valuation": self.curve.valuation}
        write_parquet(pa.Table.from_pandas(self.terms.assign(**curve), preserve_index=False), block.demand)

    @classmethod
    def read(cls, block: Block) -> "ScoredPairs":
        """What `write` kept, to the digit."""
        frame = pyarrow.parquet.read_table(block.demand).to_pandas()
        sensitivity, valuation = (frame.pop(name).to_numpy("float64") for name in ("sensitivity", "valuation"))
        return cls(frame, DemandCurve(sensitivity, valuation))


@task(**RETRIED)
def score_candidates(block: Block, promotion: Promotion) -> Block:
    """Find the demand of a block's pairs under a promoted model; a block that is scored is not scored again.

    Raises:
        DataChangedError: the dataset is not the promotion's snapshot any more.
    """
    if block.demand.exists():
        return block
    started, demand = perf_counter(), promotion.demand()
    pairs = pyarrow.parquet.read_table(block.pairs).to_pandas()
    with transaction(database_url(Settings())) as reading:
        reading.set_session(isolation_level="REPEATABLE READ")
        require_unchanged(reading, promotion.snapshot)
        decisions = decide_pairs(reading, promotion.snapshot, demand.encoders, pairs)
    terms = decisions.frame[["decision_id", *TERMS]]
    ScoredPairs(terms, demand.curve(decisions)).write(block)
    log.info("block %d: demand of %s pairs in %.1f s", block.number, f"{len(pairs):,}", perf_counter() - started)
    return block
