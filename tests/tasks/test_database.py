import pandas as pd
import pytest

from tasks.copying import copy_frame
from tasks.database import database_url, read_blocks, transaction
from tasks.settings import Settings


@pytest.mark.parametrize(("rows", "least"), [(0, 0), (1, 1), (5_000, 3)])
def test_a_table_is_read_whole_by_blocks_of_pages(settings: Settings, migrated: None, rows: int, least: int) -> None:
    numbers = pd.DataFrame({"number": range(rows), "text": [f"row, {row}" for row in range(rows)]}).astype(
        {"number": "int64", "text": "str"}
    )
    with transaction(database_url(settings)) as connection:
        with connection.cursor() as cursor:
            cursor.execute('CREATE TABLE pricing."Odd name" (number bigint, text text, other text)')
        copy_frame(connection, ["pricing", "Odd name"], numbers)
        blocks = [
            block.to_pandas() for block in read_blocks(connection, ["pricing", "Odd name"], ["text", "number"], 7)
        ]
    assert len(blocks) == least or len(blocks) > least > 1
    if rows:
        found = pd.concat(blocks, ignore_index=True).sort_values("number", ignore_index=True)
        pd.testing.assert_frame_equal(found, numbers[["text", "number"]])
