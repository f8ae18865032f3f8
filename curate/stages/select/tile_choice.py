"""Choice of tiles: the best of each image, as many as the recipe takes, side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.manifest.tiles import Box, boxes_of
from curate.recipe import Tiles

__all__ = ["choose_tiles", "worth"]


def choose_tiles(tiles: pa.Table, config: Tiles, pinned: Collection[str] = ()) -> pa.Table:
    """Return the tiles of each image that go into the selection, in their order.

    Pinned tiles come first, then the best by `config.prefer`, of equal ones the first by its place.
    A tile that shares pixels with a chosen one is passed over, unless `config.overlap` allows it.

    Args:
        tiles: tiles within the recipe's bounds.
        config: how many, and which are best.
        pinned: ids of earlier picks.
    """
    owner_N = tiles["tile_of"].combine_chunks().dictionary_encode().indices.to_numpy()
    is_pinned = pc.is_in(tiles["id"], pa.array(sorted(pinned), pa.string())).to_numpy()
    order = np.lexsort([np.arange(len(tiles)), -worth(tiles, config.prefer), ~is_pinned, owner_N])
    boxes = boxes_of(tiles)
    taken: dict[int, list[Box]] = defaultdict(list)
    chosen = []
    for row in order.tolist():
        of_image = taken[owner_N[row]]
        if len(of_image) == config.per_image:
            continue
        if not config.overlap and any(_overlaps(boxes[row], other) for other in of_image):
            continue
        of_image.append(boxes[row])
        chosen.append(row)
    return tiles.take(pa.array(sorted(chosen), pa.int64()))


def worth(rows: pa.Table, prefer: str) -> NDArray[np.float64]:
    """Return the worth of each row by a column, the larger the better; -inf where it is unknown.

    Args:
        rows: with the column.
        prefer: its name, with a `-` before it where the smallest is the best.
    """
    value_N = pc.cast(rows[prefer.removeprefix("-")], pa.float64()).to_numpy()
    return np.nan_to_num(-value_N if prefer.startswith("-") else value_N, nan=-np.inf)


def _overlaps(one: Box, other: Box) -> bool:
    left, top, right, bottom = one
    other_left, other_top, other_right, other_bottom = other
    across = left < other_right and other_left < right
    return across and top < other_bottom and other_top < bottom
