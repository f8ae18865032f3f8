"""Noise of an image: the standard deviation, estimated on its smoothest tiles."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from curate.stages.measure.sample import BAND

__all__ = ["noise_sigma"]

_QUANTILE = 0.1
_OF_PURE_NOISE = 0.944
"""Tenth quantile of the tiles' deviations in pure white noise of deviation 1."""
_CLIPPED = 0.01


def noise_sigma(bands_BRW: NDArray[np.uint8]) -> float:
    """Return the noise's standard deviation, by Immerkaer's operator on tiles of 32 x 32 pixels.

    The operator (Immerkaer, "Fast noise variance estimation", 1996) is the difference of two
    Laplacians, N = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]], blind to slopes and to edges along the
    axes, so that sigma = sqrt(pi / 2) mean|I * N| / 6. Over a whole picture it counts texture as
    noise. The smoothest tiles hold the least texture, as in Amer and Dubois, "Fast and reliable
    structure-oriented video noise estimation", 2005. So the result is the tenth quantile of the
    tiles, divided by the same quantile of pure noise.

    Tiles without any variation are left out: they are borders and drawn areas. Since clipping cuts
    noise off, so are tiles with more than 1 % of their pixels at 0 or 255. The less clipped half of
    the tiles stays in any case.

    Args:
        bands_BRW: luma, from `row_bands`.

    Returns:
        Levels of 8 bits: 0 where nothing varies. White noise of 5 to 25 is found to within 1 or so
        (docs/science.md). Noise that a camera or JPEG smoothed counts for less.
    """
    # |I * N|: second differences down the columns, then along the rows
    samples_BRW = bands_BRW.astype(np.int16)
    rows_BRW = samples_BRW[:, :-2] - 2 * samples_BRW[:, 1:-1] + samples_BRW[:, 2:]
    response_BRW = np.abs(rows_BRW[:, :, :-2] - 2 * rows_BRW[:, :, 1:-1] + rows_BRW[:, :, 2:])
    sigmas = sqrt(pi / 2) / 6 * _tile_means(response_BRW)
    # shares of clipped pixels
    inner_BRW = bands_BRW[:, 1:-1, 1:-1]
    clipped = _tile_means((inner_BRW == 0) | (inner_BRW == 255))
    varied = sigmas > 0
    if not varied.any():
        return 0.0
    usable = varied & (clipped <= max(_CLIPPED, np.median(clipped[varied])))
    return float(np.quantile(sigmas[usable], _QUANTILE)) / _OF_PURE_NOISE


def _tile_means(values_BRW: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the mean of each whole tile, shape (tiles,)."""
    bands, rows, width = values_BRW.shape
    columns = width // BAND
    sums_BW = values_BRW.sum(axis=1, dtype=np.int32)[:, : columns * BAND]
    return (sums_BW.reshape(bands, columns, BAND).sum(axis=2) / (rows * BAND)).ravel()
