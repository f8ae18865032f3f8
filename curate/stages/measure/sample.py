"""Sample of a picture's rows, for facts that are means over very many places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BAND", "row_bands"]

BAND = 32
"""Rows of a band, and side of the tiles that it is cut into: a multiple of JPEG's 8."""

_PIXELS = 2**20


def row_bands(luma_HW: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return bands of rows, evenly spread from top to bottom: about 2^20 pixels, or all there are.

    Bands are of whole rows, which lie together in memory. Each begins at a multiple of 32 rows and
    includes the two rows below it, for operators that reach over its end.

    Returns:
        Shape (bands, 34, width); None if a side is shorter than 34 pixels.
    """
    height, width = luma_HW.shape
    whole = (height - 2) // BAND
    if whole < 1 or width < BAND + 2:
        return None
    # spread the bands so that each lies in the middle of an equal share of the rows
    number = max(1, min(whole, _PIXELS // (BAND * width)))
    starts = (2 * np.arange(number) + 1) * whole // (2 * number) * BAND
    return np.stack([luma_HW[start : start + BAND + 2] for start in starts])
