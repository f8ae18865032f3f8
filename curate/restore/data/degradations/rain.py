"""Rain drawn over a picture, by the models of Yang et al. 2017: one layer of streaks, or several in a haze.

The papers' pairs (Rain100L, Rain100H, Rain13K) are files, made from streaks that were never described by numbers. Those
here are chosen so that rainy pictures are as far from clean ones as in those pairs: 27 dB light, 13 dB heavy (PSNR-Y).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from curate.restore.data.degradations.blur import draw_line

__all__ = ["Rain", "draw_rain"]

Rain = Literal["light", "heavy"]


def draw_rain(
    image_HWC: NDArray[Any], rng: np.random.Generator, *, kinds: Sequence[Rain]
) -> NDArray[np.float32]:
    """Rain of one of the kinds, each as likely, over an image on 0..255; what is brighter than white is cut off."""
    clean_HWC = image_HWC.astype(np.float32) / 255
    size = image_HWC.shape[:2]
    if kinds[int(rng.integers(len(kinds)))] == "light":
        streaks_HW = _streaks(
            size, rng, rng.uniform(0.0006, 0.0014), rng.uniform(15, 30), rng.uniform(-30, 30), 0.8
        )
        rainy_HWC = clean_HWC + rng.uniform(0.55, 0.9) * streaks_HW[..., None]
    else:
        wind = rng.uniform(-25, 25)
        rainy_HWC = clean_HWC
        for _ in range(5):
            angle = wind + rng.uniform(-35, 35)
            streaks_HW = _streaks(
                size, rng, rng.uniform(0.003, 0.006), rng.uniform(20, 50), angle, 1.0
            )
            rainy_HWC = rainy_HWC + rng.uniform(0.28, 0.46) * streaks_HW[..., None]
        clear = rng.uniform(0.85, 1)
        rainy_HWC = clear * rainy_HWC + (1 - clear) * rng.uniform(0.7, 1)
    return (rainy_HWC.clip(0, 1) * 255).astype(np.float32)


def _streaks(
    size: tuple[int, ...],
    rng: np.random.Generator,
    density: float,
    length: float,
    angle: float,
    blurred: float,
) -> NDArray[np.float64]:
    """A layer of streaks, (height, width) in 0..1.

    Args:
        size: height and width.
        rng: what the places, strengths and blur are drawn from.
        density: streaks per pixel.
        length: of a streak, in pixels.
        angle: from the vertical, in degrees.
        blurred: largest standard deviation of their blur, in pixels; the least is 0.4.
    """
    radius = int(np.ceil(length / 2)) + 1
    # drops fall beyond the border too, so that streaks cross it
    drops_hw = rng.random([side + 2 * radius for side in size])
    drops_hw = (drops_hw < density) * rng.uniform(0.4, 1, drops_hw.shape)
    streaks_HW = fftconvolve(drops_hw, draw_line(length, angle), mode="valid")
    return gaussian_filter(streaks_HW, rng.uniform(0.4, blurred)).clip(0, 1)
