"""Light in a camera: too little of it, and the noise of the sensor.

Images hold values encoded for a screen (sRGB, IEC 61966-2-1); light adds up in linear values. There
the noise has a variance that grows with the light (shot noise) over one that doesn't (read noise).
Encoded, the dark has most of the noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from curate.restore.data.degradations.levels import Image, as_before

__all__ = ["add_sensor_noise", "darken", "encode", "linearise", "photograph", "raise_gamma"]

Floats = NDArray[np.floating[Any]]

_ELECTRONS_IN_THE_DARK = 1000
_GAINS = np.array([2.0, 1.0, 1.7])
"""White balance of daylight, about the middle of the range that Brooks et al. draw from."""
_MOSAIC = np.array([[0, 1], [1, 2]])
"""Channel that the sensor sees at each of 2 x 2 pixels: red, green, green and blue."""
_SHARES = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
"""Weights of bilinear interpolation, by nearness, for the samples around a pixel."""


def linearise(encoded: Floats) -> Floats:
    """Convert sRGB values on 0..1 to linear light on 0..1; the straight part goes on below 0."""
    curve = ((encoded.clip(0.04) + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, encoded / 12.92, curve)


def encode(linear: Floats) -> Floats:
    """Convert linear light on 0..1 to sRGB values on 0..1, the inverse of `linearise`."""
    curve = 1.055 * linear.clip(0.003) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, curve)


def read_variance(electrons: float) -> float:
    """Return the variance of read noise, in units of white squared.

    ln read = 2.18 ln shot + 1.20, fitted to photographs by Brooks et al., "Unprocessing Images for
    Learned Raw Denoising", 2019, where the shot noise's variance is 1 / electrons at white.

    Args:
        electrons: electrons that the sensor counts at white.
    """
    return float(np.exp(2.18 * np.log(1 / electrons) + 1.20))


def add_sensor_noise(image_HWC: Image, rng: np.random.Generator, *, electrons: float) -> Image:
    """Add shot and read noise in linear light to each channel; white counts `electrons`."""
    return _develop(_noisy(_light_of(image_HWC), rng, electrons), image_HWC)


def photograph(image_HWC: Image, rng: np.random.Generator, *, electrons: float) -> Image:
    """Add sensor noise to a mosaic of one colour at each pixel, and develop that simply.

    The steps are linear light without its white balance; red, green, green and blue of each 2 x 2
    pixels; noise; bilinear colours in between; white balance; encoding. So the noise has grain of
    two pixels and is strongest in red and blue, and fine detail gets false colours. A white green
    pixel counts `electrons`.
    """
    linear_HWC = _light_of(image_HWC) / _GAINS
    # where each channel is seen, and its values there
    where_HWC = np.zeros(linear_HWC.shape, bool)
    for (row, column), channel in np.ndenumerate(_MOSAIC):
        where_HWC[row::2, column::2, channel] = True
    seen_HWC = np.where(where_HWC, _noisy(linear_HWC, rng, electrons), 0)
    # elsewhere, weighted means of the values around
    shares_HW1 = _SHARES[..., None]
    sums_HWC = convolve(seen_HWC, shares_HW1, mode="mirror")
    weights_HWC = convolve(where_HWC.astype(np.float64), shares_HW1, mode="mirror")
    whole_HWC = np.where(where_HWC, seen_HWC, sums_HWC / weights_HWC)
    return _develop(whole_HWC * _GAINS, image_HWC)


def darken(image_HWC: Image, rng: np.random.Generator, *, percent: float) -> Image:
    """Keep `percent` of the light, under the sensor noise of 1,000 electrons for white."""
    linear_HWC = _light_of(image_HWC) * (percent / 100)
    return _develop(_noisy(linear_HWC, rng, _ELECTRONS_IN_THE_DARK), image_HWC)


def raise_gamma(image_HWC: Image, rng: np.random.Generator, *, gamma: float) -> Image:
    """Darken encoded values on 0..1 by the power of `gamma`, after Lore et al., "LLNet", 2017."""
    encoded_HWC = (image_HWC.astype(np.float32) / 255).clip(0)
    return as_before(encoded_HWC ** np.float32(gamma) * 255, image_HWC)


def _light_of(image_HWC: Image) -> Floats:
    return linearise(image_HWC.astype(np.float64) / 255)


def _noisy(linear_HWC: Floats, rng: np.random.Generator, electrons: float) -> Floats:
    variance_HWC = linear_HWC.clip(0) / electrons + read_variance(electrons)
    return linear_HWC + rng.standard_normal(linear_HWC.shape) * np.sqrt(variance_HWC)


def _develop(linear_HWC: Floats, image_HWC: Image) -> Image:
    return as_before((encode(linear_HWC) * 255).astype(np.float32), image_HWC)
