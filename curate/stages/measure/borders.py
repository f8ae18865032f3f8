"""Uniform borders of a picture: letterboxes, frames and margins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["border_share"]

_TOLERANCE = 4
"""Levels by which pixels of a border may differ from its own, as JPEG makes those of flat areas."""
_WITHIN = 0.99
"""Share of a line's pixels that must lie within the tolerance."""
_LINES = 64


def border_share(luma_HW: NDArray[np.uint8]) -> float:
    """Return the share of the picture in uniform borders.

    A side's border is its outermost lines of which 99 % lie within 4 levels of one level: the
    median of the outermost line. Top and bottom come first, then left and right of the rest.

    Args:
        luma_HW: shape (height, width).

    Returns:
        0 to 1; 1 for a picture of one level.
    """
    # a border may be as deep as the picture
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
    """Return how many of the first lines are border."""
    level = int(np.median(lines_LP[0]))
    low, high = max(0, level - _TOLERANCE), min(255, level + _TOLERANCE)
    # a part at a time: most pictures have no border, so most lines are never read
    for start in range(0, len(lines_LP), _LINES):
        part_LP = lines_LP[start : start + _LINES]
        ends = ((part_LP >= low) & (part_LP <= high)).mean(axis=1) < _WITHIN
        if ends.any():
            return start + int(ends.argmax())
    return len(lines_LP)
