"""Shapes: outlines and paths as arrays of points (n, 2); x to the right, y down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Outline", "Points", "blob", "box", "curve", "leaf", "oval", "place", "ridge", "star", "stroke",
    "turned",
]  # fmt: skip

Points = NDArray[np.float64]
Outline = Points | Sequence[Sequence[float]]
"""An array of points, or a list of pairs."""


def box(left: float, top: float, right: float, bottom: float, radius: float = 0) -> Points:
    """Return a rectangle, with round corners if there is a radius."""
    if not radius:
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=float)
    radius = min(radius, abs(right - left) / 2, abs(bottom - top) / 2)
    xs, ys = (right - radius, left + radius), (bottom - radius, top + radius)
    centres = ((xs[0], ys[0]), (xs[1], ys[0]), (xs[1], ys[1]), (xs[0], ys[1]))
    return np.concatenate(
        [oval(x, y, radius, start=k / 4, end=k / 4 + 0.25) for k, (x, y) in enumerate(centres)]
    )


def oval(
    x: float, y: float, rx: float, ry: float | None = None, start: float = 0, end: float = 1
) -> Points:
    """Return an ellipse, or its part between two shares of a turn (0 is right, 0.25 is down)."""
    angle = np.linspace(start, end, 9 + round(40 * abs(end - start))) * 2 * np.pi
    return np.stack([x + np.cos(angle) * rx, y + np.sin(angle) * (ry or rx)], axis=1)


def blob(
    rng: np.random.Generator, x: float, y: float, rx: float, ry: float = 0, rough: float = 0.15
) -> Points:
    """Return a smooth closed outline around an ellipse; `rough` is the spread of its radius."""
    angle = np.linspace(0, 2 * np.pi, 49)[:-1]
    wave = np.arange(2, 8)[:, None]
    height, phase = rng.normal(0, rough, (6, 1)) / wave, rng.uniform(0, 2 * np.pi, (6, 1))
    radius = 1 + (height * np.cos(wave * angle + phase)).sum(axis=0)
    return np.stack(
        [x + rx * radius * np.cos(angle), y + (ry or rx) * radius * np.sin(angle)], axis=1
    )


def star(x: float, y: float, outer: float, inner: float, spikes: float) -> Points:
    """Return a star with one spike upwards."""
    angle = np.arange(2 * int(spikes)) * np.pi / int(spikes) - np.pi / 2
    radius = np.where(np.arange(len(angle)) % 2, inner, outer)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def leaf(length: float, width: float) -> Points:
    """Return a pointed leaf that grows from the origin along x."""
    t = np.linspace(0, 1, 12)
    half = np.stack([t * length, width / 2 * np.sin(np.pi * t**0.8)], axis=1)
    return np.concatenate([half, half[::-1] * (1, -1)])


def curve(points: Outline, *, closed: bool = True, steps: int = 8) -> Points:
    """Return a Catmull-Rom curve through the points."""
    knots = np.asarray(points, dtype=float)
    ends = [knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]]
    p0, p1, p2, p3 = (np.concatenate(ends)[k : len(knots) + k - (not closed)] for k in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None] for p in (p0, p1, p2, p3))
    cubic = 2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)
    path = (p1 + 0.5 * t * (p2 - p0 + t * cubic)).reshape(-1, 2)
    return path if closed else np.concatenate([path, knots[-1:]])


def stroke(path: Outline, *widths: float) -> Points:
    """Return the outline of a stroke along a path; the widths are spread evenly over its length."""
    line = np.asarray(path, dtype=float)
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    t = np.linspace(0, len(widths) - 1, len(line))
    half = across * np.interp(t, np.arange(len(widths)), widths)[:, None] / 2
    return np.concatenate([line + half, (line - half)[::-1]])


def turned(side: Outline) -> Points:
    """Return the outline of a turned vessel: a smooth right side and its mirror image."""
    right = curve(side, closed=False)
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def ridge(
    rng: np.random.Generator, right: float, level: float, height: float, slope: float = 1.3
) -> Points:
    """Return a skyline from x = 0 to `right`: a 1/f^slope walk around `level`.

    `height` is the walk's standard deviation.
    """
    waves = np.arange(1, 81)
    spectrum = (rng.normal(size=80) + 1j * rng.normal(size=80)) / waves**slope
    walk = np.fft.irfft(np.concatenate([[0], spectrum]), 320)[:160]
    walk *= height / max(float(walk.std()), 1e-9)
    return np.stack([np.linspace(-0.01, right + 0.01, 160), level + walk - walk.mean()], axis=1)


def place(shape: Outline, x: float, y: float, scale: float = 1, turn: float = 0) -> Points:
    """Return a shape scaled, turned (radians, clockwise on screen) and moved to (x, y)."""
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    return np.asarray(shape, dtype=float) @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
