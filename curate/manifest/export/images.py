"""The images behind manifests, as exports read them: split by split, one at a time, held against their hashes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from curate.errors import ImageError, ManifestError
from curate.images.decode import open_image, to_rgb
from curate.images.file_format import EXTENSIONS
from curate.manifest.table import PLACES, Manifest, encode_published

__all__ = ["PNG_LEVEL", "ExportOptions", "Images", "name_of", "to_png"]

PNG_LEVEL = 3
"""zlib's level; BasicSR's own scripts take 1 or 3."""


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
    """Leave out images that can't be read or aren't what the manifest says, instead of failing."""

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.crop:
            raise ManifestError(
                f"crops of {self.crop} pixels can't overlap by {self.overlap}: take less than a side"
            )
        if self.per_file < 1:
            raise ManifestError(f"a file can't hold {self.per_file} images: take 1 or more")


class Images:
    """Rows of manifests with the bytes that they point at.

    Args:
        manifests: train and test of a run, say; columns that one lacks are null there.
        skip_damaged: leave out what can't be read or isn't what its row says.
        progress: called with images done and all images.
    """

    def __init__(
        self,
        manifests: Sequence[Manifest],
        *,
        skip_damaged: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        for manifest in manifests:
            if manifest.is_paired:
                raise ManifestError(
                    f"{manifest.path} is of pairs, and such an export would hold the clean images alone: "
                    "train from it as it is, or export the list with --to manifest"
                )
        self.manifests = manifests
        self.left_out: list[str] = []
        self.count = 0
        """Images that came through."""
        self._skip = skip_damaged
        self._progress = progress
        self._whole = pa.concat_tables(
            [manifest.table for manifest in manifests], promote_options="default"
        )
        self._manifest_N = np.repeat(
            np.arange(len(manifests)), [len(manifest) for manifest in manifests]
        )
        self._row_N = np.concatenate([np.arange(len(manifest)) for manifest in manifests])
        self._done = 0
        self._good: list[int] = []

    @property
    def schema(self) -> pa.Schema:
        """Types of the rows, less the places on this machine."""
        return pa.schema([field for field in self._whole.schema if field.name not in PLACES])

    @property
    def splits(self) -> dict[str, NDArray[np.int64]]:
        """Split -> its rows' numbers, in their order; splits without a row are not there."""
        splits = np.array(self._whole["split"].to_pylist(), dtype=object)
        return {str(name): np.flatnonzero(splits == name) for name in dict.fromkeys(splits)}

    def files(self, per_file: int) -> Iterator[tuple[str, int, int, NDArray[np.int64]]]:
        """(split, number of the file, files of the split, rows' numbers), for exports of `per_file` images a file."""
        for split, rows in self.splits.items():
            parts = range(0, len(rows), per_file)
            for number, start in enumerate(parts):
                yield split, number, len(parts), rows[start : start + per_file]

    def read(
        self, rows: Sequence[int] | NDArray[np.int64]
    ) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Rows without their places, and the bytes of their images, exactly as served.

        Raises:
            ManifestError: for the first that can't be read or has another hash, unless such are left out.
        """
        for row, data, _ in self._checked(rows, None):
            yield row, data

    def decode(
        self, rows: Sequence[int] | NDArray[np.int64]
    ) -> Iterator[tuple[dict[str, Any], bytes, Image.Image]]:
        """The same with the pixels: 8-bit RGB, upright; see `curate.images.decode.to_rgb`."""
        for row, data, image in self._checked(rows, _decode):
            assert image is not None
            yield row, data, image

    def published(self) -> bytes:
        """A manifest of what came through, without places, in the order that it was read in."""
        return encode_published(self._whole.take(pa.array(self._good, pa.int64())), self.metadata)

    @property
    def metadata(self) -> dict[str, str]:
        """How the dataset was made."""
        return dict(self.manifests[0].metadata)

    def finish(self) -> None:
        """Refuse an export of nothing.

        Raises:
            ManifestError: if no image came through.
        """
        if self.left_out and not self.count:
            raise ManifestError(
                f"none of {len(self._whole)} images could be read; the first: {self.left_out[0]}"
            )
        if not self.count:
            raise ManifestError(f"{self.manifests[0].path} has no rows to export")

    def _checked(
        self,
        rows: Sequence[int] | NDArray[np.int64],
        decode: Callable[[bytes, str], Image.Image] | None,
    ) -> Iterator[tuple[dict[str, Any], bytes, Image.Image | None]]:
        for number in rows:
            (row,) = self._whole.slice(int(number), 1).to_pylist()
            manifest, place = self.manifests[self._manifest_N[number]], int(self._row_N[number])
            where = f"{manifest.path} row {place}"
            try:
                data = manifest.read_bytes(place)
                if (digest := hashlib.sha256(data).hexdigest()) != row["sha256"]:
                    raise ManifestError(
                        f"{where}: its bytes hash to {digest}, not to {row['sha256']}; fetch it again"
                    )
                image = decode(data, where) if decode else None
            except ManifestError as error:
                if not self._skip:
                    raise ManifestError(
                        f"{error}, or leave such images out with --skip-damaged"
                    ) from error
                self.left_out.append(str(error))
            else:
                self.count += 1
                self._good.append(int(number))
                yield (
                    {name: value for name, value in row.items() if name not in PLACES},
                    data,
                    image,
                )
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, len(self._whole))


def name_of(row: dict[str, Any]) -> str:
    """A row's file name: its id, and the extension of its true format."""
    return f"{row['id']}.{EXTENSIONS.get(row['format'], 'bin')}"


def to_png(image: Image.Image) -> bytes:
    """Pixels as the bytes of a PNG file, at the compression level that OpenCV writes."""
    sink = io.BytesIO()
    image.save(sink, "PNG", compress_level=PNG_LEVEL)
    return sink.getvalue()


def _decode(data: bytes, where: str) -> Image.Image:
    try:
        with open_image(io.BytesIO(data)) as image:
            return to_rgb(image)
    except ImageError as error:
        raise ManifestError(f"{where} can't be decoded: {error}; fetch it again") from error
