"""Find 64-bit hashes within a Hamming radius of each other, without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["components", "deal_bits", "hamming_links"]

Links = NDArray[np.int64]
"""Pairs of nodes, shape (links, 2)."""

_BITS = np.uint64(1) << np.arange(64, dtype=np.uint64)
_CROWD = 1024
"""Most hashes under one key that are compared pair by pair; more are cut into bands again."""
_DEPTH = 4
"""Most times that a crowd is cut, each time by bits that still differ within it."""
_MANY_LINKS = 4_000_000
"""Links in memory before they are thinned, or twice the hashes if that is more; 16 bytes each."""
_PARTITION_ROWS = 2_000_000
"""Rows of one partition of the shuffle."""


def hamming_links(
    hash_N: NDArray[np.uint64], radius: int, partition_rows: int = _PARTITION_ROWS
) -> Links:
    """Return links within a radius that connect all hashes within that radius of each other.

    Pigeonhole principle: if two 64-bit words differ in at most r bits and are cut into r + 1 bands,
    at least one band is equal. So each hash gets one row per band, the rows are shuffled by band
    and its bits, and only rows that meet there are compared. Bits are dealt to the bands by their
    variance. A crowd that meets (hashes of plain pictures share most bits) is cut into bands again
    by the bits that still differ, and finally chained one by one, in memory linear in the hashes.

    The links may depend on `partition_rows`; their components don't (see `components`).

    Args:
        hash_N: hashes; equal ones are linked too, but are better left out.
        radius: bits that may differ.
        partition_rows: rows of a partition; Dask shuffles more rows than that.
    """
    frame = pd.DataFrame({"hash": hash_N, "node": np.arange(len(hash_N), dtype=np.int64)})
    bands = deal_bits(hash_N, radius)
    rows = len(frame) * len(bands)
    if rows <= partition_rows:
        return _thin(_find(_spread(frame, bands), radius, len(hash_N)), len(hash_N))
    import dask.dataframe as dd  # importing takes a second

    partitions = -(-rows // partition_rows)
    spread = dd.from_pandas(frame, npartitions=partitions, sort=False).map_partitions(
        _spread, bands, meta=_spread(frame[:0], bands)
    )
    links = spread.shuffle(on="key", npartitions=partitions, shuffle_method="tasks").map_partitions(
        lambda part: pd.DataFrame(_find(part, radius, len(hash_N)), columns=["node", "other"]),
        meta={"node": np.int64, "other": np.int64},
        enforce_metadata=False,
    )
    return _thin(links.compute(scheduler="threads").to_numpy(), len(hash_N))


def components(links: Links, nodes: int) -> NDArray[np.int32]:
    """Return the component of each node, numbered by their first node."""
    graph = coo_array(
        (np.ones(len(links), np.bool_), (links[:, 0], links[:, 1])), shape=(nodes, nodes)
    )
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def deal_bits(hash_N: NDArray[np.uint64], radius: int) -> list[np.uint64]:
    """Return masks of radius + 1 bands; bits that vary are dealt to them by their variance.

    Returns one empty band, equal for all, if no two hashes can differ in more than `radius` bits.
    """
    share_64 = np.array([np.count_nonzero(hash_N & bit) for bit in _BITS]) / max(len(hash_N), 1)
    varying = np.argsort(np.abs(share_64 - 0.5), kind="stable")
    varying = varying[(share_64[varying] > 0) & (share_64[varying] < 1)]
    if len(varying) <= radius:
        return [np.uint64(0)]
    bands = [varying[first :: radius + 1] for first in range(radius + 1)]
    return [np.bitwise_or.reduce(_BITS[band]) for band in bands]


def _spread(frame: pd.DataFrame, bands: list[np.uint64]) -> pd.DataFrame:
    """Repeat each hash for each band with a key of band and bits; collisions only cost time."""
    hash_N = frame["hash"].to_numpy()
    keys = [_key(hash_N & band, number) for number, band in enumerate(bands)]
    return pd.DataFrame(
        {
            "key": np.concatenate([np.empty(0, np.uint64), *keys]),
            "hash": np.tile(hash_N, len(bands)),
            "node": np.tile(frame["node"].to_numpy(), len(bands)),
        }
    )


def _key(bits_N: NDArray[np.uint64], band: int) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        mixed = (bits_N + np.uint64(band + 1)) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))


def _find(rows: pd.DataFrame, radius: int, nodes: int, depth: int = 0) -> Links:
    """Return links among rows with equal keys."""
    order = np.argsort(rows["key"].to_numpy(), kind="stable")
    key_N, hash_N, node_N = (rows[name].to_numpy()[order] for name in ("key", "hash", "node"))
    # runs of equal keys: small ones are compared pair by pair, crowds are cut again
    starts = np.flatnonzero(np.append(True, key_N[1:] != key_N[:-1])[: len(key_N)])
    sizes = np.diff(np.r_[starts, len(key_N)])
    calm_N = np.repeat(sizes <= _CROWD, sizes)
    crowds = np.flatnonzero(sizes > _CROWD)
    parts = map(slice, starts[crowds], starts[crowds] + sizes[crowds])
    found = chain(
        _near(key_N[calm_N], hash_N[calm_N], node_N[calm_N], radius),
        (_cut(hash_N[part], node_N[part], radius, nodes, depth) for part in parts),
    )
    held = np.empty((0, 2), np.int64)
    waiting: list[Links] = []
    for links in found:
        waiting.append(links)
        if sum(map(len, waiting)) > max(_MANY_LINKS, 2 * nodes):
            held, waiting = _thin(np.concatenate([held, *waiting]), nodes), []
    return np.concatenate([held, *waiting])


def _near(
    key_N: NDArray[np.uint64], hash_N: NDArray[np.uint64], node_N: NDArray[np.int64], radius: int
) -> Iterator[Links]:
    """Yield every pair under one key within the radius; rows are sorted by key."""
    first_N = np.arange(len(key_N) - 1)
    for step in range(1, _CROWD):
        first_N = first_N[first_N < len(key_N) - step]
        first_N = first_N[key_N[first_N] == key_N[first_N + step]]
        if not len(first_N):
            return
        near = first_N[np.bitwise_count(hash_N[first_N] ^ hash_N[first_N + step]) <= radius]
        yield np.stack([node_N[near], node_N[near + step]], axis=1)


def _cut(
    hash_N: NDArray[np.uint64], node_N: NDArray[np.int64], radius: int, nodes: int, depth: int
) -> Links:
    """Return links within a crowd: by bands of differing bits, or one by one if few differ."""
    bands = deal_bits(hash_N, radius)
    bits = sum(int(np.bitwise_count(band)) for band in bands)
    if depth == _DEPTH or bits < 3 * (radius + 1):
        return _grow(hash_N, node_N, radius)
    rows = _spread(pd.DataFrame({"hash": hash_N, "node": node_N}), bands)
    return _find(rows, radius, nodes, depth + 1)


def _grow(hash_N: NDArray[np.uint64], node_N: NDArray[np.int64], radius: int) -> Links:
    """Return a spanning forest; a linked hash is compared once more only, so it is fast."""
    links: list[Any] = []
    left_N = np.arange(len(hash_N))
    queue: list[int] = []
    while len(left_N):
        if not queue:
            queue, left_N = [int(left_N[0])], left_N[1:]
        at = queue.pop()
        near_N = np.bitwise_count(hash_N[left_N] ^ hash_N[at]) <= radius
        reached = left_N[near_N]
        if len(reached):
            links.append(np.stack([np.full(len(reached), node_N[at]), node_N[reached]], axis=1))
            queue.extend(reached.tolist())
            left_N = left_N[~near_N]
    return np.concatenate([np.empty((0, 2), np.int64), *links])


def _thin(links: Links, nodes: int) -> Links:
    """Return the fewest links with the same components: from each node to its first."""
    label_N = components(links, nodes)
    first_N = np.unique(label_N, return_index=True)[1][label_N]
    away = np.flatnonzero(first_N != np.arange(nodes))
    return np.stack([first_N[away], away], axis=1)
