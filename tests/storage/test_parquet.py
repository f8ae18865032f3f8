"""Parquet tables: one encoding for each kind of file, and no damage goes unseen."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import RunError
from curate.storage.parquet import DamagedTable, encode_table, read_run_table, read_table
from curate.storage.run_folder import RunFolder

TABLE = pa.table({"id": ["a", "b"], "bpp": [1.5, None], "reason": [None, "too_small"]})


def damaged(data: bytes) -> bytes:
    """The file with one bit flipped in its first page."""
    return data[:30] + bytes([data[30] ^ 1]) + data[31:]


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({}, {"compression": "zstd", "write_page_checksum": True}),
        (
            {"dictionary": False},
            {"compression": "zstd", "write_page_checksum": True, "use_dictionary": False},
        ),
        ({"compression": "snappy"}, {"write_page_checksum": True}),
        ({"checksums": False}, {"compression": "zstd"}),
        ({"checksums": False, "group_rows": 1}, {"compression": "zstd", "row_group_size": 1}),
    ],
)
def test_encode_table_gives_the_bytes_of_pyarrow_with_these_options(
    options: dict[str, object], written: dict[str, object]
) -> None:
    pq.write_table(TABLE, sink := io.BytesIO(), **written)
    assert encode_table(TABLE, **options) == sink.getvalue()


def test_read_table_gives_the_named_columns_that_the_file_has() -> None:
    table = TABLE.replace_schema_metadata({"made": "by a test"})
    data = encode_table(table)
    assert read_table(io.BytesIO(data)).schema.equals(table.schema, check_metadata=True)
    assert read_table(io.BytesIO(data), ["reason", "id", "nbytes"]) == table.select(
        ["id", "reason"]
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "file size is 0 bytes"),
        (b"a,b\n1,2\n", "magic bytes"),
        (encode_table(TABLE)[:-5], "magic bytes"),
        (damaged(encode_table(TABLE)), "CRC checksum"),
    ],
)
def test_damaged_file_is_refused_with_its_fault(data: bytes, why: str) -> None:
    with pytest.raises(DamagedTable, match=why):
        read_table(io.BytesIO(data))


def test_damaged_table_of_a_run_is_named_with_its_remedy(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write("measured/part-00000.parquet", encode_table(TABLE))
    assert read_run_table(folder, "measured/part-00000.parquet") == TABLE
    folder.write("measured/part-00000.parquet", damaged(encode_table(TABLE)))
    with pytest.raises(DamagedTable) as error:
        read_run_table(folder, "measured/part-00000.parquet")
    assert str(error.value).startswith(f"{tmp_path}/measured/part-00000.parquet is damaged (could")
    assert str(error.value).endswith("): curate run with --verify mends it")
    with pytest.raises(RunError, match=r"has no measured/part-00001\.parquet: run the stage"):
        read_run_table(folder, "measured/part-00001.parquet")
