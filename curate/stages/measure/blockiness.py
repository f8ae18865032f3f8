"""Blockiness: how clearly an image shows the 8 x 8 blocks of JPEG, whatever its format."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["blockiness"]

_BLOCK = 8
_LARGEST = 32
"""Limit on third differences, a step of 16 levels: larger ones are edges of the picture itself."""
_FLOOR = 0.1
"""Levels added to both sides of the ratio, which stays finite where hardly anything varies."""


def blockiness(bands_BRW: NDArray[np.uint8]) -> float:
    """Return how much larger the steps across the borders of 8 x 8 blocks are than other steps.

    The step between two pixels is their difference beyond the slope on either side of them,
    (x2 - x1) - ((x1 - x0) + (x3 - x2)) / 2, half of a third difference: the criterion of Minami and
    Zakhor, "An optimization approach for removing blocking effects in transform coding", 1995. Its
    magnitude, 16 levels at most, is averaged for each of the 8 positions in a block, along rows and
    along columns. The ratio is the largest of the 8 over the mean of the others, averaged over both
    directions. It takes the largest, since the grid of a cut or turned picture can begin anywhere.

    Args:
        bands_BRW: luma, from `row_bands`.

    Returns:
        A ratio: 1 without blocks, about 1.2 at a JPEG quality of 90, 1.6 at 50, 2.6 at 10
        (docs/science.md).
    """
    samples_BRW = bands_BRW.astype(np.int16)
    return float(np.mean([_peak_ratio(samples_BRW, axis) for axis in (1, 2)]))


def _peak_ratio(samples_BRW: NDArray[np.int16], axis: int) -> float:
    """Return the largest of the 8 mean steps between rows (axis 1) or columns (2) over the rest."""
    # the mean step at each position, then the means of every 8th
    steps_BRW = np.minimum(np.abs(np.diff(samples_BRW, 3, axis)), _LARGEST)
    profile = steps_BRW.mean(axis=(0, 3 - axis))
    means = np.array([profile[position::_BLOCK].mean() for position in range(_BLOCK)])
    largest = means.max()
    return float((largest + _FLOOR) / ((means.sum() - largest) / (_BLOCK - 1) + _FLOOR))
