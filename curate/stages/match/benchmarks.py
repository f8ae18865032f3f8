"""Benchmark lists, and matches with benchmark images: whole, cropped, resized or mirrored."""

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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.config import shipped_files
from curate.errors import RecipeError
from curate.stages.match.keypoints import KEYPOINT
from curate.storage.places import open_file

__all__ = ["BENCHMARK", "MIN_AGREEING", "USUAL", "Benchmarks"]

USUAL = {
    "BSDS500": 500, "CBSD68": 68, "DIV2K-val": 100, "Kodak24": 24, "LIVE1": 29, "Manga109": 109,
    "McMaster": 18, "Rain100H": 100, "Rain100L": 100, "Set14": 14, "Set5": 5, "Urban100": 100,
    "classic5": 5,
}  # fmt: skip
"""Benchmarks that restorers are usually compared by, and their sizes. BSD68 is CBSD68 in grey."""

BENCHMARK = pa.schema(
    {
        "benchmark": pa.string(),
        "image": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "keypoints": pa.binary(),
    }
)
"""Columns of a benchmark's list."""

_SHIPPED = "shipped"
_RADIUS = 6
"""Bits in which two descriptions of the same blob may differ."""
MIN_AGREEING = 4
"""Blobs that one similarity must map onto each other for two images to show the same."""
_TOLERANCE = 0.06
"""Distance that a blob may lie from its mapped place; the unit is the root of the image's area."""
_APART = 0.1
"""Distance of the two blobs that define a similarity, in the same unit."""
_SCALES = (0.3, 3.0)
"""Scales that are tried: parts under a tenth of the area are not searched for."""
_SIZE_TOLERANCE = 8
"""Sixteenths of an octave by which a blob's size may differ from the similarity's scale."""

_BATCH = 128
"""Images whose keypoints are looked up at once."""

_COLUMN_BITS, _ROW_BITS = np.uint64(0x5555_5555_5555_5555), np.uint64(0x00FF_00FF_00FF_00FF)
_MIRRORS = ((np.uint64(0), (1, 1)), (_COLUMN_BITS, (-1, 1)), (_ROW_BITS, (1, -1)))
"""Effect of mirroring on a description, whose odd frequencies change their sign, and on places: not
at all, left and right, top and bottom."""


