"""Layouts: layers that place motifs, spread surfaces over a canvas, and frame pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from curate.demo.draw.canvas import Canvas, Layer
from curate.demo.draw.parts import draw_motif
from curate.demo.draw.shapes import box, stroke

__all__ = [
    "closeup", "floating", "floor", "framed", "ground", "horizon", "in_row", "page", "panels",
    "sheet", "sides", "standing", "tiled", "wall",
]  # fmt: skip


def horizon(low: float, high: float) -> Layer:
    """Set the height of the horizon between two bounds."""

    def layer(c: Canvas) -> None:
        c.level = c.uniform(low, high)

    return layer


def _area(view: Callable[[Canvas], Canvas]) -> Callable[[str], Layer]:
    """Return a layout that spreads one of several surfaces over an area."""
    return lambda names: lambda c: draw_motif(view(c), c.pick(names.split()))


wall = _area(lambda c: c.at(0, 0, c.level))
"""Above the horizon, in units of its height."""
ground = _area(lambda c: c.at(0, c.level, 1 - c.level))
"""Below the horizon, seen from the side, in units of its height."""
floor = _area(lambda c: c.floor())
"""Below the horizon, in perspective."""
sheet = _area(lambda c: c.at(0, 0))
"""The whole picture, in units of its height."""
page = _area(lambda c: c.at(0, 0, stretch=c.wide))
"""The whole picture, in units of its width and height."""


def sides(names: str) -> Layer:
    """Spread a surface over both side walls in perspective, to the end of a corridor."""

    def layer(c: Canvas) -> None:
        for sign in (-1, 1):
            draw_motif(c.side(sign), c.pick(names.split()))
        c.glow(c.wide / 2, c.level, 0.25, "#fff4d2", 0.9)

    return layer


def standing(names: str, least: int = 1, most: int = 1, size: float = 0.5) -> Layer:
    """Place motifs on the ground, side by side, the nearer the larger."""

    def layer(c: Canvas) -> None:
        count = c.whole(least, most)
        kinds = [c.pick(names.split()) for _ in range(min(count, 2))]
        nearness = np.sort(c.rng.uniform(0.2 if count > 2 else 0.6, 0.95, count))
        for slot, near in zip(c.rng.permutation(count), nearness.tolist(), strict=True):
            x = (slot + c.uniform(0.35, 0.65)) / count * c.wide
            scale = size * (0.35 + 0.7 * near) / count**0.3
            _place(c, c.pick(kinds), x, c.level + (1 - c.level) * near, scale)

    return layer


def floating(names: str, least: int, most: int, size: float, tilt: float = 0.2) -> Layer:
    """Place motifs of one kind anywhere but at the edges, a little tilted."""

    def layer(c: Canvas) -> None:
        count, kind = c.whole(least, most), c.pick(names.split())
        for slot in c.rng.permutation(count).tolist():
            x, y = (slot + c.uniform(0.25, 0.75)) / count * c.wide, c.uniform(0.25, 0.75)
            _place(c, kind, x, y, size * c.uniform(0.6, 1.2) / count**0.4, tilt)

    return layer


def closeup(names: str, size: float = 0.9, foot: float = 1.0) -> Layer:
    """Place one large motif in the middle, with its origin at a height."""

    def layer(c: Canvas) -> None:
        x = c.wide * c.uniform(0.45, 0.55)
        _place(c, c.pick(names.split()), x, foot, size * c.uniform(0.9, 1.1))

    return layer


def in_row(names: str, size: float, step: float, foot: float = 0, uneven: float = 0.08) -> Layer:
    """Place motifs from edge to edge along the horizon, or `foot` below it."""

    def layer(c: Canvas) -> None:
        scale = size * c.uniform(0.85, 1.2)
        for x in np.arange(-c.uniform(0, step) * scale, c.wide + step * scale, step * scale):
            high = scale * c.uniform(1 - uneven, 1 + uneven)
            draw_motif(c.at(x, c.level + foot, high, stretch=scale / high), c.pick(names.split()))

    return layer


def tiled(names: str, least: int, most: int, size: float = 1, turns: int = 1) -> Layer:
    """Place motifs of radius 1 in square cells, of which so many fit along the shorter side.

    Each is turned by a random multiple of a turn divided by `turns`.
    """

    def layer(c: Canvas) -> None:
        cell = c.unit / c.whole(least, most)
        columns, rows = max(1, round(c.wide / cell)), max(1, round(1 / cell))
        kinds = names.split() if turns > 1 else [c.pick(names.split())]
        for row, column in np.ndindex(rows, columns):
            at = ((column + 0.5) * c.wide / columns, (row + 0.5) / rows)
            turn = 2 * np.pi * c.whole(1, turns) / turns
            draw_motif(c.at(*at, cell / 2 * size, turn), c.pick(kinds))

    return layer


def framed(left: float, top: float, right: float, bottom: float, *scenes: Sequence[Layer]) -> Layer:
    """Draw one of several scenes in flat colours in a box, in shares of the width and height."""

    def layer(c: Canvas) -> None:
        c.inset(box(left, top, right, bottom) * (c.wide, 1), *c.pick(scenes), outline=0)

    return layer


def panels(rows: int, columns: int, *scenes: Sequence[Layer]) -> Layer:
    """Draw inked scenes in up to so many rows and columns of unequal sizes."""

    def layer(c: Canvas) -> None:
        top = 0.01
        for tall in c.rng.dirichlet(np.full(c.whole(min(2, rows), rows), 20)) * 0.99:
            left = 0.01
            for wide in c.rng.dirichlet(np.full(c.whole(1, columns), 20)) * (c.wide - 0.01):
                corners = box(left, top, left + wide - 0.015, top + tall - 0.015)
                c.inset(corners, *c.pick(scenes), outline=0.006)
                c.fill(stroke([*corners, *corners[:2]], 0.008), "black")
                left += wide
            top += tall

    return layer


def _place(c: Canvas, name: str, x: float, y: float, size: float, tilt: float = 0) -> None:
    """Draw a motif, slimmer or wider than it is written, and mirrored in half of all cases."""
    stretch = c.uniform(0.88, 1.14) * c.pick((-1, 1))
    draw_motif(c.at(x, y, size * c.unit, c.rng.normal(0, tilt), stretch), name)
