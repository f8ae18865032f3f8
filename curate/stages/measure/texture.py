"""Texture of pictures and tiles: flat patches, Laplacian, entropy, co-occurrence contrast.

Each function takes a stack of pictures of one size and returns a value for each, so that the tiles
of an image are measured at once. Only the pixels of the picture itself count: operators stop where
they would reach beyond its sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["PATCH", "entropy", "flat_share", "glcm_contrast", "mean_laplacian"]

PATCH = 240
"""Side of the patches of `flat_share`, as 4KLSDB has it."""
_FLAT = 100.0
"""Variance of the gradient's magnitude under which a patch is flat."""
_PIXELS = 2**18
"""Pixels of a stack that are worked on at once: the intermediate values stay in a fast cache."""
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Steps of 0, 90, 135 and 45 degrees in rows and columns."""


def flat_share(luma_THW: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return the share of flat patches: variance of the Sobel gradient's magnitude under 100.

    The criterion of 4KLSDB (arXiv 2605.24762), which rejects images above 0.65. Patches are whole
    ones of 240 x 240, from the top left. A picture with a shorter side is one patch.

    Returns:
        Shape (pictures,), 0 to 1; None if a side is shorter than 3 pixels.
    """
    _, height, width = luma_THW.shape
    if min(height, width) < 3:
        return None
    # the gradient needs a pixel on each side, so the first patch begins at 1
    patches = []
    for top, rows in _patches(height - 2):
        for left, columns in _patches(width - 2):
            patch_TPQ = luma_THW[:, top : top + rows + 2, left : left + columns + 2]
            patches.append(_gradient_variance(patch_TPQ) < _FLAT)
    return np.asarray(np.mean(patches, axis=0))


def _patches(length: int) -> list[tuple[int, int]]:
    """Return start and length of the whole patches of an axis, or of the axis itself."""
    if length < PATCH:
        return [(0, length)]
    return [(start, PATCH) for start in range(0, length - PATCH + 1, PATCH)]


def _gradient_variance(luma_TPQ: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the variance of the Sobel gradient's magnitude, without the outermost pixels."""
    samples_TPQ = luma_TPQ.astype(np.int16)
    # smoothed along one axis by [1, 2, 1], then differences along the other
    down_TPQ = samples_TPQ[:, :-2] + 2 * samples_TPQ[:, 1:-1] + samples_TPQ[:, 2:]
    along_TPQ = samples_TPQ[:, :, :-2] + 2 * samples_TPQ[:, :, 1:-1] + samples_TPQ[:, :, 2:]
    dx_TPQ = (down_TPQ[:, :, 2:] - down_TPQ[:, :, :-2]).astype(np.float32)
    dy_TPQ = (along_TPQ[:, 2:] - along_TPQ[:, :-2]).astype(np.float32)
    squares_TPQ = dx_TPQ * dx_TPQ + dy_TPQ * dy_TPQ  # whole numbers under 2^22, so exact
    mean_square_T = squares_TPQ.mean(axis=(1, 2), dtype=np.float64)
    mean_T = np.sqrt(squares_TPQ, out=squares_TPQ).mean(axis=(1, 2), dtype=np.float64)
    return np.asarray(mean_square_T - mean_T**2)


def mean_laplacian(luma_THW: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return the mean magnitude of the Laplacian, 4 times a pixel less its 4 neighbours.

    Returns:
        Shape (pictures,), in 8-bit levels; None if a side is shorter than 3 pixels.
    """
    pictures, height, width = luma_THW.shape
    if min(height, width) < 3:
        return None
    sum_T = np.zeros(pictures, np.int64)
    for band_TBW in _bands(luma_THW, 2):
        samples_TBW = band_TBW.astype(np.int16)
        inner_TBW = 4 * samples_TBW[:, 1:-1, 1:-1]
        inner_TBW -= samples_TBW[:, :-2, 1:-1]
        inner_TBW -= samples_TBW[:, 2:, 1:-1]
        inner_TBW -= samples_TBW[:, 1:-1, :-2]
        inner_TBW -= samples_TBW[:, 1:-1, 2:]
        sum_T += np.abs(inner_TBW, out=inner_TBW).sum(axis=(1, 2), dtype=np.int64)
    return sum_T / ((height - 2) * (width - 2))


def glcm_contrast(luma_THW: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return the contrast of the grey-level co-occurrence matrix.

    Haralick, Shanmugam and Dinstein, "Textural features for image classification", 1973: the sum
    of (i - j)^2 p(i, j) over the shares p of neighbours of levels i and j. That is the mean squared
    difference of neighbours, so no matrix is needed. With 256 levels at distance 1, averaged over
    the 4 directions.

    Returns:
        Shape (pictures,), in squared 8-bit levels; None if a side is shorter than 2 pixels.
    """
    pictures, height, width = luma_THW.shape
    if min(height, width) < 2:
        return None
    contrast_T = np.zeros(pictures)
    for down, right in _DIRECTIONS:
        sum_T = np.zeros(pictures, np.int64)
        # rows that two bands share have their pairs along the row in the first of them only
        for band_TBW in _bands(luma_THW, down):
            sum_T += _squared_difference(band_TBW, down, right)
        contrast_T += sum_T / ((height - down) * (width - abs(right)))
    return contrast_T / len(_DIRECTIONS)


def _squared_difference(band_TBW: NDArray[np.uint8], down: int, right: int) -> NDArray[np.int64]:
    """Return the sum of squared differences between pixels and their neighbours at a step."""
    rows, width = band_TBW.shape[1:]
    first, second = max(0, -right), max(0, right)
    columns = width - abs(right)
    one_TBW = band_TBW[:, : rows - down, first : first + columns]
    other_TBW = band_TBW[:, down:, second : second + columns]
    # |a - b| in 8 bits, its square in 16, the sum of a row of 2^16 squares in 32
    steps_TBW = np.maximum(one_TBW, other_TBW) - np.minimum(one_TBW, other_TBW)
    squares_TBW = steps_TBW.astype(np.uint16)
    squares_TBW *= squares_TBW
    return np.asarray(squares_TBW.sum(axis=2, dtype=np.uint32).sum(axis=1, dtype=np.int64))


def entropy(luma_THW: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return Shannon's entropy of the grey levels, -sum p log2 p, in bits; shape (pictures,)."""
    return np.array([_entropy_of(picture_HW) for picture_HW in luma_THW])


def _entropy_of(luma_HW: NDArray[np.uint8]) -> float:
    # Pillow counts in a quarter of the time of numpy
    count = np.array(Image.fromarray(luma_HW).histogram())
    share = count[count > 0] / luma_HW.size
    return float(abs(np.sum(share * np.log2(share))))


def _bands(luma_THW: NDArray[np.uint8], overlap: int) -> Iterator[NDArray[Any]]:
    """Yield bands of rows; each has the first `overlap` rows of the next as well."""
    pictures, height, width = luma_THW.shape
    rows = max(1, _PIXELS // (pictures * width))
    for start in range(0, height - overlap, rows):
        yield luma_THW[:, start : start + rows + overlap]
