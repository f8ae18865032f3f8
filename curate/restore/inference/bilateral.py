"""The bilateral filter that MOE-IR_30G's document puts after its network (section 5.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bilateral_filter"]

_COLOUR, _SPACE = 10.0, 10.0
_BAND = 256


def bilateral_filter(image_HWC: NDArray[Any]) -> NDArray[Any]:
    """`cv2.bilateralFilter(image, d=3, sigmaColor=10, sigmaSpace=10)`: eq. (17), 0.27 G for 1280 x 720 by eq. (18).

    Each pixel becomes a mean of itself and its four neighbours, weighted by exp(-c^2 / 200) for a difference c of
    colour (summed over the channels) and exp(-1 / 200) for a neighbour's distance. The document counts nine pixels;
    OpenCV takes those within a circle, which are five. Beyond the border the image is mirrored.

    Args:
        image_HWC: on 0..255, of 1 or 3 channels.

    Returns:
        An image of the same shape; bytes, rounded, for bytes.
    """
    out_HWC = np.empty_like(image_HWC)
    height = len(image_HWC)
    for top in range(0, height, _BAND):  # so that no more than a band stands in floats
        rows = _mirrored(top - 1, min(top + _BAND, height) + 1, height)
        out_HWC[top : top + _BAND] = _filter_band(
            image_HWC[rows].astype(np.float32), image_HWC.dtype
        )
    return out_HWC


def _filter_band(padded_RWC: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rows with one more above and below -> those without."""
    padded_RWC = padded_RWC[:, _mirrored(-1, padded_RWC.shape[1] + 1, padded_RWC.shape[1])]
    centre_HWC = padded_RWC[1:-1, 1:-1]
    total_HWC, weights_HW1 = centre_HWC.copy(), np.ones_like(centre_HWC[..., :1])
    for window in (np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:]):
        beside_HWC = padded_RWC[window]
        colour_HW1 = np.abs(beside_HWC - centre_HWC).sum(axis=2, keepdims=True)
        weight_HW1 = np.exp(-(colour_HW1**2) / (2 * _COLOUR**2) - 1 / (2 * _SPACE**2))
        total_HWC += weight_HW1 * beside_HWC
        weights_HW1 += weight_HW1
    total_HWC /= weights_HW1
    return np.rint(total_HWC).astype(dtype) if dtype == np.uint8 else total_HWC.astype(dtype)


def _mirrored(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """Places from start to stop, those beyond the ends mirrored at the outermost pixel."""
    place = np.abs(np.arange(start, stop))
    return np.minimum(place, np.maximum(2 * (length - 1) - place, 0))
