"""Nature: mountains, forests, seas, dunes, flowers and leaves.

Its skies, meadows and trees serve the other outdoor scenes too.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.shapes import Points, blob, ellipse, place, ribbon, ridge, smooth

__all__ = [
    "close",
    "dunes",
    "flowers",
    "forest",
    "grass",
    "leaf",
    "leaves",
    "mountains",
    "sea",
    "sky",
    "tree",
]

_WHITE = (255, 252, 245)
_GREENS: tuple[Colour, ...] = (
    (58, 94, 52),
    (92, 122, 54),
    (44, 82, 66),
    (128, 138, 62),
    (76, 108, 84),
)
_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((92, 150, 205), (222, 232, 230)), ((64, 110, 170), (250, 214, 180)), ((36, 44, 92), (236, 140, 112)),
    ((120, 160, 170), (238, 232, 210)), ((150, 170, 190), (226, 226, 220)), ((18, 26, 58), (86, 84, 130)),
)  # fmt: skip


def sky(c: Canvas, horizon: float = 1.0) -> tuple[Colour, Colour]:
    """A sky down to the horizon, with a sun or moon and clouds as it comes; returns its upper and lower colour."""
    rng = c.rng
    high, low = (jitter(rng, colour, 8) for colour in _SKIES[rng.integers(len(_SKIES))])
    c.fill(c.whole * (1, horizon), Paint(high, low, "cloud", rng.uniform(0.005, 0.05)))
    if rng.random() < 0.6:
        x, y, r = (
            rng.uniform(0.15, 0.85) * c.wide,
            rng.uniform(0.15, 0.7) * horizon,
            rng.uniform(0.03, 0.08) * c.unit,
        )
        c.glow(x, y, 6 * r, (255, 236, 190), 0.7)
        c.fill(ellipse(x, y, r), mix(low, (255, 246, 214), 0.85))
    for _ in range(rng.integers(0, 6)):
        _cloud(
            c,
            rng.uniform(0, c.wide),
            rng.uniform(0.08, 0.75) * horizon,
            rng.uniform(0.05, 0.16) * c.unit,
            mix(low, _WHITE, 0.6),
        )
    return high, low


def _cloud(c: Canvas, x: float, y: float, width: float, colour: Colour) -> None:
    for _ in range(c.rng.integers(4, 9)):
        r = width * c.rng.uniform(0.15, 0.35)
        puff = blob(
            c.rng,
            x + c.rng.uniform(-0.7, 0.7) * width,
            y - 0.4 * r + c.rng.uniform(-0.05, 0.05) * width,
            1.5 * r,
            0.6 * r,
        )
        c.fill(puff, jitter(c.rng, colour, 3))


def grass(c: Canvas, level: float, colour: Colour, blades: int = 700) -> None:
    """A meadow from `level` down: a lawn with single blades that grow towards the viewer."""
    rng = c.rng
    ground = ridge(rng, c.wide, level, 0.012 * rng.random(), 2)
    c.fill(
        close(c, ground),
        Paint(mix(colour, (230, 224, 150), 0.25), mix(colour, (10, 30, 20), 0.35), "grass", 0.09),
    )
    for y in np.sort(rng.uniform(level, 1.06, blades)):
        near = (y - level) / max(1.02 - level, 0.05)
        x, height = rng.uniform(0, c.wide), (0.012 + 0.07 * near) * rng.uniform(0.5, 1.3)
        lean = rng.normal(0, 0.35) * height
        blade = ribbon(
            [[x, y], [x + 0.3 * lean, y - 0.6 * height], [x + lean, y - height]],
            [0.004 + 0.005 * near, 0.004, 0.0005],
        )
        c.fill(blade, jitter(rng, mix(colour, (214, 214, 120), 0.35 * rng.random()), 14))


def close(c: Canvas, line: Points, bottom: float = 1.01) -> Points:
    """The land under a skyline."""
    return np.concatenate([line, [[c.wide + 0.01, bottom], [-0.01, bottom]]])


def leaf(length: float, width: float) -> Points:
    """A pointed leaf from the origin along x."""
    t = np.linspace(0, 1, 12)
    half = width / 2 * np.sin(np.pi * t**0.8)
    return np.concatenate([np.stack([t * length, half], 1), np.stack([t * length, -half], 1)[::-1]])


def tree(c: Canvas, x: float, y: float, height: float, colour: Colour, kind: int) -> None:
    """A tree whose foot stands at (x, y). Kinds: 0 fir, 1 broad-leaved, 2 bare, 3 poplar."""
    rng, bark = c.rng, mix((82, 58, 44), colour, 0.15)
    trunk = ribbon(
        [[x, y], [x + rng.normal(0, 0.01), y - height * 0.5], [x, y - height * 0.9]],
        [0.07 * height, 0.045 * height, 0.01],
    )
    c.fill(trunk, shaded(bark, "brush", 0.1))
    if kind == 0:
        for step in np.linspace(0.25, 1, 6):
            half = 0.3 * height * (1.1 - step) * rng.uniform(0.85, 1.15)
            jag = np.linspace(-1, 1, 13)
            edge = np.stack(
                [x + jag * half, y - height * (step - 0.14) + rng.normal(0, 0.012, 13) * height], 1
            )
            c.fill(
                [*edge, [x, y - height * (step + 0.12)]],
                shaded(jitter(rng, colour, 6), "fur", 0.12),
            )
        return
    if kind == 2:
        for branch in range(9):
            side, root = (-1) ** branch, y - height * rng.uniform(0.3, 0.85)
            tip = (
                x + side * height * rng.uniform(0.12, 0.34),
                root - height * rng.uniform(0.1, 0.3),
            )
            c.fill(
                ribbon(
                    smooth(
                        [[x, root], [(x + tip[0]) / 2, root - 0.04 * height], tip], closed=False
                    ),
                    [0.02 * height, 0.003],
                ),
                bark,
            )
        return
    across = 0.33 if kind == 1 else 0.13
    for k in range(130):
        angle, radius = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        dx, dy = radius * across * np.cos(angle), radius * 0.36 * np.sin(angle)
        # leaves drawn later lie higher and further left, where the light comes from
        light = np.clip(0.5 - dx - 1.1 * dy + 0.2 * rng.normal() - 0.3 * (k < 50), 0, 1)
        clump = blob(
            rng,
            x + dx * height,
            y - (0.64 - dy) * height,
            rng.uniform(0.05, 0.09) * height,
            rough=0.4,
        )
        c.fill(
            clump,
            shaded(
                mix(mix(colour, (14, 30, 30), 0.45), mix(colour, (240, 226, 120), 0.3), light),
                "fur",
                0.1,
            ),
        )


def mountains(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Ranges behind ranges in haze, with snow, sometimes over a lake or with firs in front."""
    c = Canvas(rng, size, _WHITE)
    _, low = sky(c, 0.8)
    rock = jitter(rng, ((74, 78, 96), (96, 76, 74), (60, 86, 92))[rng.integers(3)], 10)
    count = rng.integers(3, 6)
    for k in range(count):
        near = (k + 1) / count
        skyline = ridge(
            rng, c.wide, 0.36 + 0.35 * near, rng.uniform(0.05, 0.1) * (1.3 - 0.7 * near), 1.25, 240
        )
        c.fill(
            close(c, skyline),
            Paint(
                mix(low, rock, 0.25 + 0.7 * near),
                mix(low, rock, 0.05 + 0.6 * near),
                "stone",
                0.09 * near,
            ),
        )
        if near < 0.8 and rng.random() < 0.6:
            snow = np.clip(0.42 + 0.2 * near - skyline[:, 1], 0, None) * rng.uniform(
                0.25, 0.6, len(skyline)
            )
            c.fill(
                np.concatenate([skyline, (skyline + np.stack([0 * snow, snow], 1))[::-1]]),
                Paint(_WHITE, mix(low, _WHITE, 0.6), "stone"),
            )
    if rng.random() < 0.5:
        shore = rng.uniform(0.78, 0.88)
        c.fill(
            c.whole * (1, 1 - shore) + (0, shore),
            Paint(mix(low, rock, 0.3), mix(rock, (20, 50, 80), 0.4), "water", 0.1),
        )
    green = _GREENS[rng.integers(5)]
    for y in np.sort(rng.uniform(0.86, 1.1, rng.integers(0, 26))):
        tree(
            c,
            rng.uniform(0, c.wide),
            y,
            rng.uniform(0.12, 0.3) * y**3,
            jitter(rng, mix(green, (20, 40, 46), 0.35), 8),
            0,
        )
    return c.finish()


