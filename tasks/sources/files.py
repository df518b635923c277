"""Tables as Parquet or CSV files in one folder."""

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from tasks.data.conformity import NUMBER
from tasks.data.contract import TABLES, ContractError, Table
from tasks.sources import SourceError

FORMATS = ("parquet", "csv")
BLOCK_ROWS = 100_000
BLOCK_BYTES = 16 * 2**20
IMAGE_BLOCK_ROWS = 100
LARGEST_IMAGE = 16 * 2**20
CODE = r"^[+-]?0\d"  # a leading zero makes a code, not a number: a postcode 01234 stays text
IMAGE_FORMATS = frozenset({".png", ".jpg", ".jpeg"})
# Whole numbers and booleans keep their type where some are null; else they would become floats and objects.
NULLABLE = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


@dataclass(frozen=True)
class FilesSource:
    """A folder with ``<table>.parquet`` or ``<table>.csv`` for each table, and the images that products name.

    CSV is UTF-8 with commas and one header line; an empty field is null and ``""`` an empty text. A column
    whose name begins with one of its table's prefixes is numeric, or boolean, where all its values are;
    else it is text.

    Raises:
        SourceError: there is no such folder.
        ContractError: a table is missing or there twice; a file cannot be read; an image cannot be found.
    """

    folder: Path
    currency: str

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise SourceError(
                f"no folder at {self.folder}: give the one that holds users.parquet or users.csv and so on"
            )

    @property
    def name(self) -> str:
        """The dataset's name: this folder."""
        return f"files:{self.folder}"

    def tables(self) -> frozenset[str]:
        """Tables that have a file."""
        return frozenset(name for name in TABLES if self._file(name) is not None)

    def origin(self, table: str) -> str:
        """The file of a table."""
        return str(self._file(table) or self.folder / f"{table}.parquet")

    def fingerprint(self) -> str:
        """A hash over the bytes of the tables and over name, size and time of change of the images."""
        whole = hashlib.sha256()
        for path in filter(None, map(self._file, TABLES)):
            whole.update(f"{path.name} {_digest(path)}\n".encode())
        for path in sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in IMAGE_FORMATS):
            stat = path.stat()
            whole.update(f"{path.relative_to(self.folder)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return whole.hexdigest()

    def batches(
        self, table: str, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[pd.DataFrame]:
        """The rows of a table's file, from its first; files are always read whole."""
        path = self._file(table)
        if path is None:
            raise ContractError(self.origin(table), "there is no such file")
        blocks = _parquet_blocks if path.suffix == ".parquet" else _csv_blocks
        try:
            first_row = 1
            for frame in blocks(path, TABLES[table]):
                if "image" in frame.columns and TABLES[table].has_images:
                    frame["image"] = self._images(frame["image"], str(path), first_row)
                yield frame
                first_row += len(frame)
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise _unreadable(path, error) from error

    def _file(self, table: str) -> Path | None:
        found = [path for path in (self.folder / f"{table}.{suffix}" for suffix in FORMATS) if path.exists()]
        if len(found) > 1:
            raise ContractError(str(self.folder), f"{found[0].name} and {found[1].name} are both there; keep one")
        return found[0] if found else None

    def _images(self, images: pd.Series, origin: str, first_row: int) -> pd.Series:
        """Paths replaced by the bytes of the files they name; bytes stay."""
        loaded = [
            self._image(image, origin, row) if isinstance(image, str) else image
            for row, image in enumerate(images, first_row)
        ]
        return pd.Series(loaded, index=images.index, dtype=object)

    def _image(self, path: str, origin: str, row: int) -> bytes:
        try:
            file = (self.folder / path).resolve()
            inside, size = file.is_relative_to(self.folder), file.stat().st_size if file.is_file() else None
        except (OSError, ValueError):  # a name no file system takes
            inside, size = True, None
        if not inside:
            raise ContractError(origin, f"{path!r} leads outside the folder; move the image into it", "image", [row])
        if size is None:
            raise ContractError(origin, f"there is no image at {path!r} in the folder", "image", [row])
        if size > LARGEST_IMAGE:
            raise ContractError(origin, f"{path!r} is larger than {LARGEST_IMAGE >> 20} MB", "image", [row])
        return file.read_bytes()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ContractError(str(path), f"the file cannot be read: {error.strerror}") from error


def _parquet_blocks(path: Path, table: Table) -> Iterator[pd.DataFrame]:
    with pyarrow.parquet.ParquetFile(path) as file:
        rows, size = (
            file.metadata.num_rows,
            sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)),
        )
        block = min(_block_rows(table, file.schema_arrow.names), max(1, rows * 4 * BLOCK_BYTES // max(size, 1)))
        if rows == 0:
            yield _frame(file.schema_arrow.empty_table())
        for batch in file.iter_batches(batch_size=block):
            yield _frame(pa.Table.from_batches([batch]))


def _block_rows(table: Table, names: list[str]) -> int:
    return IMAGE_BLOCK_ROWS if table.has_images and "image" in names else BLOCK_ROWS


def _csv_blocks(path: Path, table: Table) -> Iterator[pd.DataFrame]:
    """Every column as text, but the open ones: a first pass finds their type, so that all blocks agree."""
    names, rows_follow = _header(path)
    if not rows_follow:
        yield pd.DataFrame(columns=names, dtype=object)
        return
    opened = [name for name in names if table.is_open(name)]
    numbers, booleans = _open_types(path, names, opened)
    size = _block_rows(table, names)
    for batch in _csv_batches(path, names, names):
        columns = {
            name: _open_values(column, name in numbers, name in booleans) if name in opened else column
            for name, column in zip(names, batch.columns, strict=True)
        }
        whole = pa.table(columns)
        for start in range(0, whole.num_rows, size):
            yield _frame(whole.slice(start, size))
    _refuse_open_quote(path, batch.column(len(names) - 1))


def _refuse_open_quote(path: Path, last_column: pa.Array) -> None:
    """Raise where the last field runs to the end of the file for want of its closing quote: it has swallowed rows."""
    last = last_column[-1].as_py()
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8))
        closed = file.read().rstrip().endswith(b'"')
    if isinstance(last, str) and "\n" in last and not closed:
        raise ContractError(str(path), f"a quote is opened and never closed, before {last[:60]!r}")


