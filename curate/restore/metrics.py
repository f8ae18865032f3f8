"""Metrics of how close a restored image is to the clean one.

Images are (height, width, 3) RGB or (height, width, 1) grey on the 0..255 scale, of bytes or
floats. A dataset's score is the mean over its images. A grey image is its own luma.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

__all__ = ["METRICS", "luma", "psnr", "psnr_b", "psnr_y", "ssim", "ssim_y"]

Image = NDArray[Any]
Floats = NDArray[np.float64]

_BLOCK = 8


def psnr(a_HWC: Image, b_HWC: Image) -> float:
    """Return the peak signal-to-noise ratio in dB, peak 255, of all pixels; infinite if equal."""
    _check(a_HWC, b_HWC)
    return _decibels(_squared_error(a_HWC, b_HWC))


def psnr_y(a_HWC: Image, b_HWC: Image) -> float:
    """Return the PSNR of the luma, as papers on super-resolution and deraining report it."""
    return psnr(luma(a_HWC), luma(b_HWC))


def psnr_b(a_HWC: Image, b_HWC: Image) -> float:
    """Return the PSNR of the luma, with steps over borders of 8 x 8 blocks as further error.

    Yim and Bovik, "Quality assessment of deblocked images", 2011: 10 log10(255^2 / (MSE + BEF)).
    The blocking effect BEF is the mean squared difference of neighbours across block borders, less
    that of other neighbours, times log2(8) / log2(shorter side), and 0 where it would be negative.
    Unlike MSE it is of the restored image `a` alone. Blocks begin in the corner.
    """
    _check(a_HWC, b_HWC)
    a_HW, b_HW = luma(a_HWC)[..., 0], luma(b_HWC)[..., 0]
    return _decibels(_squared_error(a_HW, b_HW) + _blocking_effect(a_HW))


def _blocking_effect(x_HW: Floats) -> float:
    across, within = [], []
    for axis in (0, 1):
        # squared steps to the next pixel along the axis; every eighth crosses a block border
        steps = np.square(np.diff(x_HW, axis=axis))
        at_border = np.arange(1, steps.shape[axis] + 1) % _BLOCK == 0
        across.append(steps.compress(at_border, axis).ravel())
        within.append(steps.compress(~at_border, axis).ravel())
    borders, others = np.concatenate(across), np.concatenate(within)
    if not len(borders) or borders.mean() <= others.mean():
        return 0.0
    weight = math.log2(_BLOCK) / math.log2(max(min(x_HW.shape), 2))
    return float(weight * (borders.mean() - others.mean()))


def ssim(a_HWC: Image, b_HWC: Image) -> float:
    """Return the mean structural similarity (Wang et al. 2004), 1 for equal images.

    Gaussian window of 11 taps and sigma 1.5, population moments, only where the window fits
    inside; the mean over channels. Images with a side under 11 pixels get the mean over whole
    windows of a mirrored border instead.
    """
    _check(a_HWC, b_HWC)
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()

    def blur(x_HWC: Floats) -> Floats:
        rows_HWC = correlate1d(x_HWC, taps, axis=0, mode="reflect")
        return correlate1d(rows_HWC, taps, axis=1, mode="reflect")

    # moments within the window around each pixel, all (height, width, channels)
    a, b = a_HWC.astype(np.float64), b_HWC.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    # eq. (13) of the paper: luminance times contrast and structure
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    similarity = luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)
    if min(similarity.shape[:2]) > 10:
        similarity = similarity[5:-5, 5:-5]  # windows that fit inside
    return float(similarity.mean())


def ssim_y(a_HWC: Image, b_HWC: Image) -> float:
    """Return the SSIM of the luma."""
    return ssim(luma(a_HWC), luma(b_HWC))


METRICS: Mapping[str, Callable[[Image, Image], float]] = {
    f.__name__: f for f in (psnr, psnr_y, ssim, ssim_y, psnr_b)
}
"""Name -> function of the restored and the clean image."""


def luma(image_HWC: Image) -> Floats:
    """Return BT.601 luma in 16..235, (height, width, 1), as MATLAB's `rgb2ycbcr`, not rounded."""
    floats_HWC = image_HWC.astype(np.float64)
    if image_HWC.shape[-1] == 1:
        return floats_HWC
    return 16 + floats_HWC @ (np.array([[65.481], [128.553], [24.966]]) / 255)


def _squared_error(a: Image, b: Image) -> float:
    return float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))


def _decibels(error: float) -> float:
    return 10 * math.log10(255**2 / error) if error else math.inf


def _check(a: Image, b: Image) -> None:
    if a.shape != b.shape:
        raise ValueError(f"images to compare must have one shape, not {a.shape} and {b.shape}")
