"""Links between 64-bit hashes within a Hamming radius, without comparing all with all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["components", "hamming_links"]

Links = NDArray[np.int64]
"""Pairs of nodes, shape (links, 2)."""

_BITS = np.uint64(1) << np.arange(64, dtype=np.uint64)
_CROWD = 1024
"""Hashes under one key that are compared pair by pair; more are cut into bands once more."""
_DEPTH = 4
"""Times that a crowd is cut, each by bits that still differ within it."""
_MANY_LINKS = 4_000_000
"""Links of 16 bytes that are collected before thinning, or twice the hashes if those are more."""
_PARTITION_ROWS = 2_000_000
"""Rows of one partition of the shuffle."""


def hamming_links(
    hash_N: NDArray[np.uint64], radius: int, partition_rows: int = _PARTITION_ROWS
) -> Links:
    """Return links that connect all hashes within a radius of each other.

    They are pairs within the radius, and enough of them. By the pigeonhole principle: of two 64-bit
    words that differ in at most r bits, cut into r + 1 bands, at least one band is equal. So each
    hash is written down once for each band, the rows are shuffled by band and its bits, and only
    rows with one key are compared. Bits are assigned to bands by how much they vary.

    Hashes of plain pictures have most bits in common. Where more than _CROWD share a key, they are
    cut into bands again, by the bits in which they still differ. In the end they are chained one by
    one, which never takes more memory than there are hashes.

    The links found may depend on `partition_rows`; their components do not.

    Args:
        hash_N: hashes; equal ones are linked too, but better left out.
        radius: bits that may differ.
        partition_rows: rows of a partition; with more than that, Dask shuffles them.
    """
    nodes = len(hash_N)
    frame = pd.DataFrame({"hash": hash_N, "node": np.arange(nodes, dtype=np.int64)})
    bands = cut_into_bands(hash_N, radius)
    rows = nodes * len(bands)
    if rows <= partition_rows:
        return _thin(_find(_spread(frame, bands), radius, nodes), nodes)
    import dask.dataframe as dd  # takes a second, so only for a large dataset

    # a row for each hash and band, shuffled so that equal keys meet in one partition
    partitions = -(-rows // partition_rows)
    spread = dd.from_pandas(frame, npartitions=partitions, sort=False).map_partitions(
        _spread, bands, meta=_spread(frame[:0], bands)
    )
    links = spread.shuffle(on="key", npartitions=partitions, shuffle_method="tasks").map_partitions(
        lambda part: pd.DataFrame(_find(part, radius, nodes), columns=["node", "other"]),
        meta={"node": np.int64, "other": np.int64},
        enforce_metadata=False,
    )
    return _thin(links.compute(scheduler="threads").to_numpy(), nodes)


def components(links: Links, nodes: int) -> NDArray[np.int32]:
    """Return the component of each node; components are numbered by their first node."""
    graph = coo_array((np.ones(len(links), np.bool_), tuple(links.T)), shape=(nodes, nodes))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def cut_into_bands(hash_N: NDArray[np.uint64], radius: int) -> list[np.uint64]:
    """Return the masks of radius + 1 bands; bits that vary are dealt among them, liveliest first.

    One empty band, which all hashes share, where no two can differ in more bits than the radius.
    """
    # share of hashes that have each bit set; a bit that is always or never set tells nothing apart
    set_64 = np.array([np.count_nonzero(hash_N & bit) for bit in _BITS])
    order = np.argsort(np.abs(set_64 / max(len(hash_N), 1) - 0.5), kind="stable")
    lively = order[(set_64[order] > 0) & (set_64[order] < len(hash_N))]
    if len(lively) <= radius:
        return [np.uint64(0)]
    return [np.bitwise_or.reduce(_BITS[lively[first :: radius + 1]]) for first in range(radius + 1)]


def _spread(frame: pd.DataFrame, bands: list[np.uint64]) -> pd.DataFrame:
    """Return each hash once for each band, with a key of band and bits.

    Keys may collide: that costs comparisons, no more.
    """
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
    """Return links between rows that have the same key."""
    order = np.argsort(rows["key"].to_numpy(), kind="stable")
    key_N, hash_N, node_N = (rows[name].to_numpy()[order] for name in ("key", "hash", "node"))
    # where each key starts, how many rows it has, and which rows are in no crowd
    starts = np.flatnonzero(np.r_[True, key_N[1:] != key_N[:-1]][: len(key_N)])
    sizes = np.diff(np.r_[starts, len(key_N)])
    few_N = np.repeat(sizes <= _CROWD, sizes)
    crowds = [slice(starts[at], starts[at] + sizes[at]) for at in np.flatnonzero(sizes > _CROWD)]
    found = chain(
        _near(key_N[few_N], hash_N[few_N], node_N[few_N], radius),
        (_cut(hash_N[crowd], node_N[crowd], radius, nodes, depth) for crowd in crowds),
    )
    links = [np.empty((0, 2), np.int64)]
    for more in found:
        links.append(more)
        # too many links, apart from those thinned already: keep as few as connect the same
        if sum(map(len, links[1:])) > max(_MANY_LINKS, 2 * nodes):
            links = [_thin(np.concatenate(links), nodes)]
    return np.concatenate(links)


def _near(
    key_N: NDArray[np.uint64], hash_N: NDArray[np.uint64], node_N: NDArray[np.int64], radius: int
) -> Iterator[Links]:
    """Yield all pairs with one key that are within the radius; rows are sorted by key."""
    # compare each row with the row that many steps further on, as long as their keys are equal
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
    """Return links within a crowd.

    By bands of the bits in which it differs, or one by one where those are too few.
    """
    bands = cut_into_bands(hash_N, radius)
    bits = sum(int(np.bitwise_count(band)) for band in bands)
    if depth == _DEPTH or bits < 3 * (radius + 1):
        return _grow(hash_N, node_N, radius)
    rows = _spread(pd.DataFrame({"hash": hash_N, "node": node_N}), bands)
    return _find(rows, radius, nodes, depth + 1)


def _grow(hash_N: NDArray[np.uint64], node_N: NDArray[np.int64], radius: int) -> Links:
    """Return one link to each hash that another one reaches.

    A hash that is linked is compared no more, so crowds of plain pictures are quick.
    """
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
    """Return as few links as connect the same: from each node to the first of its component."""
    label_N = components(links, nodes)
    first_N = np.unique(label_N, return_index=True)[1][label_N]
    away = np.flatnonzero(first_N != np.arange(nodes))
    return np.stack([first_N[away], away], axis=1)
