"""A manifest to publish: URLs, hashes, measures and labels, without the places of one machine."""

from __future__ import annotations

from pathlib import PurePath

import pyarrow as pa

from curate import files
from curate.errors import ManifestError
from curate.manifest.table import Manifest, encode_manifest

__all__ = ["FORMATS", "export_manifest"]

FORMATS = ("parquet", "csv", "txt")
"""By suffix: a manifest, the same as CSV, or the bare URLs, one a line."""

_PLACE = {"tar": pa.string(), "offset": pa.int64()}
"""Columns that mean nothing on another machine."""


def export_manifest(manifests: list[Manifest], path: str | PurePath) -> int:
    """Write the rows of manifests (train and test, say) as one list that others can fetch again and check by hash.

    Returns:
        The number of rows.

    Raises:
        ManifestError: if the suffix names no format, or a list of URLs is wanted of images that have none.
    """
    suffix = PurePath(path).suffix.removeprefix(".")
    if suffix not in FORMATS:
        raise ManifestError(f"can't export to {path}: name it .{', .'.join(FORMATS)}")
    table = pa.concat_tables([manifest.table for manifest in manifests], promote_options="default")
    match suffix:
        case "txt":
            data = _urls(table)
        case "csv":
            data = _csv(table.select([name for name in table.column_names if name not in _PLACE]))
        case _:
            columns = {name: table[name] for name in table.column_names}
            columns |= {name: pa.nulls(len(table), type_) for name, type_ in _PLACE.items()}
            data = encode_manifest(pa.table(columns), manifests[0].metadata, root=".")
    files.write(path, data)
    return len(table)


def _urls(table: pa.Table) -> bytes:
    # tabs and line breaks within a URL are dropped by whoever asks for it
    urls = [url.translate(dict.fromkeys(map(ord, "\t\r\n"))) for url in table["url"].to_pylist()]
    local = [url for url in urls if not url.lower().startswith(("http://", "https://"))]
    if local:
        raise ManifestError(
            f"{len(local)} of {len(urls)} images have no web address, such as {local[0]}: export .parquet"
        )
    return "".join(f"{url}\n" for url in urls).encode()


def _csv(table: pa.Table) -> bytes:
    import pandas as pd

    # Arrow's own types, or a null would make fractions of a column of whole numbers
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text.encode()
