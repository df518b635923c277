import gzip
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from tasks.data.conformity import conform
from tasks.data.contract import TABLES, ContractError
from tasks.settings import Settings
from tasks.sources import SourceError, SourceParameters, open_source
from tasks.sources.files import FilesSource

PNG = b"\x89PNG\r\n\x1a\n and the rest"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def read(folder, table):
    """The whole table as it conforms, with the sizes of the blocks in which it came."""
    source, frames, row = FilesSource(folder, "EUR"), [], 1
    for block in source.batches(table):
        frames.append(conform(block, TABLES[table], source.origin(table), row))
        row += len(block)
    return pd.concat(frames, ignore_index=True), [len(frame) for frame in frames]


def refusal(folder, table="users"):
    with pytest.raises(ContractError) as refused:
        read(folder, table)
    assert refused.value.origin.startswith(str(folder))
    return str(refused.value)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_come_in_blocks_that_join_without_a_gap(shop, write_tables, folder, monkeypatch, suffix):
    monkeypatch.setattr("tasks.sources.files.BLOCK_ROWS", 7)
    monkeypatch.setattr("tasks.sources.files.BLOCK_BYTES", 900)
    rows, sizes = read(write_tables(shop, folder, suffix), "behaviour")
    assert max(sizes) <= 7
    assert rows["event_id"].tolist() == shop["behaviour"]["event_id"].tolist()
    assert rows["occurred_at"].tolist() == shop["behaviour"]["occurred_at"].tolist()


def test_both_formats_say_the_same(shop, write_tables, tmp_path):
    for table in shop:
        csv, _ = read(write_tables(shop, tmp_path / "csv", "csv"), table)
        parquet, _ = read(write_tables(shop, tmp_path / "parquet", "parquet"), table)
        if "attributes" in csv:
            csv["attributes"], parquet["attributes"] = (
                csv["attributes"].map(json.loads),
                parquet["attributes"].map(json.loads),
            )
        pd.testing.assert_frame_equal(csv, parquet)


def test_an_open_column_has_one_type_in_all_blocks(folder, monkeypatch):
    monkeypatch.setattr("tasks.sources.files.BLOCK_BYTES", 80)
    lines = [
        "user_id,attr_size,attr_member,attr_postcode,attr_mixed",
        *[f"u{n},{n}.5,true,0{n},{n}" for n in range(9)],
        "u9,,,,x",
    ]
    (folder / "users.csv").write_text("\n".join(lines))
    rows, sizes = read(folder, "users")
    assert len(sizes) > 1
    stored = [json.loads(row) for row in rows["attributes"]]
    assert stored[3] == {"attr_size": 3.5, "attr_member": True, "attr_postcode": "03", "attr_mixed": "3"}
    assert stored[9] == {"attr_mixed": "x"}


def test_csv_values_stay_as_they_are_written(folder):
    text = 'user_id,protected_group\n007,""\n"a, ""b""\nc",\nNA,null\n1.0,nan\n'
    (folder / "users.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    rows, _ = read(folder, "users")
    assert rows["user_id"].tolist() == ["007", 'a, "b"\nc', "NA", "1.0"]
    assert rows["protected_group"].fillna("(null)").tolist() == ["", "(null)", "null", "nan"]


def test_a_last_field_of_several_lines_is_no_open_quote(folder):
    (folder / "users.csv").write_bytes(b'user_id,protected_group\nu1,"a\nb"\n')
    assert read(folder, "users")[0]["protected_group"].tolist() == ["a\nb"]


def test_whole_numbers_beside_nulls_stay_exact_in_parquet(folder):
    large = 2**60 + 1
    pa.parquet.write_table(pa.table({"user_id": pa.array([large, 2], pa.int64())}), folder / "users.parquet")
    columns = {"pool_id": pa.array([large, None], pa.int64()), "randomised": pa.array([True, None])}
    required = {
        "offer_id": ["a", "b"],
        "user_id": ["u", "v"],
        "product_id": ["p", "q"],
        "price": [1.0, 2.0],
        "purchased": [0, 1],
    }
    times = {"offered_at": pa.array([0, 1], pa.timestamp("ms", "Europe/Paris"))}
    pa.parquet.write_table(pa.table(required | times | columns), folder / "offers.parquet")
    assert read(folder, "users")[0]["user_id"].tolist() == [str(large), "2"]
    offers, _ = read(folder, "offers")
    assert offers["pool_id"].fillna("").tolist() == [str(large), ""]
    assert offers.loc[1, "offered_at"] == pd.Timestamp("1970-01-01T00:00:00.001Z")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "users.csv: the file is empty"),
        (
            b"user_id,attr_a\nu1,1\nu2\n",
            "users.csv, row 2: the row cannot be read: Expected 2 columns, got 1",
        ),
        (b"user_id,user_id\nu1,u2\n", "users.csv, column user_id: the column is there more than once"),
        (b"user_id\nu1\n\xff\xfe\n", "users.csv, row 2: the text is not UTF-8"),
        (gzip.compress(b"user_id\nu1\n", mtime=0), "users.csv"),
        (
            b"user_id;attr_a\nu1;1\n",
            "users.csv, column user_id: the required column is missing; columns found: 'user_id;attr_a'",
        ),
        (b"\0\0\0\0", "users.csv"),
        (
            b'user_id,protected_group\nu1,"a\nu2,b\nu3,c\n',
            "users.csv: a quote is opened and never closed, before 'a\\nu2,b",
        ),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused(folder, content, message):
    (folder / "users.csv").write_bytes(content)
    assert message in refusal(folder)


