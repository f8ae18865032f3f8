"""How close a restored image is to the clean one. uint8 RGB in, as files hold it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

__all__ = ["luma", "psnr", "psnr_y", "ssim"]

Image = NDArray[Any]


def psnr(a_HWC: Image, b_HWC: Image) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels, 255 being the peak; infinite for equal images."""
    _check(a_HWC, b_HWC)
    error = float(np.mean((a_HWC.astype(np.float64) - b_HWC.astype(np.float64)) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def psnr_y(a_HWC: Image, b_HWC: Image) -> float:
    """PSNR of the luma alone, as super-resolution papers report it."""
    return psnr(luma(a_HWC), luma(b_HWC))


def luma(rgb_HWC: Image) -> NDArray[np.float64]:
    """ITU-R BT.601 luma in its studio range 16..235 as MATLAB's `rgb2ycbcr` has it, not rounded."""
    return 16 + rgb_HWC.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)


def ssim(a_HWC: Image, b_HWC: Image) -> float:
    """Mean structural similarity (Wang et al. 2004), 1 for equal images.

    Gaussian window of 11 taps and sigma 1.5, population moments, only where it fits inside; the mean of the channels.
    Images with a side under 11 pixels get the mean over whole windows of a mirrored border instead.
    """
    _check(a_HWC, b_HWC)
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()

    def blur(x_HWC: NDArray[np.float64]) -> NDArray[np.float64]:
        return correlate1d(correlate1d(x_HWC, taps, axis=0, mode="reflect"), taps, axis=1, mode="reflect")

    a, b = a_HWC.astype(np.float64), b_HWC.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b, covariance = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    similarity = luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)
    if min(similarity.shape[:2]) > 10:
        similarity = similarity[5:-5, 5:-5]
    return float(similarity.mean())


def _check(a: Image, b: Image) -> None:
    if a.shape != b.shape:
        raise ValueError(f"images to compare must have one shape, not {a.shape} and {b.shape}")
