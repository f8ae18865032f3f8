"""Large pictures in pieces: where they lie, how they are put together, and what stands for the whole."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from curate.errors import RestoreError

__all__ = ["OVERLAP", "cover", "sample_sheet"]

OVERLAP = 64
"""Pixels that neighbouring pieces share at the least: the outer quarter of a piece's own edge isn't used, over the next
half it gives way to its neighbour."""

_STRIPS = 4


def cover(length: int, tile: int, grid: int) -> list[tuple[slice, NDArray[np.float32]]]:
    """Spans of up to `tile` pixels that cover a side, and what each counts for at each of its pixels.

    All begin at multiples of `grid`. Wherever spans overlap, what they count for sums to 1.

    Raises:
        RestoreError: if the tile is too small to overlap.
    """
    if length <= tile:
        return [(slice(0, length), np.ones(length, np.float32))]
    tile = tile // grid * grid
    step = (tile - OVERLAP) // grid  # here and below in units of the grid
    if step < 1:
        raise RestoreError(
            f"this model's pieces need {math.ceil(OVERLAP / grid + 1) * grid} pixels a side: raise tile"
        )
    last = math.ceil((length - tile) / grid)
    count = math.ceil(last / step)
    starts = [i * last // count * grid for i in range(count + 1)]
    spans = [slice(start, min(start + tile, length)) for start in starts]
    shares = [_share(span, length) for span in spans]
    total = np.zeros(length, np.float32)
    for span, share in zip(spans, shares, strict=True):
        total[span] += share
    return [(span, share / total[span]) for span, share in zip(spans, shares, strict=True)]


def _share(span: slice, length: int) -> NDArray[np.float32]:
    """0 at a piece's own edges, 1 inside, a ramp between; the picture's edges are no edges."""
    place = np.arange(span.start, span.stop, dtype=np.float32) + 0.5
    from_start = place - span.start if span.start > 0 else np.inf
    to_stop = span.stop - place if span.stop < length else np.inf
    inside = np.broadcast_to(np.minimum(from_start, to_stop), place.shape)
    share: NDArray[np.float32] = (
        ((inside - OVERLAP / 4) / (OVERLAP / 2)).clip(0, 1).astype(np.float32)
    )
    return share


def sample_sheet(image_HWC: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """Parts from all over a picture side by side, unscaled, up to `side` pixels high and wide.

    It has the noise, the blocks and the sharpness of the whole, which a picture that was scaled down hasn't. Parts
    begin at multiples of 8, as the blocks of JPEG do.
    """
    rows, columns = (_strips(length, side) for length in image_HWC.shape[:2])
    return image_HWC[rows][:, columns]


def _strips(length: int, side: int) -> NDArray[np.int64]:
    if length <= side:
        return np.arange(length)
    width = max(side // _STRIPS // 8 * 8, 8)
    starts = [i * (length - width) // (_STRIPS - 1) // 8 * 8 for i in range(_STRIPS)]
    return np.concatenate([np.arange(start, start + width) for start in starts])