@dataclass(frozen=True)
class _Keypoints:
    """Keypoints of several images, one image after the other."""

    image_K: NDArray[np.intp]
    """Index of each one's image."""
    bits_K: NDArray[np.uint64]
    place_K3: NDArray[np.float64]
    """x and y in sides of the square with the image's area, and log2 of the size in 16ths."""

    @classmethod
    def join(cls, images: Sequence[tuple[bytes, int, int]]) -> _Keypoints:
        """Join images' keypoints: bytes of KEYPOINT, width and height of each."""
        counts = [len(keypoints) // KEYPOINT.itemsize for keypoints, _, _ in images]
        image_K = np.repeat(np.arange(len(images)), counts)
        all_K = np.frombuffer(b"".join(keypoints for keypoints, _, _ in images), KEYPOINT)
        # sides in units of the root of the image's area
        across = np.array([(width / height) ** 0.5 for _, width, height in images])[image_K]
        down = np.array([(height / width) ** 0.5 for _, width, height in images])[image_K]
        x, y, size = all_K["x"] / 255 * across, all_K["y"] / 255 * down, all_K["scale"] * 1.0
        return cls(image_K, all_K["bits"].astype(np.uint64), np.stack([x, y, size], axis=1))


@dataclass(frozen=True)
class Benchmarks:
    """Keypoints of benchmark images, ready to be looked up."""

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
        # the empty table is for no names at all
        tables, digests = [BENCHMARK.empty_table()], []
        for path, data in _read(names):
            try:
                table = pq.read_table(io.BytesIO(data)).select(BENCHMARK.names).cast(BENCHMARK)
            except (pa.ArrowException, KeyError, ValueError) as error:
                raise RecipeError(
                    f"select.benchmarks: {path} is no list of  curate decontaminate build: {error}"
                ) from error
            tables.append(table)
            digests.append(hashlib.sha256(data).hexdigest())
        return cls(pa.concat_tables(tables), tuple(digests))

    def coverage(self) -> list[dict[str, Any]]:
        """Return the benchmarks of the lists, and the usual ones that no list has.

        Names count without case and punctuation: `div2k_val` is DIV2K-val.

        Returns:
            For each, its name as `benchmark`, the number of images that are `listed`, and the
            number of `images` that it has, if known.
        """
        listed = Counter(self.table["benchmark"].to_pylist())
        plain = {_plain(name) for name in listed}
        names = [*listed, *(name for name in USUAL if _plain(name) not in plain)]
        sizes = {_plain(name): size for name, size in USUAL.items()}
        return [
            {"benchmark": name, "listed": listed[name], "images": sizes.get(_plain(name))}
            for name in sorted(names, key=str.casefold)
        ]

    def match(self, images: Sequence[tuple[bytes, int, int]]) -> list[str | None]:
        """Return for each image the `benchmark/image` that most of its keypoints agree on.

        Args:
            images: keypoints as bytes of KEYPOINT, width and height of each.

        Returns:
            None for images with too few keypoints that agree.
        """
        if not len(self._listed.bits_K):
            return [None] * len(images)
        matches: list[str | None] = []
        for start in range(0, len(images), _BATCH):
            matches += self._match(images[start : start + _BATCH])
        return matches

    def _match(self, images: Sequence[tuple[bytes, int, int]]) -> list[str | None]:
        # each image's best number of agreeing blobs so far, and the benchmark image it is for
        ours, theirs = _Keypoints.join(images), self._listed
        best, matches = [MIN_AGREEING - 1] * len(images), [-1] * len(images)
        for inverted, sign in _MIRRORS:
            one, other = self._near(ours.bits_K ^ inverted)
            # group the pairs of keypoints by image and benchmark image
            pair = ours.image_K[one] * len(self.table) + theirs.image_K[other]
            order = np.argsort(pair, kind="stable")
            for group in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1):
                if len(group) < MIN_AGREEING:
                    continue
                image, listed = divmod(int(pair[group[0]]), len(self.table))
                if len(group) <= best[image]:
                    continue
                place_M3 = ours.place_K3[one[group]] * [*sign, 1]
                agreeing = _count_agreeing(place_M3, theirs.place_K3[other[group]], best[image])
                if agreeing > best[image]:
                    best[image], matches[image] = agreeing, listed
        return [self._names[listed] if listed >= 0 else None for listed in matches]

    def _near(self, bits_K: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return pairs of (keypoint, benchmark keypoint) within the radius.

        Each keypoint occurs once for each benchmark image, with the nearest one there.
        """
        theirs = self._listed
        ones, others = [], []
        bytes_K8 = self._shuffle(bits_K)
        for (first, second), (sorted_N, starts) in self._index.items():
            key_K = _key(bytes_K8, first, second)
            start_K = starts[key_K]
            count_K = starts[key_K + 1] - start_K
            # pair each keypoint with the run of benchmark keypoints that have the same two bytes
            one = np.repeat(np.arange(len(bits_K)), count_K)
            shift_K = start_K - (np.cumsum(count_K) - count_K)
            candidates = sorted_N[np.arange(len(one)) + np.repeat(shift_K, count_K)]
            near = np.bitwise_count(bits_K[one] ^ theirs.bits_K[candidates]) <= _RADIUS
            ones.append(one[near])
            others.append(candidates[near])
        # of each keypoint's pairs with one benchmark image, the first of the nearest
        one, other = np.concatenate(ones), np.concatenate(others)
        distance = np.bitwise_count(bits_K[one] ^ theirs.bits_K[other])
        order = np.lexsort((other, distance, one))
        pair = one[order] * len(self.table) + theirs.image_K[other[order]]
        nearest = order[np.unique(pair, return_index=True)[1]]
        return one[nearest], other[nearest]

    def _shuffle(self, bits_N: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Return descriptions as eight bytes, with the bits that vary most spread evenly."""
        bits_N64 = _unpack(bits_N)[:, self._bit_order.reshape(8, 8).T].reshape(-1, 64)
        return np.packbits(bits_N64, axis=1)

    @cached_property
    def _names(self) -> list[str]:
        columns = (self.table[name].to_pylist() for name in ("benchmark", "image"))
        return list(map("/".join, zip(*columns, strict=True)))

    @cached_property
    def _listed(self) -> _Keypoints:
        columns = (self.table[name].to_pylist() for name in ("keypoints", "width", "height"))
        return _Keypoints.join(list(zip(*columns, strict=True)))

    @cached_property
    def _bit_order(self) -> NDArray[np.intp]:
        """Indices of the 64 bits; those that vary most come first."""
        # a bit varies most where half of the descriptions have it
        share_64 = _unpack(self._listed.bits_K).mean(axis=0)
        return np.argsort(np.abs(share_64 - 0.5), kind="stable")

    @cached_property
    def _index(self) -> dict[tuple[int, int], tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """For any two of the eight bytes, keypoints sorted by them, and the start of each value.

        Two descriptions that differ in 6 bits at most have at least two bytes in common.
        """
        bytes_N8 = self._shuffle(self._listed.bits_K)
        index = {}
        for first, second in combinations(range(8), 2):
            key_N = _key(bytes_N8, first, second)
            order = np.argsort(key_N, kind="stable").astype(np.int32)
            starts = np.searchsorted(key_N[order], np.arange(2**16 + 1)).astype(np.int32)
            index[first, second] = order, starts
        return index


def _key(bytes_N8: NDArray[np.uint8], first: int, second: int) -> NDArray[np.int32]:
    return bytes_N8[:, first].astype(np.int32) * 256 + bytes_N8[:, second]


def _unpack(bits_N: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return descriptions as single bits, shape (N, 64)."""
    return np.unpackbits(bits_N.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _count_agreeing(
    ours_M3: NDArray[np.float64], theirs_M3: NDArray[np.float64], more_than: int
) -> int:
    """Return the most pairs of blobs that one scale and shift maps onto each other.

    Blobs at one place count once. The result is `more_than` if no more agree.
    """
    # a scale from each two pairs whose blobs lie far enough apart
    one, two = np.triu_indices(len(ours_M3), 1)
    lengths = [np.hypot(*(places[one, :2] - places[two, :2]).T) for places in (ours_M3, theirs_M3)]
    far = np.minimum(*lengths) > _APART
    one, scale = one[far], lengths[1][far] / lengths[0][far]
    sound = (scale > _SCALES[0]) & (scale < _SCALES[1])
    one, scale = one[sound], scale[sound, None]
    # which pairs fit each similarity, in place and in size
    shift = theirs_M3[one, :2] - scale * ours_M3[one, :2]
    beside = theirs_M3[None, :, :2] - scale[:, None] * ours_M3[None, :, :2] - shift[:, None]
    near = np.hypot(beside[..., 0], beside[..., 1]) < _TOLERANCE * np.maximum(1, scale)
    size = theirs_M3[None, :, 2] - ours_M3[None, :, 2] - 16 * np.log2(scale)
    fits = near & (np.abs(size) < _SIZE_TOLERANCE)
    # the similarities that most pairs fit come first; each set of pairs is counted once
    best, votes = more_than, fits.sum(axis=1)
    likely = np.argsort(-votes, kind="stable")
    for row in dict.fromkeys(row.tobytes() for row in fits[likely[votes[likely] > best]]):
        fitting = np.frombuffer(row, np.bool_)
        if fitting.sum() <= best:
            break
        # count cells of a grid, so that blobs at one place count once
        counts = []
        for places in (ours_M3, theirs_M3):
            cells = (places[fitting, :2] / (_TOLERANCE / 2)).round()
            counts.append(len(np.unique(cells, axis=0)))
        best = max(best, min(counts))
    return best


def _read(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each list."""
    for name in names:
        if name == _SHIPPED:
            for file in shipped_files("benchmarks").values():
                yield str(file), file.read_bytes()
            continue
        try:
            with open_file(name) as stream:
                yield name, stream.read()
        except (OSError, ImportError, ValueError) as error:
            raise RecipeError(
                f"select.benchmarks: can't read {name} ({error}); name {_SHIPPED!r}, or a file that"
                "  curate decontaminate build  wrote"
            ) from error
