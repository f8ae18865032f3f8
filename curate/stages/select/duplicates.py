"""Clusters of images that show the same picture, and the best image of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.recipe import Dedup
from curate.stages.select.hamming_links import components, hamming_links
from curate.stages.select.seeded_order import id_numbers

__all__ = ["DUPLICATE_COLUMNS", "Clusters", "find_clusters", "match_hashes", "mirror_hash"]

_LOSS_COLUMNS = ("spectral_cutoff", "blockiness", "jpeg_quality")
DUPLICATE_COLUMNS = ("id", "sha256", "pixel_sha256", "phash", "pixels", "bpp", *_LOSS_COLUMNS)
"""Columns that `find_clusters` reads; those of _LOSS_COLUMNS may be missing."""

_PLAIN = 16
"""Bits that a usable hash has set; plain pictures have fewer, as their coefficients are alike."""
_AS_MUCH_DETAIL = 0.8
_FULL_SPECTRUM = 0.75
"""Share of the Nyquist frequency above which `spectral_cutoff` finds no end."""
_BLOCKINESS_OF_QUALITY = ((10, 2.6), (50, 1.6), (90, 1.2), (100, 1.0))
"""JPEG quality and mean blockiness (docs/science.md)."""
_BLOCK = 4096
"""Embeddings, or hashes, that are compared at once."""


@dataclass(frozen=True)
class Clusters:
    """A partition of the rows."""

    label_N: NDArray[np.int32]
    """Number of each row's cluster."""
    best_N: NDArray[np.int64]
    """Row of the best image of each row's cluster: its own where it is alone or the best."""

    def shared(self) -> NDArray[np.bool_]:
        """Return whether each row shares its cluster with others."""
        return (np.bincount(self.label_N) > 1)[self.label_N]


def find_clusters(
    rows: pa.Table,
    config: Dedup,
    vectors_ND: NDArray[np.float32] | None = None,
    rank_N: NDArray[np.int8] | None = None,
) -> Clusters:
    """Put rows that show the same picture into one cluster; so do rows that a third row links.

    Best is the one with the highest rank; of those, with the least loss (see `_loss_order`); of
    those, with the smallest id.

    Args:
        rows: with the columns of DUPLICATE_COLUMNS; nulls match nothing.
        config: what counts as the same.
        vectors_ND: embeddings of length 1, for `config.semantic`; rows of zeros match nothing.
        rank_N: equal by default.
    """
    links = [np.empty((0, 2), np.int64)]
    if config.exact:
        links += [_link_equal(rows["sha256"]), _link_equal(rows["pixel_sha256"])]
    if config.perceptual is not None:
        links.append(_link_hashes(rows["phash"], config.perceptual, config.mirrored))
    if config.semantic is not None and vectors_ND is not None:
        links.append(_link_vectors(vectors_ND, config.semantic))
    label_N = components(np.concatenate(links), len(rows))
    # sort by quality, best first: the first row of each label stands for its cluster
    rank_N = np.zeros(len(rows), np.int8) if rank_N is None else rank_N
    keys: list[NDArray[Any]] = [id_numbers(rows["id"]), *_loss_order(rows, label_N), -rank_N]
    order = np.lexsort(keys)
    _, first = np.unique(label_N[order], return_index=True)
    return Clusters(label_N, order[first][label_N])


def _loss_order(rows: pa.Table, label_N: NDArray[np.int32]) -> list[NDArray[np.float64]]:
    """Return keys that sort copies of a picture by their loss; the last key decides first.

    - Detail: pixels x (`spectral_cutoff` / `blockiness`)^2, where enlarging adds none. An end of
      the spectrum may lie a quarter lower than it was found. Copies count as equal down to 4/5 of
      the most in their cluster.
    - Of those, one whose spectrum is full: no enlarged copy.
    - Of those, one that shows no more blocks than its own JPEG quality leaves: no re-save.
    - Of those, the one with the most pixels, then with the most bits per pixel.
    """
    pixels_N, bpp_N = _numbers(rows, "pixels"), _numbers(rows, "bpp")
    cutoff_N = _numbers(rows, "spectral_cutoff", 1.0)
    blocks_N = np.maximum(_numbers(rows, "blockiness", 1.0), 1.0)
    quality_N = _numbers(rows, "jpeg_quality", 100.0)
    enlarged_N = cutoff_N < _FULL_SPECTRUM
    cutoff_N = np.where(enlarged_N, _FULL_SPECTRUM * cutoff_N, cutoff_N)
    detail_N = pixels_N * (cutoff_N / blocks_N) ** 2
    most_L = np.zeros(int(label_N.max(initial=-1)) + 1)
    np.maximum.at(most_L, label_N, detail_N)
    poorer_N = detail_N < _AS_MUCH_DETAIL * most_L[label_N]
    # in steps of a tenth, so that noise of the measure decides nothing
    excess_N = np.floor(10 * np.maximum(blocks_N / _expected_blockiness(quality_N) - 1, 0))
    return [-bpp_N, -pixels_N, excess_N, enlarged_N.astype(float), poorer_N.astype(float)]


