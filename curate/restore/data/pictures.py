"""Pictures of manifests, folders and files, all read as upright RGB."""

from __future__ import annotations

import io
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from curate.errors import ImageError, ManifestError, RestoreError
from curate.images.decode import FORMATS, open_image, to_rgb
from curate.manifest import Manifest, read_manifest
from curate.manifest.table import check_names
from curate.manifest.tiles import Box, box_of, check_tiles, require_inside
from curate.restore.data.degradations import TASKS
from curate.runtime import isolated
from curate.storage.atomic import list_files
from curate.storage.places import locate, open_file

__all__ = ["SUFFIXES", "Picture", "decode", "open_pictures", "open_source"]

_ENDINGS = {
    ".avif": "AVIF", ".bmp": "BMP", ".gif": "GIF", ".jpeg": "JPEG", ".jpg": "JPEG", ".jxl": "JXL",
    ".png": "PNG", ".ppm": "PPM", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip
SUFFIXES = frozenset(ending for ending, format_ in _ENDINGS.items() if format_ in FORMATS)
"""Suffixes by which a folder's files count as pictures: endings of formats that are decoded."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture that can be read."""

    id: str
    """The candidate's id in a manifest; elsewhere the path relative to the folder."""
    split: str
    """Split of the manifest; `train` outside one."""
    source: Manifest | str
    """The manifest that it is a row of, or the file's fsspec URL."""
    row: int = 0

    @property
    def file(self) -> Hashable:
        """The image file that it is, or is a tile of; equal for all tiles of one file."""
        if self.box is None or not isinstance(self.source, Manifest):
            return self
        place = (self.source.column(name)[self.row] for name in ("tar", "offset", "sha256"))
        return self.source.root, *place

    @property
    def box(self) -> Box | None:
        """The part of its image that it is, if it is a tile."""
        if not isinstance(self.source, Manifest) or not self.source.is_tiled:
            return None
        names = ("tile_of", "tile_x", "tile_y", "width", "height")
        return box_of({name: self.source.column(name)[self.row] for name in names})

    @property
    def is_paired(self) -> bool:
        """Whether it has a degraded image, which `read_pair` reads too."""
        return self._of_pair("degraded_sha256") is not None

    @property
    def degradation(self) -> str | None:
        """Name of the degraded image's degradation, such as `real_noise`; None without one."""
        return self._of_pair("degradation")

    @property
    def task(self) -> str | None:
        """Task of undoing it, one of `TASKS`; None without a degraded image."""
        return self._of_pair("task")

    def _of_pair(self, column: str) -> str | None:
        if not isinstance(self.source, Manifest) or not self.source.is_paired:
            return None
        value: str | None = self.source.column(column)[self.row]
        return value

    @property
    def _place(self) -> str:
        """Name of the picture in error messages."""
        if isinstance(self.source, Manifest):
            return f"{self.source.path} row {self.row} ({self.id})"
        return self.source

    def read(self) -> NDArray[np.uint8]:
        """Read and decode it; see `decode`.

        Raises:
            ManifestError: if it is a tile whose box leaves its image.
        """
        return self.cut(self.read_whole())

    def read_whole(self) -> NDArray[np.uint8]:
        """Read and decode the image that it is, or is a tile of."""
        if isinstance(self.source, Manifest):
            return decode(self.source.read_bytes(self.row), self._place)
        with open_file(self.source) as file:
            return decode(file.read(), self._place)

    def cut(self, whole_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return its part of the whole image, as a view.

        Raises:
            ManifestError: if its box leaves the image.
        """
        box = self.box
        if box is None:
            return whole_HWC
        require_inside(box, whole_HWC.shape[1::-1], self._place)
        left, top, right, bottom = box
        return whole_HWC[top:bottom, left:right]

    def read_all(self) -> Sequence[NDArray[np.uint8]]:
        """Read and decode the whole clean image, then the degraded one if there is one.

        Raises:
            RestoreError: if one can't be read or decoded; names it.
        """
        failures: list[str] = []
        with isolated(failures.append):
            return self.read_pair() if self.is_paired else [self.read_whole()]
        place = "" if self._place in failures[0] else f"{self._place}: "
        raise RestoreError(f"{place}{failures[0]}")

    def read_pair(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read and decode the clean and the degraded image, which have one size; see `decode`.

        Raises:
            RestoreError: if it is no pair, one of them is damaged, or they differ in size.
            ManifestError: if bytes of one are missing, or the degraded image has changed since it
                was paired.
        """
        if not isinstance(self.source, Manifest) or not self.is_paired:
            advice = "pairs come from a manifest that  curate ingest  made"
            raise RestoreError(f"{self.id} has no degraded image: {advice}")
        clean_HWC = self.read()
        data = self.source.read_degraded_bytes(self.row)
        degraded_HWC = decode(data, f"the degraded image of {self._place}")
        if clean_HWC.shape != degraded_HWC.shape:
            sizes = [f"{x.shape[1]}x{x.shape[0]}" for x in (clean_HWC, degraded_HWC)]
            raise RestoreError(
                f"{self._place}: clean and degraded image are of different sizes, "
                f"{' and '.join(sizes)}: ingest them again"
            )
        return clean_HWC, degraded_HWC


def open_source(where: str | os.PathLike[str] | Manifest) -> Manifest | str:
    """Return a manifest, read if it is given as a `*.parquet` path, or a folder's or file's path.

    Raises:
        ManifestError: if it is a manifest that can't be read.
    """
    if isinstance(where, Manifest):
        return where
    place = os.fspath(where)
    return read_manifest(place) if place.endswith(".parquet") else place


def open_pictures(where: str | os.PathLike[str] | Manifest) -> list[Picture]:
    """Return the pictures of a manifest (`*.parquet`), of a folder and its subfolders, or one file.

    Raises:
        RestoreError: if there are none.
        ManifestError: if it is a manifest that can't be read, or one of pairs for an unknown task.
    """
    source = open_source(where)
    if isinstance(source, Manifest):
        check_names(source)
        check_tiles(source)
        place = source.path
        if source.is_paired and (unknown := set(source.column("task")) - {*TASKS, None}):
            known = f"the tasks are {', '.join(TASKS)}"
            raise ManifestError(f"{place} has pairs for {', '.join(unknown)}; {known}")
        ids, splits = (source.table.column(name).to_pylist() for name in ("id", "split"))
        rows = enumerate(zip(ids, splits, strict=True))
        pictures = [Picture(id_, split, source, row) for row, (id_, split) in rows]
    else:
        place, pictures = source, _find(source)
    if not pictures:
        raise RestoreError(
            f"no pictures in {place}: give a manifest, as RUN/manifest/train.parquet is, or a "
            f"folder of {', '.join(sorted(SUFFIXES))} files"
        )
    return pictures


def _find(place: str) -> list[Picture]:
    folder = locate(place)
    if not folder.fs.isdir(folder.path):
        there = folder.fs.exists(folder.path)
        return [Picture(PurePath(folder.path).name, "train", place)] if there else []
    pictures = []
    for name, _ in list_files(place):
        if PurePath(name).suffix.lower() in SUFFIXES:
            pictures.append(Picture(name, "train", f"{folder.url.rstrip('/')}/{name}"))
    return pictures


def decode(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode an image file to upright (height, width, 3) RGB; see `curate.images.decode.to_rgb`.

    Raises:
        RestoreError: if the bytes are no image or a damaged one; names `where`.
    """
    try:
        with open_image(io.BytesIO(data)) as image:
            return np.asarray(to_rgb(image))
    except ImageError as error:
        raise RestoreError(f"{where} can't be decoded: {error}") from error
