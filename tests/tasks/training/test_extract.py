"""Features by blocks of users are the features of all of them, and a run that failed goes on where it stopped."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest

import sql
import tasks.training.extract as extract_module
from tasks.data.snapshots import DataChangedError, Snapshot, take_snapshot
from tasks.database import transaction
from tasks.retention import drop_unused
from tasks.training.extract import NoOffersError, cut_offers, extract, extract_block
from tasks.training.features import read_decisions


@pytest.fixture
def snapshot(book_shop, monkeypatch) -> Snapshot:
    """A shop whose 150 users are cut into blocks of 40."""
    monkeypatch.setattr(extract_module, "USERS_PER_BLOCK", 40)
    with transaction(book_shop.url) as connection:
        return take_snapshot(connection, "shop", "EUR", {}, pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime())


def test_blocks_joined_are_the_whole(snapshot, book_shop, settings) -> None:
    blocks = [extract_block.fn(block, snapshot) for block in cut_offers.fn(snapshot)]
    found = extract.fn(snapshot, blocks).read()
    with transaction(book_shop.url) as connection:
        with connection.cursor() as cursor:
            everybody = {"dataset": "shop", "first_user": "", "next_user": None}
            cursor.execute(sql.query("decisions_from_offers"), everybody)
        whole = read_decisions(connection, "shop")
    assert len(blocks) == 4
    pd.testing.assert_frame_equal(found.frame, whole.frame)
    pd.testing.assert_frame_equal(found.events, whole.events)
    assert [path.name for path in (settings.home / "features").iterdir()] == [snapshot.snapshot_id]
    assert cut_offers.fn(snapshot) == []


def test_what_nobody_uses_any_more_goes_with_the_next_extraction(snapshot, settings) -> None:
    abandoned = aged(settings.home / "features" / "older", days=8)
    extract.fn(snapshot, [extract_block.fn(block, snapshot) for block in cut_offers.fn(snapshot)])
    assert not abandoned.exists()


def test_features_that_are_read_stay(snapshot, settings) -> None:
    features = extract.fn(snapshot, [extract_block.fn(block, snapshot) for block in cut_offers.fn(snapshot)])
    aged(features.folder, days=8)
    features.read()
    drop_unused(settings.home)
    assert features.folder.exists()


def aged(folder: Path, days: float) -> Path:
    """A folder that was last used so many days ago."""
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder, (0, time.time() - days * 24 * 3600))
    return folder


def test_a_run_that_failed_goes_on_with_the_blocks_it_lacks(snapshot, monkeypatch) -> None:
    first, second, *_ = blocks = cut_offers.fn(snapshot)
    extract_block.fn(first, snapshot)
    read = counted(monkeypatch)
    for block in cut_offers.fn(snapshot):
        extract_block.fn(block, snapshot)
    assert len(read) == len(blocks) - 1
    (lost, _) = second.files(snapshot)
    lost.unlink()  # as where the run was killed between the two files of a block
    extract_block.fn(second, snapshot)
    assert len(read) == len(blocks)


def test_a_run_killed_while_it_wrote_leaves_nothing_that_looks_whole(snapshot, monkeypatch) -> None:
    first, *_ = blocks = cut_offers.fn(snapshot)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(pyarrow.parquet, "write_table", lambda table, file: (file.write(b"PAR1half"), die()))
        try:
            extract_block.fn(first, snapshot)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (left,) = first.files(snapshot)[0].parent.iterdir()
    assert left.suffix == ".unfinished"
    found = extract.fn(snapshot, [extract_block.fn(block, snapshot) for block in blocks])
    assert len(found.read()) == 12_000
    assert not left.exists()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_newer_data_end_a_run_that_began_without_them(snapshot, book_shop) -> None:
    block, *_ = cut_offers.fn(snapshot)
    book_shop.run("UPDATE data.products SET list_price = list_price + 1")
    with transaction(book_shop.url) as connection:
        newer = take_snapshot(connection, "shop", "EUR", {}, snapshot.as_of)
    book_shop.run(
        "INSERT INTO data.loads (dataset, currency, state, row_counts, validation) VALUES ('shop', 'EUR', 'merged',"
        f" '{{}}', '{{\"snapshot_id\": \"{newer.snapshot_id}\"}}')"
    )
    with pytest.raises(DataChangedError, match="start it again"):
        extract_block.fn(block, snapshot)
    with pytest.raises(DataChangedError):
        cut_offers.fn(snapshot)


def test_no_offers_are_said_so(snapshot, book_shop) -> None:
    book_shop.run("DELETE FROM data.offers")
    with pytest.raises(NoOffersError, match="table `offers`"):
        cut_offers.fn(snapshot)


def counted(monkeypatch) -> list[object]:
    """What is read of the database from now on."""
    calls: list[object] = []
    original: Callable[..., object] = extract_module.read_extract

    def read(*arguments: object) -> object:
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(extract_module, "read_extract", read)
    return calls
