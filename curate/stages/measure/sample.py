"""The part of a picture that stands for the whole of it, where a fact is a mean over very many places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BAND", "row_bands"]

BAND = 32
"""Rows of a band, and the sides of the tiles that it is cut into: a multiple of JPEG's 8."""

_PIXELS = 2**20


def row_bands(luma_HW: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Bands of rows that are spread evenly from top to bottom and hold about 2^20 pixels, or all that there are.

    Whole rows, since those lie together in memory. Each begins at a multiple of 32 rows and holds the two rows below it
    too, for operators that reach over its end.

    Returns:
        Shape (bands, 34, width); None if a side is shorter than 34 pixels.
    """
    height, width = luma_HW.shape
    whole = (height - 2) // BAND
    if whole < 1 or width < BAND + 2:
        return None
    number = max(1, min(whole, _PIXELS // (BAND * width)))
    starts = (2 * np.arange(number) + 1) * whole // (2 * number) * BAND
    return np.stack([luma_HW[start : start + BAND + 2] for start in starts])