def forest(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Trees of one kind or of several on a meadow."""
    c = Canvas(rng, size, _WHITE)
    _, low = sky(c, 0.75)
    autumn = rng.random() < 0.35
    greens = ((190, 100, 40), (214, 150, 52), (150, 66, 44), (120, 110, 50)) if autumn else _GREENS
    base = greens[rng.integers(4)]
    c.fill(close(c, ridge(rng, c.wide, 0.62, 0.03)), Paint(mix(low, base, 0.5), base, "fur", 0.08))
    grass(c, rng.uniform(0.66, 0.8), mix(base, (96, 120, 60), 0.6), 350)
    kinds = rng.choice(4, size=rng.integers(1, 3), p=[0.4, 0.35, 0.1, 0.15])
    for y in np.sort(rng.uniform(0.74, 1.0, rng.integers(4, 12))):
        kind = int(kinds[rng.integers(len(kinds))])
        tree(
            c,
            rng.uniform(0, c.wide),
            y,
            rng.uniform(0.5, 0.8) * y,
            jitter(rng, greens[rng.integers(4)], 10),
            kind,
        )
    return c.finish()


def sea(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Open water under a sky: waves, the sun's path, rocks or a beach."""
    level = rng.uniform(0.35, 0.6)
    c = Canvas(rng, size, _WHITE)
    high, low = sky(c, level)
    deep = mix(high, (14, 60, 86), rng.uniform(0.4, 0.8))
    c.fill(
        c.whole * (1, 1 - level) + (0, level),
        Paint(mix(low, deep, 0.5), deep, "water", rng.uniform(0.04, 0.12)),
    )
    for y in np.sort(level + (1 - level) * rng.random(220) ** 0.7):
        near = (y - level) / (1 - level)
        x, width = rng.uniform(0, c.wide), (0.02 + 0.12 * near) * rng.uniform(0.4, 1.4)
        crest = [[x - width, y], [x, y - 0.012 * near], [x + width, y]]
        c.fill(
            ribbon(smooth(crest, closed=False), [0.0004, 0.003 + 0.007 * near, 0.0004]),
            mix(deep, _WHITE, rng.uniform(0.15, 0.7)),
        )
    if rng.random() < 0.5:
        sand = jitter(rng, (222, 196, 150))
        shore = ridge(rng, c.wide, rng.uniform(0.8, 0.92), 0.02, 2)
        c.fill(close(c, shore - (0, 0.015)), _WHITE)
        c.fill(close(c, shore), Paint(mix(sand, (120, 90, 60), 0.3), sand, "stone", 0.05))
    else:
        for _ in range(rng.integers(0, 5)):
            r = rng.uniform(0.04, 0.15)
            rock = blob(rng, rng.uniform(0, c.wide), rng.uniform(0.75, 1), 1.6 * r, r, 0.4)
            c.fill(rock, shaded((78, 74, 78), "stone", 0.12, 0.5))
    return c.finish()


def dunes(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Sand in waves, each dune with a bright and a dark side."""
    c = Canvas(rng, size, _WHITE)
    _, low = sky(c, 0.7)
    sand = jitter(rng, ((220, 172, 112), (206, 136, 90), (232, 210, 170))[rng.integers(3)], 10)
    for near in np.linspace(0, 1, rng.integers(4, 8)):
        line = ridge(rng, c.wide, 0.45 + 0.45 * near, 0.02 + 0.04 * near, 2.2)
        light = mix(low, sand, 0.4 + 0.6 * near)
        c.fill(close(c, line), Paint(light, mix(light, (130, 80, 60), 0.25), "water", 0.05))
        dark = line + np.stack(
            [
                0 * line[:, 0],
                rng.uniform(0.03, 0.12) * np.abs(np.gradient(line[:, 1]) * 60).clip(0, 1),
            ],
            1,
        )
        c.fill(
            np.concatenate([line, dark[::-1]]),
            Paint(mix(light, (96, 56, 60), 0.5), texture="water", contrast=0.04),
        )
    return c.finish()


def flowers(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A meadow of flowers, seen from the side or close by."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, _WHITE)
    green = _GREENS[rng.integers(5)]
    if rng.random() < 0.6:
        level = rng.uniform(0.25, 0.5)
        sky(c, level + 0.05)
        grass(c, level, green, 500)
    else:
        level = -0.1
        c.fill(
            c.whole,
            Paint(mix(green, (200, 210, 150), 0.4), mix(green, (10, 24, 20), 0.5), "cloud", 0.05),
        )
    petals = rng.integers(5, 14)
    for y in np.sort(rng.uniform(level + 0.1, 1.05, rng.integers(14, 60))):
        r = (0.018 + 0.075 * (y - level) ** 1.5) * rng.uniform(0.6, 1.2)
        _flower(c, rng.uniform(0, c.wide), y, r, palette, int(petals), green)
    return c.finish()


def _flower(
    c: Canvas, x: float, y: float, r: float, palette: Palette, petals: int, green: Colour
) -> None:
    rng = c.rng
    stem = smooth(
        [[x, y], [x + rng.normal(0, r / 2), y + 2 * r], [x + rng.normal(0, r), y + 6 * r]],
        closed=False,
    )
    c.fill(ribbon(stem, 0.13 * r), jitter(rng, mix(green, (20, 40, 20), 0.3), 8))
    for side in (-1, 1):
        c.fill(
            place(leaf(2 * r, 0.6 * r), *stem[10], turn=-np.pi / 2 + side * rng.uniform(0.5, 1.2)),
            jitter(rng, green, 10),
        )
    colour, start, squash = (
        jitter(rng, palette.colours[rng.integers(1, 6)], 14),
        rng.uniform(0, 6),
        rng.uniform(0.6, 1),
    )
    for k in range(petals):
        outline = place(
            leaf(r, 2.6 * r / petals + 0.15 * r), 0, 0, turn=start + 2 * np.pi * k / petals
        ) * (1, squash)
        c.fill(outline + (x, y), shaded(jitter(rng, colour, 9), "brush", 0.07))
    c.fill(ellipse(x, y, 0.3 * r, 0.3 * r * squash), shaded((212, 160, 50), "paper", 0.14))


def leaves(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Foliage from near: leaf over leaf with veins, from shade to light."""
    green = jitter(rng, (*_GREENS, (176, 92, 44))[rng.integers(6)], 14)
    c = Canvas(rng, size, mix(green, (6, 14, 14), 0.75))
    long, count = rng.uniform(0.08, 0.34) * c.unit, 0
    thin, veins = rng.uniform(0.25, 0.6), rng.random() < 0.7
    count = int(np.clip(9 * c.wide / long**2, 120, 900))
    for k in range(count):
        depth = k / count
        colour = jitter(
            rng, mix(mix(green, (8, 20, 20), 0.6), mix(green, (236, 232, 140), 0.35), depth), 10
        )
        x, y, turn, length = (
            rng.uniform(-0.1, c.wide + 0.1),
            rng.uniform(-0.1, 1.1),
            rng.uniform(0, 2 * np.pi),
            long * rng.uniform(0.6, 1.2),
        )
        shape = place(leaf(length, thin * length), x, y, turn=turn)
        if depth > 0.5:
            c.fill(shape + 0.02 * long, mix(colour, (6, 16, 14), 0.7))
        c.fill(shape, shaded(colour, "fur", 0.05) if depth > 0.4 else colour)
        if veins and depth > 0.3:
            rib = mix(colour, (240, 240, 190), 0.4)
            c.line(place([[0, 0], [length, 0]], x, y, turn=turn), rib, 0.02 * long)
            for t in np.linspace(0.15, 0.8, 6):
                for side in (-0.33, 0.33):
                    vein = [
                        [t * length, 0],
                        [(t + 0.14) * length, side * thin * length * np.sin(np.pi * t**0.8)],
                    ]
                    c.line(place(vein, x, y, turn=turn), rib, 0.008 * long)
    return c.finish()
