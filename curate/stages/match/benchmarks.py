"""Which images show a part of a benchmark image, whole or cropped, resized, compressed again or mirrored."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.config import shipped_files
from curate.errors import RecipeError
from curate.stages.match.keypoints import KEYPOINT

__all__ = ["AGREEING", "BENCHMARK", "USUAL", "Benchmarks"]

USUAL = {
    "BSDS500": 500, "CBSD68": 68, "DIV2K-val": 100, "Kodak24": 24, "LIVE1": 29, "Manga109": 109, "McMaster": 18,
    "Rain100H": 100, "Rain100L": 100, "Set14": 14, "Set5": 5, "Urban100": 100, "classic5": 5,
}  # fmt: skip
"""Benchmarks that restorers are usually compared by, and how many images each has. BSD68 is CBSD68 in grey."""

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

_TOGETHER = 128
"""Images whose keypoints are looked up at once."""

_COLUMN_BITS, _ROW_BITS = np.uint64(0x5555_5555_5555_5555), np.uint64(0x00FF_00FF_00FF_00FF)
_MIRRORS = ((np.uint64(0), (1, 1)), (_COLUMN_BITS, (-1, 1)), (_ROW_BITS, (1, -1)))
"""What turning over does to a description, whose odd frequencies change their sign, and to places: not at all,
left and right, top and bottom."""


@dataclass(frozen=True)
class Benchmarks:
    """The keypoints of benchmark images, ready to be looked up."""

    table: pa.Table
    """Rows of BENCHMARK."""
    digests: tuple[str, ...] = ()
    """SHA-256 of each list's bytes, in their order."""

    @classmethod
    def load(cls, names: Sequence[str]) -> Benchmarks:
        """Read lists: `shipped` for those that come with the package, else paths or fsspec URLs.

        Raises:
            RecipeError: if one isn't there, or is no such list.
        """
        read = list(_read(names))
        table = pa.concat_tables(
            [BENCHMARK.empty_table(), *(_parse(path, data) for path, data in read)]
        )
        return cls(table, tuple(hashlib.sha256(data).hexdigest() for _, data in read))

    def coverage(self) -> list[dict[str, Any]]:
        """Which benchmarks are looked for: `benchmark`, how many images are `listed`, and how many it has, if known.

        The usual ones of which none is listed are told, too. Names count without case and punctuation: `div2k_val` is
        DIV2K-val.
        """
        listed = Counter(self.table["benchmark"].to_pylist())
        usual = {_plain(name): (name, images) for name, images in USUAL.items()}
        unseen = [name for plain, (name, _) in usual.items() if plain not in map(_plain, listed)]
        return [
            {
                "benchmark": name,
                "listed": listed[name],
                "images": usual.get(_plain(name), (name, None))[1],
            }
            for name in sorted([*listed, *unseen], key=str.casefold)
        ]

    def match(self, images: Sequence[tuple[bytes, int, int]]) -> list[str | None]:
        """For each image `benchmark/image` that most of its keypoints agree on, None where too few do.

        Args:
            images: keypoints as bytes of KEYPOINT, width and height of each.
        """
        if not len(self._bits):
            return [None] * len(images)
        blocks = (images[start : start + _TOGETHER] for start in range(0, len(images), _TOGETHER))
        return [named for block in blocks for named in self._match(block)]

    def _match(self, images: Sequence[tuple[bytes, int, int]]) -> Iterator[str | None]:
        found = [np.frombuffer(keypoints, KEYPOINT) for keypoints, _, _ in images]
        image_K = np.repeat(np.arange(len(found)), [len(keypoints) for keypoints in found])
        bits_K = np.concatenate([keypoints["bits"].astype(np.uint64) for keypoints in found])
        place_K3 = np.concatenate([_places(found[n], *size) for n, (_, *size) in enumerate(images)])
        best, named = [AGREEING - 1] * len(images), [-1] * len(images)
        for turned, sign in _MIRRORS:
            one, other = self._near(bits_K ^ turned)
            pair = image_K[one] * len(self.table) + self._image[other]
            order = np.argsort(pair, kind="stable")
            for of_pair in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1):
                if len(of_pair) < AGREEING:
                    continue
                image, listed = divmod(int(pair[of_pair[0]]), len(self.table))
                if len(of_pair) <= best[image]:
                    continue
                ours, theirs = place_K3[one[of_pair]] * [*sign, 1], self._place[other[of_pair]]
                agreeing = _agreeing(ours, theirs, best[image])
                if agreeing > best[image]:
                    best[image], named[image] = agreeing, listed
        names = self.table.select(["benchmark", "image"]).to_pylist() if max(named) >= 0 else []
        return ("/".join(names[listed].values()) if listed >= 0 else None for listed in named)

    def _near(self, bits_K: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of (keypoint, benchmark keypoint) within the radius; each keypoint once for each benchmark image."""
        ones, others = [], []
        bytes_K8 = self._deal(bits_K)
        for (first, second), (order, starts) in self._index.items():
            key_K = _key(bytes_K8, first, second)
            start_K = starts[key_K]
            count_K = starts[key_K + 1] - start_K
            one = np.repeat(np.arange(len(bits_K)), count_K)
            other = order[
                np.arange(len(one)) + np.repeat(start_K - (np.cumsum(count_K) - count_K), count_K)
            ]
            near = np.bitwise_count(bits_K[one] ^ self._bits[other]) <= _RADIUS
            ones.append(one[near])
            others.append(other[near])
        one, other = np.concatenate(ones), np.concatenate(others)
        distance = np.bitwise_count(bits_K[one] ^ self._bits[other])
        nearest_first = np.lexsort((other, distance, one))
        one, other = one[nearest_first], other[nearest_first]
        _, nearest = np.unique(one * len(self.table) + self._image[other], return_index=True)
        return one[nearest], other[nearest]

    def _deal(self, bits_N: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Descriptions as eight bytes, to which the bits are dealt, those that vary most in the lists first."""
        bits_N64 = np.unpackbits(bits_N.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
        dealt = bits_N64[:, self._liveliest.reshape(8, 8).T].reshape(-1, 64)
        return np.packbits(dealt, axis=1)

    @cached_property
    def _keypoints(self) -> list[NDArray[np.void]]:
        return [np.frombuffer(data, KEYPOINT) for data in self.table["keypoints"].to_pylist()]

    @cached_property
    def _bits(self) -> NDArray[np.uint64]:
        return np.concatenate(
            [
                np.empty(0, np.uint64),
                *(found["bits"].astype(np.uint64) for found in self._keypoints),
            ]
        )

    @cached_property
    def _image(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.table)), [len(found) for found in self._keypoints])

    @cached_property
    def _place(self) -> NDArray[np.float64]:
        sizes = zip(self.table["width"].to_pylist(), self.table["height"].to_pylist(), strict=True)
        return np.concatenate(
            [_places(found, *size) for found, size in zip(self._keypoints, sizes, strict=True)]
        )

    @cached_property
    def _liveliest(self) -> NDArray[np.intp]:
        """The 64 bits, those first that vary most."""
        share_64 = np.unpackbits(
            self._bits.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1
        ).mean(axis=0)
        return np.argsort(np.abs(share_64 - 0.5), kind="stable")

    @cached_property
    def _index(self) -> dict[tuple[int, int], tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """For any two of the eight bytes the order by them, and where in it each of their 65,536 values begins.

        Two descriptions that differ in 6 bits at most have two bytes in common at least.
        """
        bytes_N8 = self._deal(self._bits)
        index = {}
        for first, second in combinations(range(8), 2):
            key_N = _key(bytes_N8, first, second)
            order = np.argsort(key_N, kind="stable").astype(np.int32)
            index[first, second] = (
                order,
                np.searchsorted(key_N[order], np.arange(2**16 + 1)).astype(np.int32),
            )
        return index


def _key(bytes_N8: NDArray[np.uint8], first: int, second: int) -> NDArray[np.int32]:
    return bytes_N8[:, first].astype(np.int32) * 256 + bytes_N8[:, second]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _places(found: NDArray[np.void], width: int, height: int) -> NDArray[np.float64]:
    """x and y in sides of the square that has the image's area, and log2 of the size in 16ths, shape (keypoints, 3)."""
    x, y = found["x"] / 255 * (width / height) ** 0.5, found["y"] / 255 * (height / width) ** 0.5
    return np.stack([x, y, found["scale"].astype(np.float64)], axis=1)


def _agreeing(ours_M3: NDArray[np.float64], theirs_M3: NDArray[np.float64], more_than: int) -> int:
    """The most pairs of blobs that one scale and shift maps onto each other; those at one place count once.

    `more_than` if no more do.
    """
    one, two = np.triu_indices(len(ours_M3), 1)
    lengths = [np.hypot(*(places[one, :2] - places[two, :2]).T) for places in (ours_M3, theirs_M3)]
    far = np.minimum(*lengths) > _APART
    one, scale = one[far], lengths[1][far] / lengths[0][far]
    sound = (scale > _SCALES[0]) & (scale < _SCALES[1])
    one, scale = one[sound], scale[sound, None]
    shift = theirs_M3[one, :2] - scale * ours_M3[one, :2]
    beside = theirs_M3[None, :, :2] - scale[:, None] * ours_M3[None, :, :2] - shift[:, None]
    size = theirs_M3[None, :, 2] - ours_M3[None, :, 2] - 16 * np.log2(scale)
    fits = (np.hypot(beside[..., 0], beside[..., 1]) < _TOLERANCE * np.maximum(1, scale)) & (
        np.abs(size) < _HALF
    )
    best, votes = more_than, fits.sum(axis=1)
    likely = np.argsort(-votes, kind="stable")
    for agreeing in dict.fromkeys(row.tobytes() for row in fits[likely[votes[likely] > best]]):
        fitting = np.frombuffer(agreeing, np.bool_)
        if fitting.sum() <= best:
            break
        cells = (
            (places[fitting, :2] / (_TOLERANCE / 2)).round() for places in (ours_M3, theirs_M3)
        )
        best = max(best, min(len(np.unique(cell, axis=0)) for cell in cells))
    return best


def _read(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if name == _SHIPPED:
            for file in shipped_files("benchmarks").values():
                yield str(file), file.read_bytes()
            continue
        try:
            with fsspec.open(name, "rb") as stream:
                yield name, stream.read()
        except (OSError, ImportError, ValueError) as error:
            raise RecipeError(
                f"select.benchmarks: can't read {name} ({error}); name {_SHIPPED!r}, or a file that"
                "  curate decontaminate build  wrote"
            ) from error


def _parse(path: str, data: bytes) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(data)).select(BENCHMARK.names).cast(BENCHMARK)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise RecipeError(
            f"select.benchmarks: {path} is no list of  curate decontaminate build: {error}"
        ) from error
