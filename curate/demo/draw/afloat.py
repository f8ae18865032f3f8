"""Transportation on the water and in the air: boats, balloons, aeroplanes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.nature import close, sky
from curate.demo.draw.shapes import Points, place, rectangle, ribbon, ridge, rounded, smooth

__all__ = ["aeroplanes", "balloons", "boats"]

_TYRE, _GLASS, _CHROME = (34, 34, 40), (150, 186, 204), (206, 206, 204)


def boats(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Sailing boats on the water."""
    palette, level = choose_palette(rng), rng.uniform(0.42, 0.58)
    c = Canvas(rng, size, palette.light)
    high, low = sky(c, level)
    if rng.random() < 0.6:
        c.fill(
            close(c, ridge(rng, c.wide, level - 0.02, 0.02), level + 0.01),
            Paint(mix(low, (80, 100, 110), 0.6), texture="fur"),
        )
    deep = mix(high, (20, 76, 100), 0.6)
    c.fill(
        rectangle(0, level, c.wide, 1),
        Paint(mix(low, deep, 0.5), mix(deep, (8, 24, 40), 0.2), "water", 0.09),
    )
    count = int(rng.integers(1, 6))
    for y in np.sort(rng.uniform(level + 0.06, 0.93, count)):
        _boat(
            c,
            rng.uniform(0.1, 0.9) * c.wide,
            y,
            (0.12 + 0.7 * (y - level)) * rng.uniform(0.7, 1) * c.unit,
            palette,
            deep,
            bool(rng.random() < 0.5),
        )
    return c.finish()


def _boat(
    c: Canvas, x: float, y: float, long: float, palette: Palette, deep: Colour, flip: bool
) -> None:
    rng = c.rng

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, x, y, long, flip=flip), paint)

    for _ in range(14):
        gap = rng.uniform(0.02, 0.45)
        put(
            ribbon(
                [[rng.uniform(-0.4, 0.1), gap], [rng.uniform(0, 0.4), gap]], [0.001, 0.02, 0.001]
            ),
            mix(deep, palette.light, 0.35),
        )
    mast = rng.uniform(0.9, 1.3)
    put(ribbon([[0.02, -0.1], [0.02, -mast]], [0.03, 0.015]), (110, 78, 54))
    cloth = Paint(palette.light, mix(palette.light, palette.colours[3], 0.35), "weave", 0.04, 0)
    put(smooth([[0.04, -mast], [0.22, -0.55 * mast], [0.5, -0.16], [0.04, -0.16]]), cloth)
    put(
        np.array([[0, -mast * 0.95], [-0.02, -0.14], [-0.48, -0.14]]),
        shaded(jitter(rng, palette.pick(rng)), "weave", 0.06),
    )
    put(
        smooth(
            np.repeat([[-0.55, -0.12], [0.55, -0.12], [0.4, 0.06], [-0.4, 0.06]], 2, axis=0),
            steps=4,
        ),
        shaded(jitter(rng, palette.pick(rng)), "wood", 0.06, 0.4),
    )
    put(rectangle(-0.52, -0.125, 0.52, -0.095), palette.light)


