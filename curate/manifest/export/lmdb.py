"""Export `lmdb`: databases for BasicSR and its descendants (its docs/DatasetPreparation.md)."""

from __future__ import annotations

from typing import Any

from curate.errors import MissingExtra
from curate.manifest.export.images import PNG_LEVEL, ExportOptions, Images, to_png
from curate.manifest.export.output_folder import Folder

__all__ = ["write_lmdb"]

_FIRST_SIZE = 2**26
"""Bytes of address space at first; doubled when full, so the size needn't be known in advance."""


def write_lmdb(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write `train.lmdb` and `test.lmdb`: id -> PNG file, and `meta_info.txt`.

    That one has a line `<id>.png (height,width,3) level` for each image. A plain RGB PNG file
    goes in as it is; everything else is decoded (upright, 8-bit RGB) and encoded.

    Raises:
        MissingExtra: if the library isn't there.
    """
    try:
        import lmdb
    except ImportError as error:
        raise MissingExtra("exporting to LMDB", "lmdb") from error

    for split, rows in images.splits.items():
        path = folder.path(f"{split}.lmdb")
        path.mkdir()
        # no lock file: one process writes, and readers open it with lock=False
        with lmdb.open(str(path), map_size=_FIRST_SIZE, lock=False, sync=False) as environment:
            lines = []
            for row, data, image in images.decode(rows):
                _put(environment, row["id"].encode(), data if _is_plain(row) else to_png(image))
                size = f"({image.height},{image.width},3)"
                lines.append(f"{row['id']}.png {size} {PNG_LEVEL}\n")
            environment.sync(True)
        folder.write(f"{split}.lmdb/meta_info.txt", "".join(lines).encode())
    folder.write_manifest(images)


def _put(environment: Any, key: bytes, value: bytes) -> None:
    import lmdb

    while True:
        try:
            with environment.begin(write=True) as transaction:
                transaction.put(key, value)
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])
        else:
            return


def _is_plain(row: dict[str, Any]) -> bool:
    kind = row["format"], row.get("mode"), row.get("orientation")
    return kind == ("PNG", "RGB", 1) and not row.get("animated")
