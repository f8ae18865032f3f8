"""Fields: arrays (height, width) of float32 with mean 0 and deviation 1 that give surfaces their texture.

Where nothing else is said they are periodic, so that a tile of one covers any surface.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["Field", "cells", "hatching", "knit", "noise", "weave", "wood"]

Field = NDArray[np.float32]
Shape = tuple[int, int]


def noise(rng: np.random.Generator, shape: Shape, slope: float, softness: float = 0.0) -> Field:
    """Noise with a power-law spectrum: amplitude ~ 1 / f^slope. 0 is white, 1 like photographs, 2 like clouds.

    `softness`, in pixels, is the deviation of a Gaussian blur.
    """
    fy, fx = _frequencies(shape)
    f2 = fy**2 + fx**2
    f2[0, 0] = 1
    gain = f2 ** (-slope / 2)
    if softness:
        gain *= np.exp(-2 * (np.pi * softness) ** 2 * f2)
    return _filtered(rng, shape, gain)


def hatching(
    rng: np.random.Generator, shape: Shape, angle: float, length: float, width: float = 0.8
) -> Field:
    """Strokes in one direction, like fur, grass, brush marks or brushed metal.

    `length` and `width` are in pixels, `angle` is in radians.
    """
    fy, fx = _frequencies(shape)
    along = fx * np.cos(angle) + fy * np.sin(angle)
    across = fy * np.cos(angle) - fx * np.sin(angle)
    return _filtered(
        rng, shape, np.exp(-2 * np.pi**2 * ((along * length) ** 2 + (across * width) ** 2))
    )


def weave(rng: np.random.Generator, shape: Shape, thread: int) -> Field:
    """Plain weave: warp over weft over warp, each thread round and a little uneven. `thread` in pixels."""
    y, x = np.indices(shape)
    over = (y // thread + x // thread) % 2
    warp = np.sin(np.pi * (x % thread + 0.5) / thread) * (
        0.6 + 0.4 * np.sin(np.pi * (y % thread + 0.5) / thread)
    )
    weft = np.sin(np.pi * (y % thread + 0.5) / thread) * (
        0.6 + 0.4 * np.sin(np.pi * (x % thread + 0.5) / thread)
    )
    rows = rng.normal(0, 0.12, shape[0] // thread + 1)[y // thread]
    columns = rng.normal(0, 0.12, shape[1] // thread + 1)[x // thread]
    return _standard(
        np.where(over, warp + columns, weft - 0.15 + rows) + 0.12 * noise(rng, shape, 0)
    )


def knit(rng: np.random.Generator, shape: Shape, stitch: int) -> Field:
    """Stocking stitch: columns of small Vs. `stitch` is the width of one in pixels."""
    y, x = np.indices(shape).astype(np.float32)
    across = (x % stitch) / stitch - 0.5
    along = (y / (0.8 * stitch) + 1.2 * np.abs(across)) % 1
    yarn = np.sin(np.pi * along) * np.sqrt(np.abs(np.sin(2 * np.pi * across)))
    return _standard(yarn + 0.12 * hatching(rng, shape, np.pi / 3, 4))


def wood(rng: np.random.Generator, shape: Shape, rings: float = 9.0) -> Field:
    """Grain along x: rings bent by slow noise, with pores."""
    y = np.arange(shape[0], dtype=np.float32)[:, None] / shape[0]
    bend = hatching(rng, shape, 0, shape[1] / 12, shape[0] / 24)
    phase = (y * round(rings) + 0.28 * bend) % 1
    return _standard(phase**1.5 + 0.35 * hatching(rng, shape, 0, 14, 0.7) + 0.15 * bend)


def cells(
    rng: np.random.Generator, shape: Shape, spacing: float, stretch: float = 1.0
) -> tuple[NDArray[np.int64], Field, Field]:
    """Voronoi cells around jittered points, not periodic; `stretch` makes them wider than tall.

    Returns:
        For every pixel the number of its cell, the distance to that cell's point, and to the border with the next
        (both in pixels, not standardised).
    """
    height, width = shape
    across = spacing * stretch
    gy, gx = np.mgrid[-spacing : height + spacing : spacing, -across : width + across : across]
    points = (
        np.stack([gy, gx / stretch], axis=-1).reshape(-1, 2)
        + rng.uniform(-0.45, 0.45, (gy.size, 2)) * spacing
    )
    y, x = np.indices(shape)
    distance, nearest = cKDTree(points).query(
        np.stack([y, x / stretch], axis=-1).reshape(-1, 2), k=2
    )
    border = (distance[:, 1] - distance[:, 0]) / 2
    return (
        nearest[:, 0].reshape(shape),
        distance[:, 0].reshape(shape).astype(np.float32),
        border.reshape(shape).astype(np.float32),
    )


def _frequencies(shape: Shape) -> tuple[Field, Field]:
    """Vertical and horizontal frequencies of an rfft2, in cycles a pixel."""
    fy, fx = scipy.fft.fftfreq(shape[0]), scipy.fft.rfftfreq(shape[1])
    return fy.astype(np.float32)[:, None], fx.astype(np.float32)[None, :]


def _filtered(rng: np.random.Generator, shape: Shape, gain: Field) -> Field:
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * gain
    spectrum[0, 0] = 0
    return _standard(scipy.fft.irfft2(spectrum, s=shape))


def _standard(field: NDArray[np.floating]) -> Field:
    return ((field - field.mean()) / max(float(field.std()), 1e-9)).astype(np.float32)