def _expected_blockiness(quality_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the blockiness that one compression as JPEG leaves in photographs."""
    qualities, blockiness = zip(*_BLOCKINESS_OF_QUALITY, strict=True)
    return np.asarray(np.interp(quality_N, qualities, blockiness))


def match_hashes(
    hashes: pa.ChunkedArray, other_M: NDArray[np.uint64], radius: int, mirrored: bool
) -> NDArray[np.bool_]:
    """Return whether each perceptual hash is within the radius of any of the others.

    Hashes of plain pictures never are.

    Args:
        hashes: uint64, null for rows that match nothing.
        other_M: hashes to compare with.
        radius: bits that may differ.
        mirrored: whether the mirror images of those count, too.
    """
    other_M = other_M[np.bitwise_count(other_M) >= _PLAIN]
    if mirrored:
        other_M = np.unique(np.concatenate([other_M, mirror_hash(other_M)]))
    hash_N = pc.fill_null(hashes, 0).to_numpy()
    matched_N = np.zeros(len(hash_N), bool)
    usable_K = np.flatnonzero(np.bitwise_count(hash_N) >= _PLAIN)
    # Hamming distances of all pairs, a block of columns at a time
    for first in range(0, len(other_M), _BLOCK):
        block = other_M[None, first : first + _BLOCK]
        distance_KM = np.bitwise_count(hash_N[usable_K, None] ^ block)
        matched_N[usable_K] |= (distance_KM <= radius).any(axis=1)
    return matched_N


def mirror_hash(hash_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the perceptual hash of the mirrored picture, but for some bits.

    Odd horizontal frequencies change their sign.
    """
    return hash_N ^ np.uint64(0x5555_5555_5555_5555)


def _link_equal(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return links from each row to the first that has the same value."""
    place = np.flatnonzero(pc.is_valid(values).to_numpy())
    encoded = values.drop_null().dictionary_encode().unify_dictionaries().combine_chunks()
    codes = encoded.indices.to_numpy()
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return _links(place, place[first[inverse]])


def _link_hashes(hashes: pa.ChunkedArray, radius: int, mirrored: bool) -> NDArray[np.int64]:
    """Return links between rows whose perceptual hashes are equal or within the radius."""
    place = np.flatnonzero(pc.is_valid(hashes).to_numpy())
    hash_N = hashes.drop_null().to_numpy()
    usable = np.bitwise_count(hash_N) >= _PLAIN
    place, hash_N = place[usable], hash_N[usable]
    values, first, inverse = np.unique(hash_N, return_index=True, return_inverse=True)
    # mirrored hashes follow the others, so a node's row is its number modulo their count
    nodes = np.concatenate([values, mirror_hash(values)]) if mirrored else values
    near = place[first][hamming_links(nodes, radius) % max(len(values), 1)]
    return np.concatenate([_links(place, place[first[inverse]]), near])


def _link_vectors(vectors_ND: NDArray[np.float32], cosine: float) -> NDArray[np.int64]:
    """Return links between rows whose embeddings have at least that cosine.

    Compares all with all, a block at a time.
    """
    links = [np.empty((0, 2), np.int64)]
    for first in range(0, len(vectors_ND), _BLOCK):
        for other in range(0, first + 1, _BLOCK):
            product = vectors_ND[first : first + _BLOCK] @ vectors_ND[other : other + _BLOCK].T
            one, two = np.nonzero(product >= cosine)
            links.append(_links(one + first, two + other))
    return np.concatenate(links)


def _links(one_M: NDArray[np.int64], two_M: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([one_M, two_M], axis=1)[one_M != two_M]


def _numbers(rows: pa.Table, name: str, default: float = 0.0) -> NDArray[np.float64]:
    """Return a column, or the default where a row or the table has no value."""
    if name not in rows.column_names:
        return np.full(len(rows), default)
    return pc.fill_null(rows[name].cast(pa.float64()), default).to_numpy()
