"""Rain by the models of Yang et al. 2017: one layer of streaks, or several in a haze.

The papers' pairs (Rain100L, Rain100H, Rain13K) are files, made from streaks that were never
described by numbers. The numbers here are chosen so that rainy pictures are as far from clean ones
as in those pairs: 27 dB light, 13 dB heavy (PSNR-Y).
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
    """Draw rain of one of the kinds, each as likely, over an image on 0..255, clipped at white."""
    rainy_HWC = image_HWC.astype(np.float32) / 255
    size = image_HWC.shape[:2]
    draw = rng.uniform
    # the order of the draws is part of every seeded result
    if kinds[int(rng.integers(len(kinds)))] == "light":
        density, length, angle = draw(0.0006, 0.0014), draw(15, 30), draw(-30, 30)
        streaks_HW = _streaks(size, rng, density, length, angle, blur=0.8)
        rainy_HWC = rainy_HWC + draw(0.55, 0.9) * streaks_HW[..., None]
    else:
        wind = draw(-25, 25)
        for _ in range(5):
            angle, density, length = wind + draw(-35, 35), draw(0.003, 0.006), draw(20, 50)
            streaks_HW = _streaks(size, rng, density, length, angle, blur=1.0)
            rainy_HWC = rainy_HWC + draw(0.28, 0.46) * streaks_HW[..., None]
        # the haze mixes in an even grey
        clear = draw(0.85, 1)
        rainy_HWC = clear * rainy_HWC + (1 - clear) * draw(0.7, 1)
    return (rainy_HWC.clip(0, 1) * 255).astype(np.float32)


def _streaks(
    size: tuple[int, ...],
    rng: np.random.Generator,
    density: float,
    length: float,
    angle: float,
    blur: float,
) -> NDArray[np.float64]:
    """Return a layer of streaks, (height, width) in 0..1.

    Args:
        size: height and width.
        rng: generator of places, strengths and blur.
        density: streaks per pixel.
        length: length of a streak, in pixels.
        angle: degrees from the vertical.
        blur: largest standard deviation of the blur, in pixels; the least is 0.4.
    """
    radius = int(np.ceil(length / 2)) + 1
    # drops fall beyond the border too, so that streaks cross it
    drops_hw = rng.random([side + 2 * radius for side in size])
    drops_hw = (drops_hw < density) * rng.uniform(0.4, 1, drops_hw.shape)
    streaks_HW = fftconvolve(drops_hw, draw_line(length, angle), mode="valid")
    return gaussian_filter(streaks_HW, rng.uniform(0.4, blur)).clip(0, 1)
