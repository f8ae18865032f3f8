"""What happens to light in a camera: too little of it, and the noise of its sensor.

Images hold values encoded for a screen (sRGB, IEC 61966-2-1); light adds up in linear values. The noise there has a
variance that grows with the light (shot noise) over one that doesn't (read noise). Encoded, the dark has most of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from curate.restore.data.degradations.levels import Image, as_before

__all__ = [
    "add_sensor_noise",
    "darken",
    "encode",
    "linearise",
    "photograph",
    "raise_gamma",
    "read_variance",
]

Floats = NDArray[np.floating[Any]]

_ELECTRONS_IN_THE_DARK = 1000
_GAINS = np.array([2.0, 1.0, 1.7])
"""White balance of daylight, about the middle of what Brooks et al. draw from."""
_SHARES = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
"""Bilinear: of the samples around a pixel, by nearness."""


def linearise(encoded: Floats) -> Floats:
    """sRGB values on 0..1 -> linear light on 0..1; the straight part goes on below 0."""
    return np.where(
        encoded <= 0.04045, encoded / 12.92, ((encoded.clip(0.04) + 0.055) / 1.055) ** 2.4
    )


def encode(linear: Floats) -> Floats:
    """The inverse of `linearise`."""
    return np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0.003) ** (1 / 2.4) - 0.055
    )


def read_variance(electrons: float) -> float:
    """Of a sensor whose white is so many electrons, in units of white squared.

    ln read = 2.18 ln shot + 1.20, fitted to photographs by Brooks et al., "Unprocessing Images for Learned Raw
    Denoising", 2019, where the shot noise's variance is 1 / electrons at white.
    """
    return float(np.exp(2.18 * np.log(1 / electrons) + 1.20))


def add_sensor_noise(image_HWC: Image, rng: np.random.Generator, *, electrons: float) -> Image:
    """Shot and read noise in linear light, each channel by itself; white counts so many electrons."""
    linear_HWC = linearise(image_HWC.astype(np.float64) / 255)
    return _developed(_noisy(linear_HWC, rng, electrons), image_HWC)


def photograph(image_HWC: Image, rng: np.random.Generator, *, electrons: float) -> Image:
    """The same noise on the mosaic of a sensor that sees one colour at each pixel, developed simply.

    Linear light without its white balance, red, green, green and blue of each 2 x 2 pixels, noise, bilinear colours in
    between, white balance, encoding. So the noise has grain of two pixels and is strongest in red and blue, and fine
    detail gets false colours. Electrons are those of a white green pixel.
    """
    linear_HWC = linearise(image_HWC.astype(np.float64) / 255) / _GAINS
    where_HWC = np.zeros(linear_HWC.shape, bool)
    where_HWC[0::2, 0::2, 0] = where_HWC[0::2, 1::2, 1] = where_HWC[1::2, 0::2, 1] = where_HWC[
        1::2, 1::2, 2
    ] = True
    seen_HWC = np.where(where_HWC, _noisy(linear_HWC, rng, electrons), 0)
    shares_HW1 = _SHARES[..., None]
    sums_HWC, weights_HWC = (
        convolve(values, shares_HW1, mode="mirror")
        for values in (seen_HWC, where_HWC.astype(np.float64))
    )
    whole_HWC = np.where(where_HWC, seen_HWC, sums_HWC / weights_HWC)
    return _developed(whole_HWC * _GAINS, image_HWC)


def darken(image_HWC: Image, rng: np.random.Generator, *, percent: float) -> Image:
    """So many per cent of the light, and the sensor noise that doesn't shrink with it, at 1,000 electrons for white."""
    linear_HWC = linearise(image_HWC.astype(np.float64) / 255) * (percent / 100)
    return _developed(_noisy(linear_HWC, rng, _ELECTRONS_IN_THE_DARK), image_HWC)


def raise_gamma(image_HWC: Image, rng: np.random.Generator, *, gamma: float) -> Image:
    """Encoded values on 0..1 to the power of `gamma`: dark by a curve, after Lore et al., "LLNet", 2017."""
    return as_before(
        ((image_HWC.astype(np.float32) / 255).clip(0) ** np.float32(gamma)) * 255, image_HWC
    )


def _noisy(linear_HWC: Floats, rng: np.random.Generator, electrons: float) -> Floats:
    variance_HWC = linear_HWC.clip(0) / electrons + read_variance(electrons)
    return linear_HWC + rng.standard_normal(linear_HWC.shape) * np.sqrt(variance_HWC)


def _developed(linear_HWC: Floats, image_HWC: Image) -> Image:
    return as_before((encode(linear_HWC) * 255).astype(np.float32), image_HWC)
