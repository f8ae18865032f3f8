"""Which images are the same picture, and which of them to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.recipe import Dedup
from curate.stages.select.hamming_links import components, hamming_links
from curate.stages.select.seeded_order import id_numbers

__all__ = ["DUPLICATE_COLUMNS", "Clusters", "find_clusters", "looks_like", "mirror_hash"]

DUPLICATE_COLUMNS = ("id", "sha256", "pixel_sha256", "phash", "pixels", "bpp")
"""Columns that `find_clusters` reads."""

_PLAIN = 16
"""A hash with fewer bits set is of a plain picture, whose coefficients are all alike: it tells nothing."""
_BLOCK = 4096
"""Embeddings, or hashes, that are held against others at once."""


@dataclass(frozen=True)
class Clusters:
    """A partition of the rows."""

    label_N: NDArray[np.int32]
    """Number of each row's cluster."""
    best_N: NDArray[np.int64]
    """Row of the image that stands for each row's cluster: its own where it is alone or the best."""

    def shared(self) -> NDArray[np.bool_]:
        """Which rows are not alone in their cluster."""
        return (np.bincount(self.label_N) > 1)[self.label_N]


def find_clusters(
    rows: pa.Table,
    config: Dedup,
    vectors_ND: NDArray[np.float32] | None = None,
    rank_N: NDArray[np.int8] | None = None,
) -> Clusters:
    """Put rows that show the same picture into one cluster; what two rows have in common with a third joins them too.

    Best is the one with the highest rank; of those, with the most pixels; of those, with the most bits per pixel;
    of those, with the smallest id.

    Args:
        rows: with the columns of DUPLICATE_COLUMNS; nulls are like nothing.
        config: what counts as the same.
        vectors_ND: embeddings of length 1, for `config.semantic`; rows of zeros are like nothing.
        rank_N: all alike by default.
    """
    links = [np.empty((0, 2), np.int64)]
    if config.exact:
        links += [_equal(rows["sha256"]), _equal(rows["pixel_sha256"])]
    if config.perceptual is not None:
        links.append(_alike(rows["phash"], config.perceptual, config.mirrored))
    if config.semantic is not None and vectors_ND is not None:
        links.append(_near(vectors_ND, config.semantic))
    label_N = components(np.concatenate(links), len(rows))
    pixels_N, bpp_N = (_numbers(rows[name]) for name in ("pixels", "bpp"))
    rank_N = np.zeros(len(rows), np.int8) if rank_N is None else rank_N
    order = np.lexsort((id_numbers(rows["id"]), -bpp_N, -pixels_N, -rank_N))
    _, first = np.unique(label_N[order], return_index=True)
    return Clusters(label_N, order[first][label_N])


def looks_like(
    hashes: pa.ChunkedArray, other_M: NDArray[np.uint64], radius: int, mirrored: bool
) -> NDArray[np.bool_]:
    """Which perceptual hashes are within the radius of any of some others; those of plain pictures never are.

    Args:
        hashes: uint64, null for rows that are like nothing.
        other_M: what they are held against.
        radius: bits that may differ.
        mirrored: whether the mirror images of those count, too.
    """
    other_M = other_M[np.bitwise_count(other_M) >= _PLAIN]
    if mirrored:
        other_M = np.unique(np.concatenate([other_M, mirror_hash(other_M)]))
    hash_N = pc.fill_null(hashes, 0).to_numpy()
    alike_N = np.zeros(len(hash_N), bool)
    telling_K = np.flatnonzero(np.bitwise_count(hash_N) >= _PLAIN)
    for first in range(0, len(other_M), _BLOCK):
        differ_KM = np.bitwise_count(
            hash_N[telling_K, None] ^ other_M[None, first : first + _BLOCK]
        )
        alike_N[telling_K] |= (differ_KM <= radius).any(axis=1)
    return alike_N


def mirror_hash(hash_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The perceptual hash of the mirrored picture, but for some bits: odd horizontal frequencies change their sign."""
    return hash_N ^ np.uint64(0x5555_5555_5555_5555)


def _equal(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Links from each row to the first that has the same value."""
    place = np.flatnonzero(pc.is_valid(values).to_numpy())
    codes = (
        values.drop_null()
        .dictionary_encode()
        .unify_dictionaries()
        .combine_chunks()
        .indices.to_numpy()
    )
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return _links(place, place[first[inverse]])


def _alike(hashes: pa.ChunkedArray, radius: int, mirrored: bool) -> NDArray[np.int64]:
    """Links between rows whose perceptual hashes are within the radius, and between rows with equal ones."""
    place = np.flatnonzero(pc.is_valid(hashes).to_numpy())
    hash_N = hashes.drop_null().to_numpy()
    telling = np.bitwise_count(hash_N) >= _PLAIN
    place, hash_N = place[telling], hash_N[telling]
    values, first, inverse = np.unique(hash_N, return_index=True, return_inverse=True)
    near = hamming_links(
        np.concatenate([values, mirror_hash(values)]) if mirrored else values, radius
    )
    near = place[first][near % max(len(values), 1)]
    return np.concatenate([_links(place, place[first[inverse]]), near])


def _near(vectors_ND: NDArray[np.float32], cosine: float) -> NDArray[np.int64]:
    """Links between rows whose embeddings have at least that cosine; compares all with all, a block at a time."""
    links = [np.empty((0, 2), np.int64)]
    for first in range(0, len(vectors_ND), _BLOCK):
        for other in range(0, first + 1, _BLOCK):
            product = vectors_ND[first : first + _BLOCK] @ vectors_ND[other : other + _BLOCK].T
            one, two = np.nonzero(product >= cosine)
            links.append(_links(one + first, two + other))
    return np.concatenate(links)


def _links(one_M: NDArray[np.int64], two_M: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([one_M, two_M], axis=1)[one_M != two_M]


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    return pc.fill_null(values.cast(pa.float64()), 0.0).to_numpy()
