"""Facts of an image's colours: how far they spread from grey, and which channels were clipped."""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["channel_spread", "clipped_share", "colourfulness"]

_PIXELS = 2**18


def colourfulness(rgb_HWC: NDArray[np.uint8]) -> float:
    """Return Hasler and Süsstrunk's colourfulness M3.

    Eq. (7) of "Measuring colourfulness in natural images", 2003: M3 = sigma_rgyb + 0.3 mu_rgyb over
    the opponent axes rg = R - G and yb = (R + G) / 2 - B. Large images are sampled: every n-th
    pixel of every n-th row, 2^18 pixels or more.

    Args:
        rgb_HWC: image, shape (height, width, 3), 8-bit sRGB values as stored.

    Returns:
        A unitless score: 0 for grey, about 33 for moderately colourful pictures, 80 or more for
        extremely colourful ones.
    """
    height, width, _ = rgb_HWC.shape
    step = max(1, isqrt(height * width // _PIXELS))
    sample_HWC = rgb_HWC[step // 2 :: step, step // 2 :: step]
    red, green, blue = (sample_HWC[..., channel].astype(np.float32) for channel in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    # float64 accumulation, since float32 sums of so many lose the fourth digit
    spread = np.hypot(rg.std(dtype=np.float64), yb.std(dtype=np.float64))
    offset = np.hypot(rg.mean(dtype=np.float64), yb.mean(dtype=np.float64))
    return float(spread + 0.3 * offset)


def clipped_share(rgb_HWC: NDArray[np.uint8], level: int) -> float:
    """Return the share of the pixels with a channel at a level, 0 or 255."""
    at_HWC = rgb_HWC == level
    # most pictures have none; by channels, since reducing the last axis is slow
    if not at_HWC.any():
        return 0.0
    at_HW = at_HWC[..., 0] | at_HWC[..., 1] | at_HWC[..., 2]
    return np.count_nonzero(at_HW) / at_HW.size


def channel_spread(rgb_HWC: NDArray[np.uint8]) -> int:
    """Return the levels between the channels of the most colourful pixel: 0 for grey as colours."""
    # by pairs of channels, since reducing the last axis is slow
    red, green, blue = (rgb_HWC[..., channel] for channel in range(3))
    largest_HW = np.maximum(np.maximum(red, green), blue)
    largest_HW -= np.minimum(np.minimum(red, green), blue)
    return int(largest_HW.max())
