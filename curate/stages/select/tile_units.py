"""Tiles as the units of a selection: what they have of their images, and which are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import Reason
from curate.recipe import Dedup
from curate.stages.select.duplicates import find_clusters
from curate.stages.select.hamming_links import components

__all__ = ["MarkedTiles", "mark_tiles", "of_image", "tile_units"]


@dataclass(frozen=True)
class MarkedTiles:
    """Tiles with their faults, and which of them belong together."""

    table: pa.Table
    """id, reason, dup_cluster and contaminated_by of each."""
    group_N: NDArray[np.int32]
    """Number of each tile's group: tiles of one image, and of images that share a picture."""


def tile_units(tiles: pa.Table, images: pa.Table) -> pa.Table:
    """Return tiles with all columns of their images that they have no values of themselves.

    The SHA-256 of the bytes is left out, since all tiles of an image have it in common.
    """
    place = pc.index_in(tiles["tile_of"], images["id"].combine_chunks()).combine_chunks()
    columns = {name: tiles[name] for name in tiles.column_names}
    for name in images.column_names:
        if name == "sha256":
            columns[name] = pa.nulls(len(tiles), pa.string())
        elif name not in columns:
            columns[name] = images[name].combine_chunks().take(place)
    return pa.table(columns)


def of_image(images: pa.Table, units: pa.Table, value_N: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the largest value among the tiles of each image; 0 for images without any."""
    place_N = pc.index_in(units["tile_of"], images["id"].combine_chunks()).to_numpy()
    largest = np.zeros(len(images), value_N.dtype)
    np.maximum.at(largest, place_N, value_N)
    return largest


def mark_tiles(
    units: pa.Table, images: pa.Table, config: Dedup, pinned_N: NDArray[np.int8]
) -> MarkedTiles:
    """Reject tiles of rejected images, and tiles that show the pixels of another image's tile.

    Of a cluster of tiles that look alike, all tiles of one image stay: the image of the best tile,
    a pinned one before others. Neighbours look alike without being copies of each other; tiles of
    one image are duplicates only if all of their pixels are equal.

    Args:
        units: see `tile_units`.
        images: id, reason and contaminated_by of each image.
        config: what counts as the same.
        pinned_N: split that each tile is pinned to, 0 for none.
    """
    place = pc.index_in(units["tile_of"], images["id"].combine_chunks()).combine_chunks()
    reason = pc.coalesce(images["reason"].combine_chunks().take(place), units["reason"])
    owner_N = place.to_numpy()
    in_N = np.flatnonzero(pc.is_null(reason).to_numpy())
    pool = units.take(pa.array(in_N))
    found = find_clusters(pool, config, rank_N=pinned_N[in_N])
    best_N = in_N[found.best_N]
    lost_N, cluster_N = np.zeros(len(units), bool), np.full(len(units), -1)
    lost_N[in_N] = owner_N[in_N] != owner_N[best_N]
    if config.exact:
        lost_N[in_N] |= _repeated(pool, owner_N[in_N], pinned_N[in_N])
    # a cluster counts as one where it lost a tile
    losing = np.isin(found.label_N, found.label_N[lost_N[in_N]])
    cluster_N[in_N[losing]] = best_N[losing]
    lost = pc.if_else(pa.array(lost_N), Reason.DUPLICATE.value, pa.scalar(None, pa.string()))
    table = pa.table(
        {
            "id": units["id"],
            "reason": pc.coalesce(reason, lost),
            "dup_cluster": units["id"].take(pa.array(cluster_N, mask=cluster_N < 0)),
            "contaminated_by": images["contaminated_by"].combine_chunks().take(place),
        }
    )
    # images whose tiles share a cluster belong together
    links = np.stack([owner_N[in_N], owner_N[best_N]], axis=1).astype(np.int64)
    return MarkedTiles(table, components(links, len(images))[owner_N])


def _repeated(
    pool: pa.Table, owner_P: NDArray[np.int64], pinned_P: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """Return which tiles repeat the pixels of another tile of their image; a pinned one stays."""
    codes = pool["pixel_sha256"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort([np.arange(len(pool)), -pinned_P, codes, owner_P])
    same = (np.diff(codes[order]) == 0) & (np.diff(owner_P[order]) == 0)
    repeated_P = np.zeros(len(pool), bool)
    repeated_P[order[1:][same]] = True
    return repeated_P
