"""A dataset as one list to publish: without images, and without the places of one machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from curate.errors import ManifestError
from curate.manifest.table import (
    Manifest,
    concat_rows,
    drop_places,
    encode_published,
    replace_column,
)
from curate.storage import atomic
from curate.storage.parquet import encode_table

__all__ = ["write_csv", "write_published", "write_urls"]

_HOST = re.compile(r"([^:]*:/*[^/?#]*|)(.*)")
_URL_COLUMNS = (
    "url", "sha256", "id", "split", "category", "licence", "width", "height", "pixel_sha256",
    "phash",
)  # fmt: skip
"""Columns for a downloader, to find the row again, and to know the picture in other bytes."""


def write_published(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """Write all rows as a manifest whose places are null; returns their number."""
    table = concat_rows(manifests)
    atomic.write(path, encode_published(table, manifests[0].metadata))
    return len(table)


def write_csv(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """Write all rows as CSV; returns their number."""
    import pandas as pd

    table = drop_places(concat_rows(manifests))
    # Arrow's own types, or a null would make fractions of a column of whole numbers
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    atomic.write(path, frame.to_csv(index=False, lineterminator="\n").encode())
    return len(table)


def write_urls(manifests: Sequence[Manifest], path: str | PurePath) -> int:
    """Write URLs for img2dataset: bare in .txt; with hashes and more columns in .tsv and .parquet.

    Characters that a URL can't hold, such as a space, are percent-encoded, since img2dataset
    doesn't do it. The ids stay the same. Tiles of one file have one line, with the image's id.

    Raises:
        ManifestError: if an image has no web address, or the name ends otherwise.
    """
    table = _whole_images(concat_rows(manifests))
    table = table.select([name for name in _URL_COLUMNS if name in table.column_names])
    # `file:` URLs mean nothing to others
    urls = pa.array([_escape(url) for url in table["url"].to_pylist()], pa.string())
    local = table.filter(pc.invert(pc.match_substring_regex(urls, "^(?i)https?://")))["url"]
    if len(local):
        fault = f"{len(local)} of {len(table)} images have no web address, such as {local[0]}"
        raise ManifestError(f"{fault}: use --to manifest")
    table = table.set_column(0, "url", urls)
    match PurePath(path).suffix:
        case ".txt":
            data = "".join(f"{url}\n" for url in urls.to_pylist()).encode()
        case ".tsv":
            sink = pa.BufferOutputStream()
            csv.write_csv(table, sink, csv.WriteOptions(delimiter="\t"))
            data = sink.getvalue().to_pybytes()
        case ".parquet":
            data = encode_table(table.replace_schema_metadata(), checksums=False)
        case _:
            raise ManifestError(f"can't write URLs to {path}: name it .txt, .tsv or .parquet")
    atomic.write(path, data)
    return len(table)


def _whole_images(table: pa.Table) -> pa.Table:
    """Return one row for each image of which there are tiles, and all other rows as they are.

    Facts of a tile's pixels are null, since the whole image's aren't known.
    """
    if "tile_of" not in table.column_names:
        return table
    urls, ids, origins = (table[name].to_pylist() for name in ("url", "id", "tile_of"))
    seen = {id_ for id_, origin in zip(ids, origins, strict=True) if origin is None}
    kept = []
    for row, origin in enumerate(origins):
        if origin is None or origin not in seen:
            kept.append(row)
        if origin is not None:
            seen.add(origin)
            ids[row], urls[row] = origin, urls[row].partition("#")[0]
    whole = pc.is_null(table["tile_of"])
    for name in ("width", "height", "pixel_sha256", "phash"):
        if name in table.column_names:
            known = pc.if_else(whole, table[name], pa.scalar(None, table[name].type))
            table = replace_column(table, name, known)
    for name, values in (("url", urls), ("id", ids)):
        table = replace_column(table, name, pa.array(values, pa.string()))
    return table.take(pa.array(kept, pa.int64()))


def _escape(url: str) -> str:
    """Return a URL with everything after its host in printable ASCII."""
    # clients drop tabs, line breaks and outer spaces
    match = _HOST.fullmatch(re.sub(r"[\t\r\n]", "", url).strip())
    assert match is not None  # it matches any string without line breaks
    return match[1] + re.sub(r"[^!-~]+", lambda odd: quote(odd[0]), match[2])