def balloons(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Hot-air balloons over hills."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, palette.light)
    _, low = sky(c, 0.95)
    for near in (0.3, 0.6, 1):
        hill = mix(low, jitter(rng, (98, 120, 76)), 0.2 + 0.7 * near)
        c.fill(
            close(c, ridge(rng, c.wide, 0.72 + 0.18 * near, 0.03)),
            Paint(hill, mix(hill, (20, 40, 40), 0.3), "grass", 0.08),
        )
    for r in np.sort(rng.uniform(0.03, 0.2, rng.integers(2, 9))) * c.unit:
        x, y = rng.uniform(0.1, 0.9) * c.wide, rng.uniform(0.15, 0.62)
        for side in (-0.22, -0.08, 0.08, 0.22):
            c.line(
                [[x + side * r, y + 1.05 * r], [x + 0.6 * side * r, y + 1.55 * r]],
                (90, 70, 60),
                0.015 * r,
            )
        gores, one, other = (
            2 * rng.integers(3, 7),
            *(jitter(rng, palette.colours[k]) for k in rng.permutation(np.arange(1, 6))[:2]),
        )
        for k in range(gores):
            left, right = (np.cos(np.pi * (1 - e / gores)) for e in (k, k + 1))
            t = np.linspace(0, 1, 24)
            wide, down = np.sin(np.pi * t**0.75) * (1 - 0.2 * t) + 0.25 * t**6, -1 + 2.1 * t
            outline = np.concatenate(
                [np.stack([left * wide, down], 1), np.stack([right * wide, down], 1)[::-1]]
            )
            dark = 0.45 * max(0, (k + 1) / gores - 0.45)
            c.fill(
                place(outline, x, y, r),
                Paint(
                    mix(one if k % 2 else other, (20, 10, 40), dark), texture="weave", contrast=0.04
                ),
            )
        c.fill(
            rounded(x - 0.16 * r, y + 1.55 * r, x + 0.16 * r, y + 1.8 * r, 0.04 * r),
            shaded((150, 104, 62), "weave", 0.14),
        )
    return c.finish()


def aeroplanes(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """An aeroplane or three above the clouds."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, palette.light)
    _, low = sky(c)
    for near in (0.4, 0.7, 1):
        c.fill(
            close(c, ridge(rng, c.wide, 0.66 + 0.22 * near, 0.03, 1.2)),
            Paint(
                mix(low, (255, 255, 255), near * 0.8), mix(low, (150, 160, 190), 0.4), "cloud", 0.05
            ),
        )
    for _ in range(rng.choice([1, 1, 2, 3])):
        x, y, long = (
            rng.uniform(0.25, 0.75) * c.wide,
            rng.uniform(0.2, 0.6),
            rng.uniform(0.35, 0.75) * c.unit,
        )
        _aeroplane(c, x, y, long, jitter(rng, palette.pick(rng)))
    return c.finish()


def _aeroplane(c: Canvas, x: float, y: float, long: float, colour: Colour) -> None:
    flip, climb = bool(c.rng.random() < 0.5), c.rng.normal(-0.12, 0.15)

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, x, y, long, turn=-climb if flip else climb, flip=flip), paint)

    metal = Paint((246, 246, 244), (158, 164, 176), "brush", 0.03)
    put(
        np.array([[-0.02, -0.04], [0.12, -0.04], [-0.02, -0.28], [-0.1, -0.28]]),
        shaded(_CHROME, "brush"),
    )
    put(np.array([[-0.5, -0.03], [-0.36, -0.05], [-0.45, -0.25], [-0.53, -0.25]]), shaded(colour))
    put(
        smooth(
            [
                [-0.52, -0.03],
                [-0.2, -0.075],
                [0.3, -0.07],
                [0.46, -0.02],
                [0.48, 0.02],
                [0.3, 0.06],
                [-0.2, 0.06],
            ]
        ),
        metal,
    )
    put(np.array([[-0.51, -0.02], [0.47, -0.01], [0.48, 0.015], [-0.48, 0.015]]), colour)
    for left in np.arange(-0.34, 0.34, 0.032):
        put(rounded(left, -0.045, left + 0.016, -0.022, 0.006), (60, 74, 96))
    put(np.array([[0.39, -0.05], [0.44, -0.03], [0.44, -0.012], [0.37, -0.02]]), (60, 74, 96))
    put(
        np.array([[0.15, 0.03], [-0.02, 0.03], [-0.26, 0.34], [-0.14, 0.34]]),
        shaded(_CHROME, "brush", 0.06, 0.4),
    )
    put(np.array([[-0.4, 0], [-0.48, 0], [-0.58, 0.12], [-0.52, 0.12]]), shaded(_CHROME, "brush"))
    put(rounded(-0.08, 0.13, 0.06, 0.19, 0.03), shaded(colour))
