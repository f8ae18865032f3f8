"""The language of motifs: how lists of parts are read and drawn.

A motif is `name: parts`. Parts are separated by `;`, and later ones cover earlier ones:

    PAINT SHAPE NUMBERS [: WIDTHS] [| OPTION]...

`PAINT` is a material or a colour (see `Canvas.paint`), or `shadow`. `SHAPE` is one of `SHAPES`, a
kind of `words.write` at x, y with a height, or another motif, which has no paint, at x, y with a
scale. A number may be drawn between two, as in `-.8~-.6`. The options repeat a part: `times N` on
the same spot, `both` with its mirror image, `row N DX DY` side by side, `ring N` around the origin,
`strew N R` at random places within a radius; `maybe P` draws only a share of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from curate.demo.draw import shapes
from curate.demo.draw.canvas import Canvas
from curate.demo.draw.motifs import MOTIFS
from curate.demo.draw.shapes import Points
from curate.demo.draw.words import KINDS, write

__all__ = ["SHAPES", "draw_motif"]

SHAPES: dict[str, Callable[..., Points]] = {
    "bar": lambda rng, xy, *widths: shapes.stroke(_pairs(xy), *widths),
    "blob": lambda rng, xy, rough=0.15: shapes.blob(rng, *xy, rough=rough),  # type: ignore[misc]
    "box": lambda rng, xy: shapes.box(*xy),
    "curve": lambda rng, xy: shapes.curve(_pairs(xy)),
    "hoop": lambda rng, xy, width: shapes.stroke(shapes.oval(*xy), width),
    "leaf": lambda rng, xy: shapes.place(shapes.leaf(*xy[2:4]), xy[0], xy[1], turn=sum(xy[4:])),
    "oval": lambda rng, xy: shapes.oval(*xy),
    "poly": lambda rng, xy: _pairs(xy),
    "star": lambda rng, xy: shapes.star(*xy),
    "stroke": lambda rng, xy, *w: shapes.stroke(shapes.curve(_pairs(xy), closed=False), *w),
    "turned": lambda rng, xy: shapes.turned(_pairs(xy)),
}
"""Outlines from a part's numbers and widths."""


def draw_motif(c: Canvas, name: str) -> None:
    """Draw a motif on a view, with paints and words of its own."""
    _draw(c.renamed(), name)


@dataclass(frozen=True)
class _Part:
    """One part of a motif; a number is a pair of bounds."""

    paint: str
    shape: str
    numbers: list[tuple[float, float]]
    widths: list[tuple[float, float]]
    options: list[tuple[str, list[float]]]


@cache
def _book() -> dict[str, list[_Part]]:
    """Read the parts of all motifs."""
    entries = re.findall(r"^(\w+):(.*(?:\n .*)*)", MOTIFS, re.MULTILINE)
    return {name: list(map(_read, text.split(";"))) for name, text in entries}


def _read(text: str) -> _Part:
    head, *tails = text.split("|")
    numbers, _, widths = head.partition(":")
    words = numbers.split()
    paint = words.pop(0) if words[1].isalpha() else ""
    options = [_read_option(tail) for tail in tails]
    return _Part(paint, words[0], _bounds(words[1:]), _bounds(widths.split()), options)


def _read_option(text: str) -> tuple[str, list[float]]:
    name, *numbers = text.split()
    return name, [float(number) for number in numbers]


def _bounds(words: list[str]) -> list[tuple[float, float]]:
    ends = [word.split("~") for word in words]
    return [(float(end[0]), float(end[-1])) for end in ends]


def _pairs(numbers: list[float]) -> Points:
    return np.reshape(numbers, (-1, 2))


def _draw(c: Canvas, name: str) -> None:
    for part in _book()[name]:
        for view in _copies(c, part.options):
            numbers = [c.uniform(*bounds) for bounds in part.numbers]
            widths = [c.uniform(*bounds) for bounds in part.widths]
            _draw_part(view, part.paint, part.shape, numbers, widths)


def _draw_part(
    c: Canvas, paint: str, shape: str, numbers: list[float], widths: list[float]
) -> None:
    if not paint:
        _draw(c.at(*numbers), shape)
    elif shape in KINDS:
        write(c, shape, paint, numbers)
    elif shape == "glow":
        c.glow(numbers[0], numbers[1], numbers[2], paint)
    elif paint == "shadow":
        c.shadow(SHAPES[shape](c.rng, numbers, *widths), 0.02)
    else:
        c.fill(SHAPES[shape](c.rng, numbers, *widths), paint)


def _copies(c: Canvas, options: list[tuple[str, list[float]]]) -> list[Canvas]:
    """Return the views on which a part is drawn, by its options."""
    views = [c]
    for option, numbers in options:
        count = range(int(numbers[0])) if numbers else range(0)
        match option:
            case "maybe":
                views = [view for view in views if c.chance(numbers[0])]
            case "times":
                views = [view for view in views for _ in count]
            case "both":
                views = [*views, *(view.at(0, 0, stretch=-1) for view in views)]
            case "row":
                views = [view.at(k * numbers[1], k * numbers[2]) for view in views for k in count]
            case "ring":
                turn = 2 * np.pi / len(count)
                views = [view.at(0, 0, turn=k * turn) for view in views for k in count]
            case "strew":
                views = [_thrown(view, numbers[1]) for view in views for _ in count]
    return views


def _thrown(c: Canvas, radius: float) -> Canvas:
    """Return a view at a random place within a radius, turned at random."""
    angle, reach = c.uniform(0, 2 * np.pi), radius * np.sqrt(c.uniform(0, 1))
    return c.at(reach * np.cos(angle), reach * np.sin(angle), turn=c.uniform(0, 2 * np.pi))