def _open_types(path: Path, names: list[str], opened: list[str]) -> tuple[set[str], set[str]]:
    """Which open columns hold numbers only, and which true and false only."""
    numbers, booleans = set(opened), set(opened)
    if opened:
        for batch in _csv_batches(path, names, opened):
            numbers = {name for name in numbers if _are_numbers(batch.column(name))}
            booleans = {name for name in booleans if _are_booleans(batch.column(name))}
    return numbers, booleans


def _open_values(texts: pa.Array, number: bool, boolean: bool) -> pa.Array:
    """An open column's texts as the numbers or booleans they were found to be, or as they are."""
    if boolean:
        return pc.equal(pc.utf8_lower(texts), "true")
    return pc.cast(texts, pa.float64()) if number else texts


def _are_numbers(texts: pa.Array) -> bool:
    """Whether every text is a number, and none a code with a leading zero."""
    fits = pc.and_not(pc.match_substring_regex(texts, NUMBER), pc.match_substring_regex(texts, CODE))
    return pc.all(fits).as_py() is not False


def _are_booleans(texts: pa.Array) -> bool:
    """Whether every text is true or false."""
    known = pc.is_in(pc.utf8_lower(texts.drop_null()), pa.array(["true", "false"], texts.type))
    return pc.all(known).as_py() is not False


def _header(path: Path) -> tuple[list[str], bool]:
    """The column names, and whether any row follows them."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = csv.reader(file)
        names = next(lines, [])
        rows_follow = next(lines, None) is not None
    if not names:
        raise ContractError(str(path), "the file is empty; its first line must name the columns")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ContractError(str(path), "the column is there more than once; keep one", twice[0])
    return names, rows_follow


def _csv_batches(path: Path, names: list[str], wanted: list[str]) -> Iterator[pa.RecordBatch]:
    with pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(
            block_size=BLOCK_BYTES, use_threads=False
        ),  # one thread alone counts rows for its errors
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.large_string()),
            include_columns=wanted,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ) as reader:
        yield from reader


def _unreadable(path: Path, error: Exception) -> ContractError:
    """What is wrong with a file, and in which row where that can be known."""
    message = str(error).strip()
    if "invalid UTF8" in message or isinstance(error, UnicodeError):
        return ContractError(str(path), "the text is not UTF-8; save the file as UTF-8", rows=_undecodable_rows(path))
    ragged = re.search(r"Row #(\d+): (.*)", message, re.DOTALL)
    if ragged:
        return ContractError(str(path), f"the row cannot be read: {ragged[2][:200]}", rows=[int(ragged[1]) - 1])
    return ContractError(str(path), f"the file cannot be read: {message}")


def _undecodable_rows(path: Path) -> list[int]:
    """The first line that is not UTF-8, as a row: exact where no field above it spans lines."""
    if path.suffix != ".csv":
        return []
    with path.open("rb") as file:
        for row, line in enumerate(file):
            try:
                line.decode()
            except UnicodeDecodeError:
                return [row]
    return []


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=NULLABLE.get)
    return frame