@pytest.mark.parametrize("cut", [0, 3, 200])
def test_a_parquet_that_cannot_be_read_is_refused(folder, cut):
    pd.DataFrame({"user_id": ["u1", "u2"]}).to_parquet(folder / "users.parquet")
    whole = (folder / "users.parquet").read_bytes()
    (folder / "users.parquet").write_bytes(whole[:cut])
    assert "users.parquet: the file cannot be read" in refusal(folder)


def test_a_folder_in_place_of_a_file_is_refused(folder):
    (folder / "users.parquet").mkdir()
    assert "users.parquet: the file cannot be read" in refusal(folder)


def test_both_formats_at_once_are_refused(folder):
    for suffix in ("csv", "parquet"):
        (folder / f"users.{suffix}").touch()
    assert refusal(folder) == f"{folder}: users.parquet and users.csv are both there; keep one"


def test_a_header_alone_is_an_empty_table(folder):
    for header in ("pool_id,product_id,capacity", "pool_id,product_id,capacity\n"):
        (folder / "inventory.csv").write_text(header)
        assert len(read(folder, "inventory")[0]) == 0


def test_images_are_read_from_the_folder(folder, monkeypatch):
    monkeypatch.setattr("tasks.sources.files.IMAGE_BLOCK_ROWS", 2)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "tea.png").write_bytes(PNG)
    (folder / "products.csv").write_text(
        "product_id,list_price,unit_cost,image\np1,1,1,pictures/tea.png\np2,1,1,\np3,1,1,pictures/../pictures/tea.png\n"
    )
    rows, sizes = read(folder, "products")
    assert [None if image is None else bytes(image) for image in rows["image"]] == [PNG, None, PNG]
    assert sizes == [2, 1]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("../secret.png", "leads outside the folder"),
        ("/etc/passwd", "leads outside the folder"),
        ("link.png", "leads outside the folder"),
        ("missing.png", "there is no image"),
        ("pictures", "there is no image"),
        ("x" * 5000, "there is no image"),
        ("text.png", "not a PNG or JPEG image"),
    ],
)
def test_an_image_outside_the_folder_or_missing_is_refused(folder, path, problem):
    (folder.parent / "secret.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "pictures").mkdir()
    (folder / "text.png").write_text("tea")
    (folder / "products.csv").write_text(f"product_id,list_price,unit_cost,image\np1,1,1,\np2,1,1,{path}\n")
    message = refusal(folder, "products")
    assert "products.csv, column image, row 2: " in message
    assert problem in message


def test_the_fingerprint_follows_the_content(shop, write_tables, folder):
    source = FilesSource(write_tables(shop, folder, "csv"), "EUR")
    first = source.fingerprint()
    (folder / "notes.txt").write_text("not a table")
    assert source.fingerprint() == first
    (folder / "tea.png").write_bytes(PNG)
    second = source.fingerprint()
    (folder / "users.csv").write_text((folder / "users.csv").read_text().replace("u19", "u20"))
    assert len({first, second, source.fingerprint()}) == 3


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match=f"no folder at {tmp_path}/nowhere"):
        open_source(SourceParameters(kind="files", path=tmp_path / "nowhere"), Settings())


def test_one_folder_is_one_dataset_however_it_is_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {
        open_source(SourceParameters(kind="files", path=path), Settings()).name for path in (".", folder, "../shop")
    }
    assert names == {f"files:{folder}"}
