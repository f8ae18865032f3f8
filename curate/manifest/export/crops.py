"""Export `crops`: sub-images as lossless PNG of their own, with manifests for a trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pyarrow as pa
from PIL import Image

from curate.manifest.derived import derived_row
from curate.manifest.export.images import ORIGIN, ExportOptions, Images, Row, png_facts, to_png
from curate.manifest.export.lmdb import open_database
from curate.manifest.export.output_folder import Folder
from curate.manifest.schema import arrow_schema
from curate.manifest.table import encode_manifest
from curate.manifest.tiles import Box, fragment
from curate.storage.tar import TarWriter

__all__ = ["boxes", "positions", "write_crops"]

_FLUSHED = 10_000
"""Rows that are held as objects before they become a table."""

Put = Callable[[str, bytes, Image.Image], dict[str, Any]]
"""Function that stores a crop, by its id, and returns the columns that say where."""


def write_crops(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write crops as `<id>.png` in tars, folders or LMDBs, and a manifest for each split.

    A crop's URL is its image's with the box as a fragment, its id follows from that, and
    `crop_of`, `crop_x` and `crop_y` say the same in columns. A tile is one crop and keeps its
    measures. Other crops have none, since measuring is the curation side's work.
    """
    schema = _schema(images)
    # an empty table each, so that a split without images gets a manifest, too
    tables = {"train": [schema.empty_table()], "test": [schema.empty_table()]}
    crops: list[Row] = []
    for split, number, rows in _parts(images, options):
        with _STORES[options.crops_as](folder, split, number) as put:
            for row, data, image in images.decode(rows):
                whole = row["id"] not in images.tiles
                found = _cut(row, image, options) if whole else [(row, data, image)]
                for new, crop_data, crop in found:
                    crops.append(new | put(new["id"], crop_data, crop))
                if len(crops) >= _FLUSHED:
                    tables[split].append(pa.Table.from_pylist(crops, schema))
                    crops.clear()
        tables[split].append(pa.Table.from_pylist(crops, schema))
        crops.clear()
    form = f"{options.crop} pixels, {options.overlap} of overlap"
    metadata = images.metadata | {"crops": form}
    for split, parts in tables.items():
        data = encode_manifest(pa.concat_tables(parts), metadata)
        folder.write(f"manifest/{split}.parquet", data)


def _schema(images: Images) -> pa.Schema:
    """Return the columns of crops; tiles keep those of the input's own."""
    schemas = [arrow_schema(), ORIGIN]
    return pa.unify_schemas([*schemas, images.schema] if images.tiles else schemas)


def _parts(images: Images, options: ExportOptions) -> Iterator[tuple[str, int, Any]]:
    """Yield split, number and rows of each tar; of each split for other forms."""
    if options.crops_as == "tar":
        for part, (split, _, _, rows) in enumerate(images.files(options.per_file)):
            yield split, part, rows
    else:
        for split, rows in images.splits.items():
            yield split, 0, rows


def _cut(
    row: Row, image: Image.Image, options: ExportOptions
) -> Iterator[tuple[Row, bytes, Image.Image]]:
    """Yield row, file and pixels of each crop of a whole image."""
    for box in boxes(image.size, options.crop, options.overlap):
        crop = image.crop(box)
        data = to_png(crop)
        origin = {"crop_of": row["id"], "crop_x": box[0], "crop_y": box[1]}
        facts = png_facts(crop) | origin
        yield derived_row(row, fragment(box), data, *crop.size, **facts), data, crop


@contextmanager
def _tar(folder: Folder, split: str, number: int) -> Iterator[Put]:
    name = f"images/part-{number:05}.tar"
    with folder.create(name) as sink:
        tar = TarWriter(sink)

        def put(id_: str, data: bytes, _: Image.Image) -> dict[str, Any]:
            return {"tar": name, "offset": tar.add_bytes(f"{id_}.png", data)}

        yield put
        tar.close()


@contextmanager
def _files(folder: Folder, split: str, number: int) -> Iterator[Put]:
    def put(id_: str, data: bytes, _: Image.Image) -> dict[str, Any]:
        name = f"{split}/{id_}.png"
        folder.write(name, data)
        return {"tar": name, "offset": 0}

    yield put


@contextmanager
def _lmdb(folder: Folder, split: str, number: int) -> Iterator[Put]:
    with open_database(folder, f"{split}.lmdb") as store:

        def put(id_: str, data: bytes, crop: Image.Image) -> dict[str, Any]:
            store(id_, data, crop.size)
            return {"tar": None, "offset": None}  # no manifest can point into a database

        yield put


_STORES: dict[str, Callable[[Folder, str, int], AbstractContextManager[Put]]] = {
    "tar": _tar,
    "files": _files,
    "lmdb": _lmdb,
}


def boxes(image_size: tuple[int, int], side: int, overlap: int) -> Iterator[Box]:
    """Yield the boxes of an image's crops, row by row; smaller where the image is.

    Args:
        image_size: width and height in pixels.
        side: of a crop, in pixels.
        overlap: pixels that neighbours share, at least.
    """
    width, height = image_size
    for top in positions(height, side, overlap):
        for left in positions(width, side, overlap):
            yield left, top, min(left + side, width), min(top + side, height)


def positions(length: int, side: int, overlap: int) -> list[int]:
    """Return where crops begin along one axis: every `side - overlap` pixels, the last flush.

    An axis shorter than a crop has one, at 0.
    """
    if length <= side:
        return [0]
    starts = list(range(0, length - side + 1, side - overlap))
    return starts if starts[-1] == length - side else [*starts, length - side]
