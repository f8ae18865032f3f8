"""A dataset as one list to publish: without images, and without the places of one machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import ManifestError
from curate.manifest.table import PLACES, Manifest, encode_published
from curate.storage import atomic
from curate.storage.parquet import encode_table

__all__ = ["write_csv", "write_published", "write_urls"]

_HOST = re.compile(r"([^:]*:/*[^/?#]*|)(.*)")
_URL_COLUMNS = (
    "url",
    "sha256",
    "id",
    "split",
    "category",
    "licence",
    "width",
    "height",
    "pixel_sha256",
    "phash",
)
"""What a downloader may make use of, what it takes to find the row again, and to know the picture in other bytes."""


def write_published(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """All rows as a manifest whose places are null; returns how many."""
    table = _concat(manifests)
    atomic.write(path, encode_published(table, manifests[0].metadata))
    return len(table)


def write_csv(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """All rows as CSV."""
    import pandas as pd

    table = _concat(manifests)
    # Arrow's own types, or a null would make fractions of a column of whole numbers
    frame = table.select([n for n in table.column_names if n not in PLACES]).to_pandas(
        types_mapper=pd.ArrowDtype
    )
    text: str = frame.to_csv(index=False, lineterminator="\n")
    atomic.write(path, text.encode())
    return len(table)


def write_urls(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """URLs as img2dataset asks for them: bare in .txt; with hashes and a few columns more in .tsv and .parquet.

    What a URL can't hold, such as a space, is percent-encoded: img2dataset doesn't see to that. The ids are the same.

    Raises:
        ManifestError: if an image has no web address, or the name ends otherwise.
    """
    table = _concat(manifests)
    table = table.select([name for name in _URL_COLUMNS if name in table.column_names])
    urls = pa.array([_escaped(url) for url in table["url"].to_pylist()], pa.string())
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
            data = encode_table(table.replace_schema_metadata(), checksums=False)
        case _:
            raise ManifestError(f"can't write URLs to {path}: name it .txt, .tsv or .parquet")
    atomic.write(path, data)
    return len(table)


def _escaped(url: str) -> str:
    """A URL with all after its host in printable ASCII, less what whoever asks for it drops: tabs and line breaks."""
    host, path = _HOST.fullmatch(re.sub(r"[\t\r\n]", "", url).strip()).groups()  # type: ignore[union-attr]
    return host + re.sub(r"[^!-~]+", lambda match: quote(match[0]), path)


def _concat(manifests: Sequence[Manifest]) -> pa.Table:
    return pa.concat_tables([manifest.table for manifest in manifests], promote_options="default")


def _tsv(table: pa.Table) -> bytes:
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    csv.write_csv(table, sink, csv.WriteOptions(delimiter="\t"))
    return sink.getvalue().to_pybytes()
