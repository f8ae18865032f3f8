"""How much an image shows the 8 x 8 blocks of JPEG, whatever format it came in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["blockiness"]

_BLOCK = 8
_MOST = 32
"""Of a third difference, which is a step of 16 levels: what is larger is an edge of the picture's own."""
_LEAST = 0.1
"""Levels that both sides of the ratio are lifted by, so that it stays finite where there is hardly any variation."""


def blockiness(bands_BRW: NDArray[np.uint8]) -> float:
    """How much larger the steps over the borders of 8 x 8 blocks are than those elsewhere.

    The step between two pixels is what their difference has beyond the slope on either side of them, the criterion of
    Minami and Zakhor, "An optimization approach for removing blocking effects in transform coding", 1995:
    (x2 - x1) - ((x1 - x0) + (x3 - x2)) / 2, half of a third difference. Its magnitude, 16 levels at most, is averaged
    for each of the 8 places in a block, along rows and along columns; then it is the largest of the 8 by the mean of
    the others, and the mean of both directions. The largest, since the grid of a picture that was cut or turned need
    not begin in its corner.

    Args:
        bands_BRW: luma, of `row_bands`.

    Returns:
        A ratio: 1 without blocks, about 1.2 at a JPEG quality of 90, 1.6 at 50, 2.6 at 10 (docs/science.md).
    """
    samples_BRW = bands_BRW.astype(np.int16)
    return float(np.mean([_peak(_profile(samples_BRW, axis)) for axis in (1, 2)]))


def _profile(samples_BRW: NDArray[np.int16], axis: int) -> NDArray[np.float64]:
    """Mean magnitude of the steps at each row (axis 1) or column (axis 2)."""
    steps_BRW = np.minimum(np.abs(np.diff(samples_BRW, 3, axis)), _MOST)
    return steps_BRW.mean(axis=(0, 3 - axis))


def _peak(profile: NDArray[np.float64]) -> float:
    """The largest of the eight places in a block, as a multiple of the mean of the others."""
    places = np.array([profile[place::_BLOCK].mean() for place in range(_BLOCK)])
    largest = places.max()
    return float((largest + _LEAST) / ((places.sum() - largest) / (_BLOCK - 1) + _LEAST))
