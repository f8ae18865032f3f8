"""A dataset as one list to publish: without images, and without the places of one machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import pyarrow as pa
import pyarrow.compute as pc

from curate import files
from curate.errors import ManifestError
from curate.manifest.table import PLACES, Manifest, encode_published

__all__ = ["write_csv", "write_published", "write_urls"]

_URL_COLUMNS = ("url", "sha256", "id", "split", "category", "licence", "width", "height")
"""What a downloader may make use of, and what it takes to find the row again."""


def write_published(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """All rows as a manifest whose places are null; returns how many."""
    table = _concat(manifests)
    files.write(path, encode_published(table, manifests[0].metadata))
    return len(table)


def write_csv(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """All rows as CSV."""
    import pandas as pd

    table = _concat(manifests)
    # Arrow's own types, or a null would make fractions of a column of whole numbers
    frame = table.select([n for n in table.column_names if n not in PLACES]).to_pandas(types_mapper=pd.ArrowDtype)
    text: str = frame.to_csv(index=False, lineterminator="\n")
    files.write(path, text.encode())
    return len(table)


def write_urls(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """URLs as img2dataset reads them: bare in .txt; with hashes and a few columns more in .tsv and .parquet.

    Raises:
        ManifestError: if an image has no web address, or the name ends otherwise.
    """
    table = _concat(manifests)
    table = table.select([name for name in _URL_COLUMNS if name in table.column_names])
    # tabs and line breaks within a URL are dropped by whoever asks for it
    urls = pc.replace_substring_regex(table["url"], r"[\t\r\n]", "")
    local = table.filter(pc.invert(pc.match_substring_regex(urls, "^(?i)https?://")))["url"]
    if len(local):
        raise ManifestError(
            f"{len(local)} of {len(table)} images have no web address, such as {local[0]}: use --to manifest"
        )
    table = table.set_column(0, "url", urls)
    match PurePath(path).suffix:
        case ".txt":
            data = "".join(f"{url}\n" for url in urls.to_pylist()).encode()
        case ".tsv":
            data = _tsv(table)
        case ".parquet":
            data = _parquet(table)
        case _:
            raise ManifestError(f"can't write URLs to {path}: name it .txt, .tsv or .parquet")
    files.write(path, data)
    return len(table)


def _concat(manifests: Sequence[Manifest]) -> pa.Table:
    return pa.concat_tables([manifest.table for manifest in manifests], promote_options="default")


def _tsv(table: pa.Table) -> bytes:
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    csv.write_csv(table, sink, csv.WriteOptions(delimiter="\t"))
    return sink.getvalue().to_pybytes()


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(), sink, compression="zstd")
    return sink.getvalue().to_pybytes()
