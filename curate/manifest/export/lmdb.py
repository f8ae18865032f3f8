"""Export `lmdb`: databases for BasicSR and its descendants (its docs/DatasetPreparation.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from curate.errors import MissingExtra
from curate.manifest.export.images import PNG_LEVEL, ExportOptions, Images, to_png
from curate.manifest.export.output_folder import Folder

__all__ = ["open_database", "write_lmdb"]

Size = tuple[int, int]
"""Width and height in pixels."""

_FIRST_SIZE = 2**26
"""Bytes of address space at first; doubled when full, so the size needn't be known in advance."""


def write_lmdb(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write `train.lmdb` and `test.lmdb`: id -> PNG file, and `meta_info.txt`.

    That one has a line `<id>.png (height,width,3) level` for each image. All are 8-bit RGB and
    upright: OpenCV, which reads them, would show colours under transparency, and other depths.

    Raises:
        MissingExtra: if the library isn't there.
    """
    for split, rows in images.splits.items():
        with open_database(folder, f"{split}.lmdb") as put:
            for row, data, image in images.decode(rows):
                is_written = row["id"] in images.tiles
                put(row["id"], data if is_written else to_png(image), image.size)
    folder.write_manifest(images)


@contextmanager
def open_database(folder: Folder, name: str) -> Iterator[Callable[[str, bytes, Size], None]]:
    """Open a new database, and yield a function that stores a PNG file: (id, file, size).

    Raises:
        MissingExtra: if the library isn't there.
        RunError: if the folder isn't local.
    """
    try:
        import lmdb
    except ImportError as error:
        raise MissingExtra("exporting to LMDB", "lmdb") from error

    path = folder.path(name)
    path.mkdir()
    lines: list[str] = []
    # no lock file: one process writes, and readers open it with lock=False
    with lmdb.open(str(path), map_size=_FIRST_SIZE, lock=False, sync=False) as environment:

        def put(id_: str, data: bytes, size: Size) -> None:
            _put(environment, id_.encode(), data)
            lines.append(f"{id_}.png ({size[1]},{size[0]},3) {PNG_LEVEL}\n")

        yield put
        environment.sync(True)
    folder.write(f"{name}/meta_info.txt", "".join(lines).encode())


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
