"""Which images show a part of a benchmark image, whole or cropped, resized, compressed again or mirrored."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.errors import RecipeError
from curate.manifest.schema import KEYPOINT
from curate.select.hamming import deal_bits

__all__ = ["AGREEING", "BENCHMARK", "Benchmarks"]

BENCHMARK = pa.schema(
    [
        ("benchmark", pa.string()),
        ("image", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("keypoints", pa.binary()),
    ]
)
"""Columns of a benchmark's list."""

_SHIPPED = "shipped"
_RADIUS = 6
"""Bits in which two descriptions of the same blob may differ."""
AGREEING = 4
"""Blobs that must lie as one similarity has them for two images to show the same."""
_TOLERANCE = 0.06
"""How far from where it should be a blob may lie, in sides of the square with the image's area."""
_APART = 0.1
"""Distance of the two blobs that a similarity is told by, in the same unit."""
_SCALES = (0.3, 3.0)
"""Scales that are tried: a part under a tenth of the area is not looked for."""
_HALF = 8
"""Sixteenths of an octave, by which a blob's size may differ from the similarity's scale."""

_COLUMN_BITS, _ROW_BITS = np.uint64(0x5555_5555_5555_5555), np.uint64(0x00FF_00FF_00FF_00FF)
_MIRRORS = ((np.uint64(0), (1, 1)), (_COLUMN_BITS, (-1, 1)), (_ROW_BITS, (1, -1)))
"""What turning over does to a description, whose odd frequencies change their sign, and to places: not at all,
left and right, top and bottom."""


