"""Parquet tables: the same bytes for the same rows; checksums are verified when read."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import IO, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import RunError
from curate.storage.run_folder import RunFolder

__all__ = ["DamagedTable", "encode_table", "read_run_table", "read_table"]


class DamagedTable(RunError):  # noqa: N818 - reads as the noun it is
    """A table that can't be read whole; from `read_table`, its message is pyarrow's in one line."""


def encode_table(
    table: pa.Table,
    *,
    compression: Literal["zstd", "snappy", "none"] = "zstd",
    checksums: bool = True,
    dictionary: bool = True,
    group_rows: int | None = None,
) -> bytes:
    """Encode a table as the bytes of a Parquet file: the same bytes for the same rows and options.

    Args:
        table: rows, with the metadata of their schema.
        compression: codec of the pages.
        checksums: write a checksum of each page, as all files of a run folder have but manifests.
        dictionary: encode repeated values by their place in a dictionary.
        group_rows: rows in each row group; pyarrow's default if None.
    """
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        row_group_size=group_rows,
        compression=compression,
        use_dictionary=dictionary,
        write_page_checksum=checksums,
    )
    return sink.getvalue()


def read_table(
    file: IO[bytes] | pa.BufferReader, columns: Collection[str] | None = None
) -> pa.Table:
    """Read a table, or those of the named columns that it has, in the file's order.

    Raises:
        DamagedTable: if the file is truncated or no Parquet, or a page's checksum is wrong.
    """
    try:
        parquet = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=True)
        if columns is not None:
            columns = [name for name in parquet.schema_arrow.names if name in columns]
        return parquet.read(columns)
    except (pa.ArrowException, OSError, ValueError) as error:  # OSError: a wrong checksum
        raise DamagedTable(" ".join(str(error).split())) from error


def read_run_table(
    folder: RunFolder, path: str, columns: Collection[str] | None = None
) -> pa.Table:
    """Read a table of a run folder, or some of its columns; see `read_table`.

    Raises:
        RunError: if there is no such file.
        DamagedTable: if it is damaged; says how to mend it.
    """
    with folder.open(path) as file:
        try:
            return read_table(file, columns)
        except DamagedTable as error:
            raise DamagedTable(
                f"{folder}/{path} is damaged ({error}): curate run with --verify mends it"
            ) from error
