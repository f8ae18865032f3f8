"""Comics: pages of panels, single panels with an effect, strips."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter
from curate.demo.draw.people import HAIR, SKIN
from curate.demo.draw.shapes import (
    Points,
    ellipse,
    place,
    rectangle,
    ridge,
    rounded,
    smooth,
    star,
    xy,
)

__all__ = ["effects", "pages", "strips"]

_INK = (22, 20, 26)
_LINES = (
    "WHERE IS THE KEY?", "LOOK OUT!", "NOT AGAIN...", "RUN!", "WHO GOES THERE?", "I KNEW IT.", "IT'S ONLY A CAT",
    "MEANWHILE, AT SEA", "TOO LATE!", "THIS WAY!", "HA HA!", "WAIT FOR ME", "A LETTER?", "THE TRAIN LEFT", "WHAT NOW?",
    "SHHH...", "ALL IS WELL", "OH NO",
)  # fmt: skip
_SOUNDS = ("POW!", "ZAP!", "BOOM!", "CRASH!", "WHAM!", "SPLASH!", "KRAK!", "VROOM!")


def pages(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A page of panels in rows of unequal widths."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, palette.light if rng.random() < 0.7 else (250, 248, 240))
    y, gutter, rows = 0.02, 0.018, int(rng.integers(2, 4))
    cast = [_Look(rng, palette) for _ in range(2)]
    for height in _shares(rng, rows, 0.98 - 0.02):
        x = 0.02
        for width in _shares(rng, int(rng.integers(1, 4)), c.wide - 0.04):
            _panel(c, x, y, x + width - gutter, y + height - gutter, palette, cast)
            x += width
        y += height
    return c.finish()


def strips(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A strip of equal panels, in black and white with dots or in colour."""
    palette = choose_palette(rng)
    if rng.random() < 0.5:
        greys: tuple[Colour, ...] = (
            (30, 30, 32),
            (90, 90, 94),
            (150, 150, 154),
            (190, 190, 192),
            (222, 222, 222),
            (248, 248, 246),
        )
        palette = Palette(greys)
    c = Canvas(rng, size, (250, 248, 242))
    count = int(rng.integers(2, 5))
    columns = count if c.wide > 1 else 2
    rows, cast = -(-count // columns), [_Look(rng, palette) for _ in range(2)]
    for k in range(rows * columns):
        x, y = 0.02 + (k % columns) * (c.wide - 0.03) / columns, 0.02 + (k // columns) * 0.97 / rows
        _panel(
            c, x, y, x + (c.wide - 0.03) / columns - 0.015, y + 0.97 / rows - 0.02, palette, cast
        )
    return c.finish()


def effects(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """One panel with rays, a burst and a sound."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, palette.light)
    x, y, rays = c.wide * rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6), int(rng.integers(12, 40))
    for k in range(rays):
        a, b = (2 * np.pi * (k + e) / rays for e in (0, 0.5))
        c.fill(
            [
                [x, y],
                [x + 3 * np.cos(a), y + 3 * np.sin(a)],
                [x + 3 * np.cos(b), y + 3 * np.sin(b)],
            ],
            palette.colours[4],
        )
    _dots(c, rectangle(0, 0, c.wide, 1), palette.pick(rng), rng.uniform(0.012, 0.035), True)
    r, spikes = 0.4 * c.unit, int(rng.integers(9, 20))
    for share, colour in ((1.12, _INK), (1.05, palette.colours[3]), (0.82, palette.light)):
        burst = star(x, y, 1.15 * r * share, 0.72 * r * share, spikes, 0.1)
        c.fill((burst - (x, y)) * (1.15, 0.9) + (x, y), colour)
    word = _SOUNDS[rng.integers(len(_SOUNDS))]
    height, turn = 1.35 * r / (0.62 * len(word)), float(rng.uniform(-14, 14))
    for offset, colour in ((0.06, _INK), (0, palette.colours[2])):
        c.text(x + offset * height, y + offset * height, word, height, colour, "oblique", turn=turn)
    for _ in range(rng.integers(4, 16)):
        at = (rng.uniform(0, c.wide), rng.random())
        c.outlined(
            star(*xy(at), 0.03, 0.012, int(rng.integers(4, 7)), rng.uniform(0, 3)),
            palette.light,
            _INK,
            0.003,
        )
    c.line(np.concatenate([c.whole, c.whole[:2]]), _INK, 0.03)
    return c.finish()


def _shares(rng: np.random.Generator, count: int, total: float) -> list[float]:
    parts = rng.uniform(0.7, 1.4, count)
    return (parts / parts.sum() * total).tolist()


class _Look:
    """What makes a character the same in every panel."""

    def __init__(self, rng: np.random.Generator, palette: Palette) -> None:
        grey = (
            len(set(palette.colours[2])) == 1
            or max(palette.colours[2]) - min(palette.colours[2]) < 6
        )
        self.skin: Colour = palette.light if grey else SKIN[rng.integers(6)]
        self.hair: Colour = palette.colours[rng.integers(0, 3)] if grey else HAIR[rng.integers(6)]
        self.coat = jitter(rng, palette.pick(rng))
        self.style = int(rng.integers(3))


def _dots(c: Canvas, within: Points, colour: Colour, pitch: float, fading: bool) -> None:
    """Halftone dots in a rectangle, smaller towards the top if `fading`."""
    (left, top), (right, bottom) = within[0], within[2]
    for row, y in enumerate(np.arange(top, bottom, pitch * 0.87)):
        share = (y - top) / (bottom - top) if fading else 0.55
        r = pitch * 0.62 * np.sqrt(share)
        for x in np.arange(left + pitch * 0.5 * (row % 2), right, pitch):
            if r > 0.0008 and left + r < x < right - r and top + r < y < bottom - r:
                c.fill(ellipse(x, y, r, points=9), colour)


def _panel(
    c: Canvas,
    left: float,
    top: float,
    right: float,
    bottom: float,
    palette: Palette,
    cast: list[_Look],
) -> None:
    rng, frame = c.rng, rectangle(left, top, right, bottom)
    wide, tall = right - left, bottom - top
    c.fill(
        frame,
        Paint(jitter(rng, palette.colours[rng.integers(2, 6)]), texture="paper", contrast=0.01),
    )
    setting, ink = rng.integers(4), jitter(rng, palette.pick(rng))
    if setting == 0:
        _dots(c, frame, ink, rng.uniform(0.01, 0.022), True)
    elif setting == 1:
        line = ridge(rng, 1, 0, 0.07) * (wide / 1.02, tall) + (left, top + 0.6 * tall)
        line[:, 0] = np.clip(line[:, 0], left, right)
        c.outlined(np.concatenate([line, [[right, bottom], [left, bottom]]]), ink, _INK, 0.004)
    elif setting == 2:
        for x in np.arange(left, right - 0.02, 0.055):
            high = tall * rng.uniform(0.3, 0.65)
            c.outlined(rectangle(x, bottom - high, min(x + 0.055, right), bottom), ink, _INK, 0.003)
            for wy in np.arange(bottom - high + 0.012, bottom - 0.02, 0.028):
                c.fill(rectangle(x + 0.01, wy, min(x + 0.02, right), wy + 0.012), palette.light)
    else:
        for k in np.linspace(0, 1, 30):
            edge = (
                np.array([left + k * wide, top])
                if k < 0.5
                else np.array([right, top + (k - 0.5) * 2 * tall])
            )
            middle = np.array([left + 0.4 * wide, bottom - 0.3 * tall])
            c.line(
                [edge, edge + (middle - edge) * rng.uniform(0.3, 0.7)],
                _INK,
                rng.uniform(0.001, 0.005),
            )
    count = 1 if wide < 0.7 * tall else int(rng.integers(1, 3))
    for k in range(count):
        r = min(wide / (count + 0.3), tall) * 0.27
        _figure(
            c,
            left + (k + 0.5 + rng.uniform(-0.08, 0.08)) / count * wide,
            bottom,
            r,
            cast[k if count > 1 else rng.integers(2)],
            bool(k),
            tall,
        )
    if rng.random() < 0.85:
        _balloon(c, left, top, wide, tall, _LINES[rng.integers(len(_LINES))])
    c.line(np.concatenate([frame, frame[:2]]), _INK, 0.008)


def _figure(
    c: Canvas, x: float, bottom: float, r: float, look: _Look, flip: bool, tall: float
) -> None:
    """Head and shoulders, cut by the lower edge of the panel."""
    y, pen = bottom - min(1.75 * r, 0.55 * tall), 0.05 * r

    def put(shape: Points, paint: Colour) -> None:
        shape = place(shape, x, y, r, flip=flip)
        shape[:, 1] = np.minimum(shape[:, 1], bottom)
        c.outlined(shape, paint, _INK, pen)

    put(
        smooth([[-0.25, 0.8], [0.25, 0.8], [1.1, 1.2], [1.25, 3], [-1.25, 3], [-1.1, 1.2]]),
        look.coat,
    )
    put(rectangle(-0.2, 0.6, 0.2, 1.0), look.skin)
    if look.style == 1:
        put(smooth([[-0.8, 0.7], [-0.95, -0.4], [0, -1.2], [0.95, -0.4], [0.8, 0.7]]), look.hair)
    put(
        smooth([[-0.75, -0.3], [0, -0.95], [0.75, -0.3], [0.6, 0.5], [0, 0.92], [-0.6, 0.5]]),
        look.skin,
    )
    mood = c.rng.uniform(-0.14, 0.16)
    for side in (-0.28, 0.34):
        c.fill(place(ellipse(side, -0.05, 0.13, 0.18), x, y, r, flip=flip), (255, 255, 255))
        c.fill(place(ellipse(side + 0.04, -0.03, 0.06, 0.09), x, y, r, flip=flip), _INK)
        c.line(
            place(
                [
                    [side - 0.15, -0.36 + mood * np.sign(side)],
                    [side + 0.15, -0.36 - mood * np.sign(side)],
                ],
                x,
                y,
                r,
                flip=flip,
            ),
            _INK,
            1.6 * pen,
        )
    c.line(place([[0.06, 0.05], [0.16, 0.28], [0.02, 0.3]], x, y, r, flip=flip), _INK, pen)
    if c.rng.random() < 0.4:
        put(ellipse(0.05, 0.56, 0.17, 0.11 + 0.4 * abs(mood)), (120, 30, 40))
    else:
        c.line(
            place(
                smooth([[-0.22, 0.55], [0.05, 0.55 + mood], [0.3, 0.53]], closed=False),
                x,
                y,
                r,
                flip=flip,
            ),
            _INK,
            1.4 * pen,
        )
    if look.style == 2:
        put(
            smooth(
                [
                    [-1.1, -0.5],
                    [-0.6, -0.62],
                    [-0.5, -1.2],
                    [0.5, -1.2],
                    [0.6, -0.62],
                    [1.1, -0.5],
                    [0, -0.4],
                ]
            ),
            look.hair,
        )
    else:
        put(
            smooth(
                [
                    [-0.82, 0],
                    [-0.85, -0.6],
                    [-0.2, -1.25],
                    [0.6, -1.1],
                    [0.85, -0.5],
                    [0.5, -0.62],
                    [0.2, -0.45],
                    [-0.2, -0.7],
                    [-0.55, -0.35],
                ]
            ),
            look.hair,
        )


def _balloon(c: Canvas, left: float, top: float, wide: float, tall: float, words: str) -> None:
    """A speech balloon at the top of a panel; long lines are broken in two."""
    parts = words.split()
    half = (len(parts) + 1) // 2
    lines = [words] if len(words) < 9 else [" ".join(parts[:half]), " ".join(parts[half:])]
    lines = [line for line in lines if line]
    height = min(0.1 * tall, 0.64 * wide / (0.68 * max(len(line) for line in lines)))
    width = max(c.text_width(line, height, "bold") for line in lines) + 1.4 * height
    x, y = (
        left + wide * c.rng.uniform(0.42, 0.58),
        top + 0.05 * tall + (0.5 + 0.65 * len(lines)) * height,
    )
    body = rounded(
        x - width / 2,
        y - (0.3 + 0.62 * len(lines)) * height,
        x + width / 2,
        y + (0.3 + 0.62 * len(lines)) * height,
        0.8 * height,
    )
    foot = y + (0.25 + 0.6 * len(lines)) * height
    tail = np.array(
        [
            [x - 0.4 * height, foot],
            [x + 0.5 * height, foot],
            [x + 0.9 * height, foot + 1.3 * height],
        ]
    )
    for shape in (body, tail):
        c.line(np.concatenate([shape, shape[:2]]), _INK, 0.16 * height)
    for shape in (body, tail):
        c.fill(shape, (255, 254, 250))
    for k, line in enumerate(lines):
        c.text(x, y + (k - (len(lines) - 1) / 2) * 1.15 * height, line, height, _INK, "bold")