@dataclass(frozen=True)
class Benchmarks:
    """The keypoints of benchmark images, ready to be looked up."""

    table: pa.Table
    """Rows of BENCHMARK."""

    @classmethod
    def load(cls, names: Sequence[str]) -> Benchmarks:
        """Read lists: `shipped` for those that come with the package, else paths or fsspec URLs.

        Raises:
            RecipeError: if one isn't there, or is no such list.
        """
        return cls(pa.concat_tables([BENCHMARK.empty_table(), *(_parse(path, data) for path, data in _read(names))]))

    @staticmethod
    def fingerprint(names: Sequence[str]) -> list[str]:
        """SHA-256 of each list's bytes.

        Raises:
            RecipeError: if one can't be read.
        """
        return [hashlib.sha256(data).hexdigest() for _, data in _read(names)]

    def matches(self, rows: pa.Table) -> pa.Array:
        """`benchmark/image` that each row shows a part of, null for none; rows with a reason aren't looked at.

        Args:
            rows: with columns reason, width, height, keypoints.
        """
        found: list[str | None] = [None] * len(rows)
        if len(self._bits):
            looked_at = np.flatnonzero(pc.is_null(rows["reason"]).to_numpy())
            columns = (rows[name].take(pa.array(looked_at)).to_pylist() for name in ("keypoints", "width", "height"))
            for row, data, width, height in zip(looked_at, *columns, strict=True):
                found[row] = self.match(data, width, height)
        return pa.array(found, pa.string())

    def match(self, keypoints: bytes | None, width: int, height: int) -> str | None:
        """The benchmark image that most keypoints of an image agree on, if enough do."""
        if not keypoints:
            return None
        ours = np.frombuffer(keypoints, KEYPOINT)
        place_K3 = _places(ours, width, height)
        best, named = AGREEING - 1, None
        for turned, sign in _MIRRORS:
            one, other = self._near(ours["bits"].astype(np.uint64) ^ turned)
            votes = np.bincount(self._image[other], minlength=len(self.table))
            for image in np.flatnonzero(votes > best):
                of_image = self._image[other] == image
                agreeing = _agreeing(
                    place_K3[one[of_image]] * [*sign, 1], self._place[other[of_image]], at_least=best + 1
                )
                if agreeing > best:
                    best = agreeing
                    named = f"{self.table['benchmark'][image]}/{self.table['image'][image]}"
        return named

    def _near(self, bits_K: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of (keypoint, benchmark keypoint) within the radius; each keypoint once for each benchmark image."""
        ones, others = [], []
        for band, order, keys in self._bands:
            start, end = (np.searchsorted(keys, bits_K & band, side=side) for side in ("left", "right"))
            counts = end - start
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            ones.append(np.repeat(np.arange(len(bits_K)), counts))
            others.append(order[np.repeat(start, counts) + within])
        one, other = np.concatenate(ones), np.concatenate(others)
        distance = np.bitwise_count(bits_K[one] ^ self._bits[other])
        near = distance <= _RADIUS
        one, other, distance = one[near], other[near], distance[near]
        order = np.lexsort((other, distance, one))
        one, other = one[order], other[order]
        _, first = np.unique(one * len(self.table) + self._image[other], return_index=True)
        return one[first], other[first]

    @cached_property
    def _keypoints(self) -> list[NDArray[np.void]]:
        return [np.frombuffer(data, KEYPOINT) for data in self.table["keypoints"].to_pylist()]

    @cached_property
    def _bits(self) -> NDArray[np.uint64]:
        return np.concatenate([np.empty(0, np.uint64), *(found["bits"].astype(np.uint64) for found in self._keypoints)])

    @cached_property
    def _image(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.table)), [len(found) for found in self._keypoints])

    @cached_property
    def _place(self) -> NDArray[np.float64]:
        sizes = zip(self.table["width"].to_pylist(), self.table["height"].to_pylist(), strict=True)
        return np.concatenate([_places(found, *size) for found, size in zip(self._keypoints, sizes, strict=True)])

    @cached_property
    def _bands(self) -> list[tuple[np.uint64, NDArray[np.intp], NDArray[np.uint64]]]:
        """Bands of bits, one of which two descriptions within the radius share, each with the order by its bits."""
        bands = []
        for band in deal_bits(self._bits, _RADIUS):
            order = np.argsort(self._bits & band, kind="stable")
            bands.append((band, order, (self._bits & band)[order]))
        return bands


def _places(found: NDArray[np.void], width: int, height: int) -> NDArray[np.float64]:
    """x and y in sides of the square that has the image's area, and log2 of the size in 16ths, shape (keypoints, 3)."""
    x, y = found["x"] / 255 * (width / height) ** 0.5, found["y"] / 255 * (height / width) ** 0.5
    return np.stack([x, y, found["scale"].astype(np.float64)], axis=1)


def _agreeing(ours_M3: NDArray[np.float64], theirs_M3: NDArray[np.float64], at_least: int) -> int:
    """The most pairs of blobs that one scale and shift maps onto each other; those at one place count once."""
    one, two = np.triu_indices(len(ours_M3), 1)
    lengths = [np.hypot(*(places[one, :2] - places[two, :2]).T) for places in (ours_M3, theirs_M3)]
    far = np.minimum(*lengths) > _APART
    one, scale = one[far], lengths[1][far] / lengths[0][far]
    sound = (scale > _SCALES[0]) & (scale < _SCALES[1])
    one, scale = one[sound], scale[sound, None]
    shift = theirs_M3[one, :2] - scale * ours_M3[one, :2]
    beside = theirs_M3[None, :, :2] - scale[:, None] * ours_M3[None, :, :2] - shift[:, None]
    size = theirs_M3[None, :, 2] - ours_M3[None, :, 2] - 16 * np.log2(scale)
    fits = (np.hypot(beside[..., 0], beside[..., 1]) < _TOLERANCE * np.maximum(1, scale)) & (np.abs(size) < _HALF)
    best = 0
    for agreeing in np.unique(fits[fits.sum(axis=1) >= at_least], axis=0):
        cells = ((places[agreeing, :2] / (_TOLERANCE / 2)).round() for places in (ours_M3, theirs_M3))
        best = max(best, min(len(np.unique(cell, axis=0)) for cell in cells))
    return best


def _read(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        paths = _shipped() if name == _SHIPPED else [name]
        for path in paths:
            try:
                with fsspec.open(str(path), "rb") as file:
                    yield str(path), file.read()
            except (OSError, ImportError, ValueError) as error:
                raise RecipeError(
                    f"select.benchmarks: can't read {path} ({error}); name {_SHIPPED!r}, or a file that  curate "
                    "decontaminate build  wrote"
                ) from error


def _shipped() -> list[Path]:
    """The lists that come with the package: from its source, or where it is installed."""
    folders = [
        Path(__file__).resolve().parents[2] / "manifests/benchmarks",
        Path(sys.prefix) / "share/curate/benchmarks",
    ]
    found = next((paths for folder in folders if (paths := sorted(folder.glob("*.parquet")))), [])
    if not found:
        raise RecipeError(f"select.benchmarks: no lists in {' or '.join(map(str, folders))}: install curate again")
    return found


def _parse(path: str, data: bytes) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(data)).select(BENCHMARK.names).cast(BENCHMARK)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise RecipeError(f"select.benchmarks: {path} is no list of  curate decontaminate build: {error}") from error
