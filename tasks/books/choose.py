"""Choose: which users get which products' personal prices, in blocks of users that can be scored anywhere."""

import logging

from prefect import task

import sql
from tasks.books.blocks import FORMAT, Block
from tasks.books.candidates import USERS_PER_BLOCK, candidates_of, choose_pairs
from tasks.data.snapshots import require_unchanged
from tasks.database import database_url, read_rows, transaction
from tasks.registry.promote import Promotion
from tasks.retries import RETRIED
from tasks.settings import Settings
from tasks.whole_files import write_parquet

log = logging.getLogger("pricing.choose")


@task(**RETRIED)
def choose_candidates(promotion: Promotion) -> list[Block]:
    """Choose every active user's top products; at least one block, if empty.

    What a run that failed has chosen and scored is kept for the next one from the same inputs.
    """
    with transaction(database_url(Settings())) as reading:
        reading.set_session(isolation_level="REPEATABLE READ")
        require_unchanged(reading, promotion.snapshot)
        live = read_rows(reading, sql.query("live_book"))
        live_book = live[0]["book_id"] if live else None
        book = f"{promotion.inputs_hash[:32]}-{live_book or 0}-{FORMAT}"
        users = choose_pairs(reading, promotion.snapshot)
        blocks = [Block(book, live_book, number) for number in range(max(1, -(-users // USERS_PER_BLOCK)))]
        for block in blocks:
            if not block.pairs.exists():
                write_parquet(candidates_of(reading, block.number), block.pairs)
    scored = sum(block.demand.exists() for block in blocks)
    log.info("%s users in %d blocks, of which %d are scored", f"{users:,}", len(blocks), scored)
    return blocks
