"""Shapes as arrays of points, shape (n, 2), in units of the picture's height; x to the right, y down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Outline",
    "Points",
    "blob",
    "ellipse",
    "place",
    "rectangle",
    "ribbon",
    "ridge",
    "rounded",
    "smooth",
    "star",
    "within",
    "xy",
]

Points = NDArray[np.float64]
Outline = NDArray[np.float64] | Sequence[Sequence[float] | NDArray[np.float64]]
"""What can be made into points: an array, or a list of pairs."""


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


def rounded(left: float, top: float, right: float, bottom: float, radius: float) -> Points:
    """A rectangle with round corners."""
    radius = min(radius, abs(right - left) / 2, abs(bottom - top) / 2)
    xs, ys = (right - radius, left + radius), (bottom - radius, top + radius)
    centres = ((xs[0], ys[0]), (xs[1], ys[0]), (xs[1], ys[1]), (xs[0], ys[1]))
    corners = [
        ellipse(x, y, radius, start=k / 4, end=(k + 1) / 4, points=9)
        for k, (x, y) in enumerate(centres)
    ]
    return np.concatenate(corners)


def ellipse(
    x: float,
    y: float,
    rx: float,
    ry: float | None = None,
    *,
    turn: float = 0,
    start: float = 0,
    end: float = 1,
    points: int = 49,
) -> Points:
    """An ellipse, or its part between two shares of the full turn (0 is right, 0.25 is down); `turn` in radians."""
    angle = np.linspace(start, end, points) * 2 * np.pi
    outline = np.stack([np.cos(angle) * rx, np.sin(angle) * (rx if ry is None else ry)], axis=1)
    return place(outline, x, y, turn=turn)


def blob(
    rng: np.random.Generator,
    x: float,
    y: float,
    rx: float,
    ry: float | None = None,
    rough: float = 0.15,
) -> Points:
    """A closed smooth outline around an ellipse; `rough` is the spread of its radius."""
    angle = np.linspace(0, 2 * np.pi, 65)[:-1]
    radius = np.ones_like(angle)
    for wave in range(2, 8):
        radius += rough / wave * rng.normal() * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.stack(
        [x + rx * radius * np.cos(angle), y + (rx if ry is None else ry) * radius * np.sin(angle)],
        axis=1,
    )


def star(x: float, y: float, outer: float, inner: float, spikes: int, turn: float = 0) -> Points:
    angle = turn + np.arange(2 * spikes) * np.pi / spikes
    radius = np.where(np.arange(2 * spikes) % 2, inner, outer)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def smooth(points: Outline, *, closed: bool = True, steps: int = 8) -> Points:
    """A Catmull-Rom curve through the points."""
    knots = np.asarray(points, dtype=np.float64)
    before, after, after2 = (np.roll(knots, shift, axis=0) for shift in (1, -1, -2))
    if not closed:
        before[0], after2[-2] = knots[0], knots[-1]
        knots, before, after, after2 = knots[:-1], before[:-1], after[:-1], after2[:-1]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (before, knots, after, after2))
    curve = p1 + 0.5 * t * (
        p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, np.asarray(points, dtype=np.float64)[-1:]])


def ribbon(path: Outline, widths: float | Sequence[float]) -> Points:
    """The outline of a stroke along a path; several widths are spread evenly over its length."""
    line = np.asarray(path, dtype=np.float64)
    along = np.gradient(line, axis=0)
    across = (
        np.stack([-along[:, 1], along[:, 0]], axis=1)
        / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    )
    knots = np.atleast_1d(np.asarray(widths, dtype=np.float64))
    half = (
        np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(knots)), knots)[:, None] / 2
    )
    return np.concatenate([line + across * half, (line - across * half)[::-1]])


def ridge(
    rng: np.random.Generator,
    right: float,
    level: float,
    height: float,
    slope: float = 1.4,
    points: int = 160,
) -> Points:
    """A skyline from x = 0 to `right` around y = `level`: a 1/f^slope walk with standard deviation `height`."""
    waves = np.arange(1, points // 2 + 1)
    spectrum = (rng.normal(size=waves.size) + 1j * rng.normal(size=waves.size)) / waves**slope
    walk = np.fft.irfft(np.concatenate([[0], spectrum]), 2 * points)[:points]
    walk *= height / max(float(walk.std()), 1e-9)
    return np.stack([np.linspace(-0.01, right + 0.01, points), level + walk - walk.mean()], axis=1)


def place(
    shape: Outline, x: float, y: float, scale: float = 1, *, turn: float = 0, flip: bool = False
) -> Points:
    """A shape around the origin, mirrored, scaled, turned (radians, clockwise on screen) and put at (x, y)."""
    points = np.asarray(shape, dtype=np.float64) * (-scale if flip else scale, scale)
    cos, sin = np.cos(turn), np.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def xy(point: ArrayLike) -> tuple[float, float]:
    """The two coordinates of a point."""
    x, y = np.asarray(point, dtype=np.float64).tolist()
    return x, y


def within(rng: np.random.Generator, radius: float) -> Points:
    """A random point of a disc around the origin, shape (2,)."""
    angle, reach = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.random())
    return np.array([reach * np.cos(angle), reach * np.sin(angle)])
