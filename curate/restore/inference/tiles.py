"""Large pictures in pieces: their positions and weights, and a sample of the whole picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from curate.errors import RestoreError

__all__ = ["OVERLAP", "cover", "report_piece", "sample_sheet", "watching_pieces"]

OVERLAP = 64
"""Pixels that neighbouring pieces share, at least.

The outer quarter at a piece's own edge isn't used; over the next half it is blended with its
neighbour.
"""

_STRIPS = 4
_WATCHER: ContextVar[Callable[[int, int], None] | None] = ContextVar("_WATCHER", default=None)


@contextmanager
def watching_pieces(watcher: Callable[[int, int], None]) -> Iterator[None]:
    """Call `watcher(done, total)` before and after each piece of a picture while a block runs."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def report_piece(done: int, total: int) -> None:
    """Tell the watcher, if there is one, how many pieces of a picture are done."""
    if watcher := _WATCHER.get():
        watcher(done, total)


def cover(length: int, tile: int, grid: int) -> list[tuple[slice, NDArray[np.float32]]]:
    """Return spans of up to `tile` pixels that cover a side, with a weight for each pixel.

    All begin at multiples of `grid`. Wherever spans overlap, their weights sum to 1.

    Raises:
        RestoreError: if the tile is too small to overlap.
    """
    if length <= tile:
        return [(slice(0, length), np.ones(length, np.float32))]
    tile = tile // grid * grid
    step = (tile - OVERLAP) // grid  # here and below in units of the grid
    if step < 1:
        raise RestoreError(
            f"this model's pieces need {math.ceil(OVERLAP / grid + 1) * grid} pixels a side: "
            "raise tile"
        )
    # as few spans as do, evenly spread from the first pixel to the last
    last = math.ceil((length - tile) / grid)
    count = math.ceil(last / step)
    starts = [i * last // count * grid for i in range(count + 1)]
    spans = [slice(start, min(start + tile, length)) for start in starts]
    ramps = [_ramp(span, length) for span in spans]
    # divide each ramp by the sum of all ramps at its pixels, so that weights sum to 1
    total = np.zeros(length, np.float32)
    for span, ramp in zip(spans, ramps, strict=True):
        total[span] += ramp
    return [(span, ramp / total[span]) for span, ramp in zip(spans, ramps, strict=True)]


def _ramp(span: slice, length: int) -> NDArray[np.float32]:
    """Return 0 at a piece's own edges, 1 inside and a ramp between; the picture's are no edges."""
    place = np.arange(span.start, span.stop, dtype=np.float32) + 0.5
    from_start = place - span.start if span.start > 0 else np.inf
    to_stop = span.stop - place if span.stop < length else np.inf
    inside = np.broadcast_to(np.minimum(from_start, to_stop), place.shape)
    ramp: NDArray[np.float32] = ((inside - OVERLAP / 4) / (OVERLAP / 2)).clip(0, 1)
    return ramp.astype(np.float32)


def sample_sheet(image_HWC: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """Return parts from all over a picture side by side, unscaled, up to `side` pixels each way.

    The sheet has the noise, the blocks and the sharpness of the whole, unlike a picture that was
    scaled down. Parts begin at multiples of 8, as the blocks of JPEG do.
    """
    rows, columns = (_strips(length, side) for length in image_HWC.shape[:2])
    return image_HWC[rows][:, columns]


def _strips(length: int, side: int) -> NDArray[np.int64]:
    """Return the positions of four evenly spread strips, or all of a side that is short enough."""
    if length <= side:
        return np.arange(length)
    width = max(side // _STRIPS // 8 * 8, 8)
    starts = [i * (length - width) // (_STRIPS - 1) // 8 * 8 for i in range(_STRIPS)]
    return np.concatenate([np.arange(start, start + width) for start in starts])
