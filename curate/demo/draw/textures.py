"""Textures: arrays (height, width) of float32, mean 0 and deviation 1, for the grain of surfaces.

All but Voronoi cells are periodic, so a tile of one covers any surface.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["TILES", "Texture", "cells", "knit", "noise", "strokes", "tile", "weave", "wood"]

Texture = NDArray[np.float32]
Shape = tuple[int, int]
VARIANTS = 8
"""Tiles of each texture: making one takes longer than some pictures, so pictures share them."""


def noise(rng: np.random.Generator, shape: Shape, slope: float, softness: float = 0.0) -> Texture:
    """Return noise with a power-law spectrum: amplitude ~ 1 / f^slope.

    A slope of 0 is white, 1 like photographs, 2 like clouds. `softness` is the standard deviation
    of a Gaussian blur, in pixels.
    """
    fy, fx = _frequencies(shape)
    f2 = fy**2 + fx**2
    f2[0, 0] = 1
    return _filtered(rng, shape, f2 ** (-slope / 2) * np.exp(-2 * (np.pi * softness) ** 2 * f2))


def strokes(
    rng: np.random.Generator, shape: Shape, angle: float, length: float, width: float = 0.8
) -> Texture:
    """Return strokes in one direction, like fur, grass, brush marks or brushed metal.

    `angle` is in radians, `length` and `width` are in pixels.
    """
    fy, fx = _frequencies(shape)
    along = (fx * np.cos(angle) + fy * np.sin(angle)) * length
    across = (fy * np.cos(angle) - fx * np.sin(angle)) * width
    return _filtered(rng, shape, np.exp(-2 * np.pi**2 * (along**2 + across**2)))


def weave(rng: np.random.Generator, shape: Shape, thread: int) -> Texture:
    """Return plain weave: round, slightly uneven threads of a width in pixels, over and under."""
    y, x = np.indices(shape)
    round_x, round_y = (np.sin(np.pi * (axis % thread + 0.5) / thread) for axis in (x, y))
    warp = round_x * (0.6 + 0.4 * round_y) + rng.normal(0, 0.12, shape[1])[x // thread]
    weft = round_y * (0.6 + 0.4 * round_x) + rng.normal(0, 0.12, shape[0])[y // thread] - 0.15
    over = (y // thread + x // thread) % 2
    return _standard(np.where(over, warp, weft) + 0.12 * noise(rng, shape, 0))


def knit(rng: np.random.Generator, shape: Shape, stitch: int) -> Texture:
    """Return stocking stitch: columns of small Vs, each `stitch` pixels wide."""
    y, x = np.indices(shape).astype(np.float32)
    across = (x % stitch) / stitch - 0.5
    along = (y / (0.8 * stitch) + 1.2 * np.abs(across)) % 1
    yarn = np.sin(np.pi * along) * np.sqrt(np.abs(np.sin(2 * np.pi * across)))
    return _standard(yarn + 0.12 * strokes(rng, shape, np.pi / 3, 4))


def wood(rng: np.random.Generator, shape: Shape, rings: float = 9.0) -> Texture:
    """Return grain along x: rings bent by slow noise, with pores."""
    y = np.arange(shape[0], dtype=np.float32)[:, None] / shape[0]
    bend = strokes(rng, shape, 0, shape[1] / 12, shape[0] / 24)
    phase = (y * round(rings) + 0.28 * bend) % 1
    return _standard(phase**1.5 + 0.35 * strokes(rng, shape, 0, 14, 0.7) + 0.15 * bend)


def cells(
    rng: np.random.Generator, shape: Shape, spacing: float, stretch: float = 1.0
) -> tuple[NDArray[np.int64], Texture, Texture]:
    """Return Voronoi cells around jittered points; `stretch` makes them wider than tall.

    Returns:
        For every pixel the number of its cell, the distance to that cell's point, and the distance
        to the border with the next cell (both in pixels, not standardised).
    """
    height, width = shape
    across = spacing * stretch
    gy, gx = np.mgrid[-spacing : height + spacing : spacing, -across : width + across : across]
    points = np.stack([gy, gx / stretch], axis=-1).reshape(-1, 2)
    points += rng.uniform(-0.45, 0.45, points.shape) * spacing
    y, x = np.indices(shape)
    distance, nearest = cKDTree(points).query(np.stack([y, x / stretch], axis=-1), k=2)
    border = (distance[..., 1] - distance[..., 0]) / 2
    return nearest[..., 0], distance[..., 0].astype(np.float32), border.astype(np.float32)


_SHAPE = (512, 512)
TILES: dict[str, Callable[[np.random.Generator], Texture]] = {
    "paper": lambda rng: noise(rng, _SHAPE, 0.4, 0.8),
    "cloud": lambda rng: noise(rng, (1024, 1024), 1.6),
    "stone": lambda rng: noise(rng, _SHAPE, 0.8),
    "fur": lambda rng: strokes(rng, _SHAPE, rng.uniform(0.3, 0.9), 8, 1.2),
    "grass": lambda rng: strokes(rng, _SHAPE, np.pi / 2 + rng.normal(0, 0.15), 10, 1.2),
    "relief": lambda rng: noise(rng, _SHAPE, 2.2, 3),
    "veins": lambda rng: _standard(
        0.1 * noise(rng, _SHAPE, 1.3) - np.exp(-9 * np.abs(noise(rng, _SHAPE, 1.7)))
    ),
    "water": lambda rng: strokes(rng, _SHAPE, 0, 24, 2.2),
    "brush": lambda rng: strokes(rng, _SHAPE, rng.uniform(-0.4, 0.4), 18, 1.4),
    "weave": lambda rng: weave(rng, _SHAPE, 8),
    "knit": lambda rng: knit(rng, _SHAPE, 16),
    "wood": lambda rng: wood(rng, _SHAPE),
}
"""Textures that paints name, each as a tile."""


@cache
def tile(texture: str, variant: int) -> Texture:
    """Return one of the `VARIANTS` tiles of a texture, always the same array."""
    return TILES[texture](np.random.default_rng([zlib.crc32(texture.encode()), variant]))


def _frequencies(shape: Shape) -> tuple[Texture, Texture]:
    """Return vertical and horizontal frequencies of an rfft2, in cycles a pixel."""
    fy, fx = scipy.fft.fftfreq(shape[0]), scipy.fft.rfftfreq(shape[1])
    return fy.astype(np.float32)[:, None], fx.astype(np.float32)[None, :]


def _filtered(rng: np.random.Generator, shape: Shape, gain: Texture) -> Texture:
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * gain
    spectrum[0, 0] = 0
    return _standard(scipy.fft.irfft2(spectrum, s=shape))


def _standard(field: NDArray[np.floating]) -> Texture:
    return ((field - field.mean()) / max(float(field.std()), 1e-9)).astype(np.float32)
