"""The images behind manifests, read one at a time and checked against their hashes."""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from curate.errors import ImageError, ManifestError
from curate.images.decode import open_image, to_rgb
from curate.images.encode import encode_picture
from curate.images.file_format import EXTENSIONS
from curate.images.picture_facts import PictureFacts, fits_profile
from curate.manifest.derived import written_tile
from curate.manifest.table import Manifest, check_names, concat_rows, drop_places, encode_published
from curate.manifest.tiles import box_of, check_tiles, require_inside

__all__ = ["CROP_FORMS", "PNG_LEVEL", "ExportOptions", "Images", "name_of", "png_facts", "to_png"]

CROP_FORMS = ("tar", "files", "lmdb")
"""Forms of `crops`."""

PNG_LEVEL = 3
"""zlib's level; BasicSR's own scripts take 1 or 3."""

ORIGIN = pa.schema([("crop_of", pa.string()), ("crop_x", pa.int32()), ("crop_y", pa.int32())])
"""Columns of an image that was cut from another one."""

_PNG = {"format": "PNG", "mode": "RGB", "bit_depth": 8, "orientation": 1, "animated": False}
_CHUNK = 10_000
"""Rows that are objects at a time."""
Row = dict[str, Any]
Rows = NDArray[np.int64]
"""Numbers of rows."""


@dataclass(frozen=True)
class ExportOptions:
    """Settings of exports that hold images."""

    per_file: int = 1000
    """Images in each file of `webdataset` and `hf`; whole images in each tar of `crops`."""
    crop: int = 768
    """Side of `crops` in pixels; this one and the overlap are HQ-50K's."""
    overlap: int = 192
    """Pixels that neighbouring crops share, at least."""
    skip_damaged: bool = False
    """Leave out images that can't be read or don't match the manifest, instead of failing."""
    crops_as: str = "tar"
    """Form of `crops`, one of CROP_FORMS."""

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.crop:
            sides = f"crops of {self.crop} pixels can't overlap by {self.overlap}"
            raise ManifestError(f"{sides}: take less than a side")
        if self.per_file < 1:
            raise ManifestError(f"a file can't hold {self.per_file} images: take 1 or more")
        if self.crops_as not in CROP_FORMS:
            known = ", ".join(CROP_FORMS)
            raise ManifestError(f"no crops as {self.crops_as!r}: choose one of {known}")


