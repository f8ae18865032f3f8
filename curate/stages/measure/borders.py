"""Letterboxes, frames and margins: what of a picture is no picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["border_share"]

_TOLERANCE = 4
"""Levels that a border's pixels may lie off its own: what JPEG leaves of a flat area."""
_WITHIN = 0.99
"""Share of a line's pixels that must lie within the tolerance."""
_LINES = 64


def border_share(luma_HW: NDArray[np.uint8]) -> float:
    """Share of the picture in uniform borders.

    The border of a side is made of the lines from the edge inwards of which 99 % lie within 4 levels of one level, the
    median of the outermost line. First those at the top and bottom, then those at the left and right of the rest.

    Args:
        luma_HW: shape (height, width).

    Returns:
        0 to 1; 1 for a picture of one level.
    """
    height, width = luma_HW.shape
    top = _depth(luma_HW)
    if top == height:
        return 1.0
    inner_HW = luma_HW[top : height - _depth(luma_HW[::-1])]
    left = _depth(inner_HW.T)
    if left == width:
        return 1.0
    inner_HW = inner_HW[:, left : width - _depth(inner_HW.T[::-1])]
    return 1 - inner_HW.size / luma_HW.size


def _depth(lines_LP: NDArray[np.uint8]) -> int:
    """How many of the first lines are border."""
    level = int(np.median(lines_LP[0]))
    low, high = max(0, level - _TOLERANCE), min(255, level + _TOLERANCE)
    for start in range(0, len(lines_LP), _LINES):
        part_LP = lines_LP[start : start + _LINES]
        ends = ((part_LP >= low) & (part_LP <= high)).mean(axis=1) < _WITHIN
        if ends.any():
            return start + int(ends.argmax())
    return len(lines_LP)
