"""Blur by a kernel: motion along a line, a shaking hand, a lens out of focus.

Kernels have the sum 1 and their centre of gravity in the middle, so that nothing moves. They act on
the encoded values, as is usual, and on a mirrored border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from curate.restore.data.degradations.levels import Image, as_before

__all__ = ["blur_disk", "blur_motion", "blur_shake", "draw_line"]

Kernel = NDArray[np.float64]
"""(2 n + 1, 2 n + 1)"""

_STEPS = 256
_JOLTS = 0.02
"""Chance of a jolt at each step of a shake."""


def blur_motion(image_HWC: Image, rng: np.random.Generator, *, length: float) -> Image:
    """Blur by motion along a straight line of `length` pixels, at any angle."""
    return _blur(image_HWC, draw_line(length, rng.uniform(0, 180)))


def blur_shake(image_HWC: Image, rng: np.random.Generator, *, size: int) -> Image:
    """Blur by a random curve of the camera, which reaches (size - 1) / 2 pixels from its middle."""
    return _blur(image_HWC, _draw_shake(size, rng))


def blur_disk(image_HWC: Image, rng: np.random.Generator, *, radius: float) -> Image:
    """Blur as a lens out of focus does: a point becomes a disk of `radius` pixels."""
    y, x = _offsets(int(np.ceil(radius + 0.5)))
    return _blur(image_HWC, (radius + 0.5 - np.hypot(x, y)).clip(0, 1))


def draw_line(length: float, angle: float) -> Kernel:
    """Draw an antialiased line through the middle, of peak 1 and a pixel's width.

    Args:
        length: its length in pixels.
        angle: degrees from the vertical.
    """
    y, x = _offsets(int(np.ceil(length / 2)) + 1)
    # distances of each pixel's centre from the middle, along the line and across it
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    along, across = np.abs(x * sine + y * cosine), np.abs(x * cosine - y * sine)
    return (1 - across).clip(0, 1) * (length / 2 + 0.5 - along).clip(0, 1)


def _offsets(n: int) -> NDArray[np.int64]:
    """Return y and x of a kernel's pixels from its middle, (2, 2 n + 1, 2 n + 1)."""
    return np.mgrid[-n : n + 1, -n : n + 1]


def _draw_shake(size: int, rng: np.random.Generator) -> Kernel:
    """Draw a path whose velocity is a random walk with jolts, after Boracchi and Foi 2012."""
    kicks_S2 = rng.standard_normal((_STEPS, 2))
    kicks_S2 *= np.where(rng.random(_STEPS) < _JOLTS, 15, 1)[:, None]
    # kicks add up to the velocity, and velocities to the path; scale it to the kernel's size
    path_S2 = kicks_S2.cumsum(0).cumsum(0)
    path_S2 -= path_S2.mean(0)
    n = size // 2
    path_S2 = n + path_S2 * ((size - 1) / 2 / np.abs(path_S2).max())
    # each point of the path gives its share to the four pixels around it
    corner_S2 = np.floor(path_S2).astype(int)
    part_S2 = path_S2 - corner_S2
    kernel = np.zeros((2 * n + 3, 2 * n + 3))
    for down, across in np.ndindex(2, 2):
        y, x = (corner_S2 + (down, across)).T + 1
        weight_S = np.abs(1 - down - part_S2[:, 0]) * np.abs(1 - across - part_S2[:, 1])
        np.add.at(kernel, (y, x), weight_S)
    return kernel


def _blur(image_HWC: Image, kernel: Kernel) -> Image:
    n = len(kernel) // 2
    padded_HWC = np.pad(image_HWC.astype(np.float64), [(n, n), (n, n), (0, 0)], mode="symmetric")
    kernel_HW1 = (kernel / kernel.sum())[..., None]
    blurred_HWC = fftconvolve(padded_HWC, kernel_HW1, mode="valid", axes=(0, 1))
    return as_before(blurred_HWC.astype(np.float32), image_HWC)