@dataclass
class Images:
    """Rows of manifests with the bytes that they point at.

    A tile comes as an image of its own, cut from its image and encoded as PNG, and its row too.
    """

    manifests: Sequence[Manifest]
    """Train and test of a run, say; columns that one lacks are null there."""
    skip_damaged: bool = False
    """Leave out images that can't be read or don't match their row."""
    progress: Callable[[int, int], None] | None = None
    """Called with images done and all images."""
    left_out: list[str] = field(default_factory=list)
    """The fault of each image that was left out."""
    exported: list[int] = field(default_factory=list)
    """Numbers of the rows whose images were exported, in that order."""

    def __post_init__(self) -> None:
        for manifest in self.manifests:
            check_names(manifest)
            check_tiles(manifest)
            if manifest.is_paired:
                raise ManifestError(
                    f"{manifest.path} is of pairs, and such an export would hold the clean images "
                    "alone: train from it as it is, or export the list with --to manifest"
                )
        self._table = concat_rows(self.manifests)
        self.metadata = dict(self.manifests[0].metadata)
        self._rows = drop_places(self._table)
        self.tiles = frozenset(chain.from_iterable(map(_tiles_of, self.manifests)))
        """Ids of the rows that are tiles."""
        self.schema = self._rows.schema
        if self.tiles:
            self.schema = pa.unify_schemas([self.schema, ORIGIN])
        self._files: dict[int, _File] = {}
        self._image: tuple[object, Image.Image] | None = None
        # number of each manifest's first row, to find the manifest of a row
        self._starts = [0, *accumulate(map(len, self.manifests))]

    @property
    def splits(self) -> dict[str, Rows]:
        """Split -> numbers of its rows in order, for splits that have any."""
        # in the order in which the splits first occur
        splits = np.array(self._table["split"].to_pylist(), dtype=object)
        return {str(name): np.flatnonzero(splits == name) for name in dict.fromkeys(splits)}

    def files(self, per_file: int) -> Iterator[tuple[str, int, int, Rows]]:
        """Yield (split, number of the file, files of the split, numbers of its rows)."""
        for split, rows in self.splits.items():
            parts = range(0, len(rows), per_file)
            for number, start in enumerate(parts):
                yield split, number, len(parts), rows[start : start + per_file]

    def read(self, rows: Rows) -> Iterator[tuple[Row, bytes]]:
        """Yield rows without their places, and the bytes of their images, exactly as served.

        Raises:
            ManifestError: for the first that can't be read or has another hash, unless such are
                left out.
        """
        for row, data, _ in self._read(rows, decode=False):
            yield row, data

    def decode(self, rows: Rows) -> Iterator[tuple[Row, bytes, Image.Image]]:
        """Yield the same with the pixels: 8-bit RGB, upright; see `curate.images.decode.to_rgb`."""
        for row, data, image in self._read(rows, decode=True):
            assert image is not None
            yield row, data, image

    def narrow(self, row: Row) -> Row:
        """Return a row with its numbers of 64 bits as text: many readers take them for floats."""
        wide = [field.name for field in self.schema if field.type == pa.uint64()]
        return row | {name: row[name] and str(row[name]) for name in wide}

    def published(self) -> bytes:
        """Encode a manifest of the exported images, without places, in the order of export."""
        rows = self._table.take(pa.array(self.exported, pa.int64()))
        if not self.tiles:
            return encode_published(rows, self.metadata)
        tables = [self.schema.empty_table()]
        for start in range(0, len(rows), _CHUNK):
            numbers = self.exported[start : start + _CHUNK]
            written = zip(numbers, rows.slice(start, _CHUNK).to_pylist(), strict=True)
            chunk = [self._files[n].row_of(row) if n in self._files else row for n, row in written]
            tables.append(pa.Table.from_pylist(chunk, self.schema))
        return encode_published(pa.concat_tables(tables), self.metadata)

    def finish(self) -> None:
        """Refuse an export of nothing.

        Raises:
            ManifestError: if no image was exported.
        """
        if not self.exported and self.left_out:
            count, fault = len(self._table), self.left_out[0]
            raise ManifestError(f"none of {count} images could be read; the first: {fault}")
        if not self.exported:
            raise ManifestError(f"{self.manifests[0].path} has no rows to export")

    def _read(self, rows: Rows, *, decode: bool) -> Iterator[tuple[Row, bytes, Image.Image | None]]:
        for number in rows.tolist():
            (row,) = self._rows.slice(number, 1).to_pylist()
            found: tuple[Row, bytes, Image.Image | None]
            try:
                if row["id"] in self.tiles:
                    tile = self._cut(number, row)
                    data = to_png(tile)
                    digest = hashlib.sha256(data).hexdigest()
                    self._files[number] = _File(digest, len(data), png_facts(tile)["icc"])
                    found = self._files[number].row_of(row), data, tile
                else:
                    data, where = self._bytes(number, row)
                    found = row, data, _decode(data, where) if decode else None
            except ManifestError as error:
                if not self.skip_damaged:
                    advice = "or leave such images out with --skip-damaged"
                    raise ManifestError(f"{error}, {advice}") from error
                self.left_out.append(str(error))
            else:
                self.exported.append(number)
                yield found
            if self.progress is not None:
                self.progress(len(self.exported) + len(self.left_out), len(self._table))

    def _bytes(self, number: int, row: Row) -> tuple[bytes, str]:
        """Return the checked bytes that a row points at, and the row's name in errors."""
        manifest, own_number = self._place(number)
        where = f"{manifest.path} row {own_number}"
        data = manifest.read_bytes(own_number)
        if (digest := hashlib.sha256(data).hexdigest()) != row["sha256"]:
            fault = f"its bytes hash to {digest}, not to {row['sha256']}"
            raise ManifestError(f"{where}: {fault}; fetch it again")
        return data, where

    def _place(self, number: int) -> tuple[Manifest, int]:
        """Return the manifest of a row of the whole table, and the row's number in it."""
        part = bisect_right(self._starts, number) - 1
        return self.manifests[part], number - self._starts[part]

    def _cut(self, number: int, row: Row) -> Image.Image:
        """Return a tile's pixels; tiles that follow one another share one decoding."""
        manifest, own_number = self._place(number)
        key = manifest.path, manifest.first_rows[own_number]
        if self._image is None or self._image[0] != key:
            self._image = key, _decode(*self._bytes(number, row))
        image, box = self._image[1], box_of(row)
        assert box is not None
        require_inside(box, image.size, f"{manifest.path} row {own_number}")
        return image.crop(box)


@dataclass(frozen=True)
class _File:
    """File that a tile was written to."""

    sha256: str
    nbytes: int
    icc: bool

    def row_of(self, tile: Row) -> Row:
        """Return the row of the file, from the row of the tile."""
        return written_tile(tile, self.sha256, self.nbytes, **(_PNG | {"icc": self.icc}))


def _tiles_of(manifest: Manifest) -> list[str]:
    if not manifest.is_tiled:
        return []
    is_tile = pc.is_valid(manifest.table["tile_of"])
    ids: list[str] = manifest.table["id"].filter(is_tile).to_pylist()
    return ids


def name_of(row: Row) -> str:
    """Return a row's file name: its id, and the extension of its true format."""
    return f"{row['id']}.{EXTENSIONS.get(row['format'], 'bin')}"


def to_png(image: Image.Image) -> bytes:
    """Encode pixels as a PNG file, with a profile that fits them, at OpenCV's compression level."""
    facts = PictureFacts(profile=image.info.get("icc_profile") or b"")
    return encode_picture(image, "PNG", facts, compress_level=PNG_LEVEL)


def png_facts(image: Image.Image) -> dict[str, Any]:
    """Return the columns that say what `to_png` writes."""
    return _PNG | {"icc": fits_profile(image.info.get("icc_profile") or b"", "RGB")}


def _decode(data: bytes, where: str) -> Image.Image:
    try:
        with open_image(io.BytesIO(data)) as image:
            return to_rgb(image)
    except ImageError as error:
        raise ManifestError(f"{where} can't be decoded: {error}; fetch it again") from error
