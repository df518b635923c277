"""Parquet files that are whole or not there, whoever is interrupted when."""

import os
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write to the disk under another name, then rename; of several who write the same file, the last one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}.unfinished")
    with unfinished.open("wb") as file:
        pyarrow.parquet.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
