"""Where pictures come from: manifests, folders and files, all read as upright RGB."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import PurePath

import fsspec
import numpy as np
from numpy.typing import NDArray

from curate.errors import ImageError, ManifestError, RestoreError
from curate.images.decode import open_image, to_rgb
from curate.manifest import Manifest, read_manifest
from curate.restore.data.degradations import TASKS

__all__ = ["SUFFIXES", "Picture", "decode", "open_pictures", "open_source"]

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".jxl", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Names' endings by which a folder's files count as pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture that can be read."""

    id: str
    """The candidate's id in a manifest; the path relative to its folder otherwise."""
    split: str
    """Of the manifest; `train` outside one."""
    source: Manifest | str
    """The manifest that it is a row of, or the file's fsspec URL."""
    row: int = 0

    @property
    def is_paired(self) -> bool:
        """Whether there is a degraded image of it too, which `read_pair` reads."""
        return self._of_pair("degraded_sha256") is not None

    @property
    def degradation(self) -> str | None:
        """What was done to the degraded image, such as `real_noise`; None without one."""
        return self._of_pair("degradation")

    @property
    def task(self) -> str | None:
        """What undoing that is, one of `TASKS`; None without a degraded image."""
        return self._of_pair("task")

    def _of_pair(self, column: str) -> str | None:
        if not isinstance(self.source, Manifest) or not self.source.is_paired:
            return None
        value: str | None = self.source.column(column)[self.row]
        return value

    def read(self) -> NDArray[np.uint8]:
        """Decode it; see `decode`."""
        if isinstance(self.source, Manifest):
            return decode(
                self.source.read_bytes(self.row), f"{self.source.path} row {self.row} ({self.id})"
            )
        with fsspec.open(self.source, "rb") as file:
            return decode(file.read(), self.source)

    def read_pair(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Decode the clean and the degraded image, of one size; see `decode`.

        Raises:
            RestoreError: if it is no pair, one of them is damaged, or they differ in size.
            ManifestError: if the bytes of one aren't there, or the degraded one's aren't those that were paired.
        """
        if not self.is_paired:
            raise RestoreError(
                f"{self.id} has no degraded image: pairs come from a manifest that  curate ingest  made"
            )
        assert isinstance(self.source, Manifest)
        where = f"{self.source.path} row {self.row} ({self.id})"
        clean_HWC = self.read()
        degraded_HWC = decode(
            self.source.read_degraded_bytes(self.row), f"the degraded image of {where}"
        )
        if clean_HWC.shape != degraded_HWC.shape:
            sizes = " and ".join(
                f"{image.shape[1]}x{image.shape[0]}" for image in (clean_HWC, degraded_HWC)
            )
            raise RestoreError(
                f"{where}: clean and degraded image are of different sizes, {sizes}: ingest them again"
            )
        return clean_HWC, degraded_HWC


def open_source(where: str | os.PathLike[str] | Manifest) -> Manifest | str:
    """A manifest, read if only its `*.parquet` path is given; or the path or URL of a folder or file.

    Raises:
        ManifestError: if it is a manifest that can't be read.
    """
    if isinstance(where, Manifest):
        return where
    place = os.fspath(where)
    return read_manifest(place) if place.endswith(".parquet") else place


def open_pictures(where: str | os.PathLike[str] | Manifest) -> list[Picture]:
    """The pictures of a manifest (`*.parquet`), or below a folder, or one file.

    Raises:
        RestoreError: if there are none.
        ManifestError: if it is a manifest that can't be read, or one of pairs for a task that isn't known.
    """
    source = open_source(where)
    if isinstance(source, Manifest):
        if source.is_paired and (unknown := set(source.column("task")) - {*TASKS, None}):
            raise ManifestError(
                f"{source.path} has pairs for {', '.join(unknown)}; the tasks are {', '.join(TASKS)}"
            )
        columns = (source.table.column(name).to_pylist() for name in ("id", "split"))
        pictures = [
            Picture(id_, split, source, row)
            for row, (id_, split) in enumerate(zip(*columns, strict=True))
        ]
        place = source.path
    else:
        pictures, place = _find(source), source
    if not pictures:
        raise RestoreError(
            f"no pictures in {place}: give a manifest, as RUN/manifest/train.parquet is, or a folder of "
            f"{', '.join(sorted(SUFFIXES))} files"
        )
    return pictures


def _find(place: str) -> list[Picture]:
    fs, root = fsspec.core.url_to_fs(place)
    if fs.isfile(root):
        return [Picture(PurePath(root).name, "train", place)]
    found = sorted(path for path in fs.find(root) if PurePath(path).suffix.lower() in SUFFIXES)
    return [
        Picture(os.path.relpath(path, root), "train", fs.unstrip_protocol(path)) for path in found
    ]


def decode(data: bytes, where: str) -> NDArray[np.uint8]:
    """Bytes of an image file -> upright (height, width, 3) RGB; see `curate.images.decode.to_rgb`.

    Raises:
        RestoreError: if they are no image or a damaged one; names `where`.
    """
    try:
        with open_image(io.BytesIO(data)) as image:
            return np.asarray(to_rgb(image))
    except ImageError as error:
        raise RestoreError(f"{where} can't be decoded: {error}") from error
