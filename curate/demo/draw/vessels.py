"""Indoor objects that hold something: vases, mugs, jugs, bottles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.objects import still_life
from curate.demo.draw.shapes import Points, ellipse, place, rectangle, ribbon, rounded, smooth, xy

__all__ = ["bottles", "mugs", "vases"]

_WOOD: Colour = (150, 104, 66)
Piece = Callable[[Canvas, float, float, float, Palette], None]


def _turned_on_wheel(rng: np.random.Generator, neck: float = 0.3) -> Points:
    """The outline of a vessel of height 1 standing on the origin."""
    height = np.array([0, -0.05, -0.3, -0.55, -0.8, -0.95, -1])
    half = np.array(
        [
            0.18,
            0.22,
            rng.uniform(0.22, 0.42),
            rng.uniform(0.2, 0.4),
            neck * rng.uniform(0.4, 0.8),
            neck * 0.6,
            neck * 0.75,
        ]
    )
    side = smooth(np.stack([half, height], 1), closed=False)
    return np.concatenate([side, (side * (-1, 1))[::-1]])


def vases(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Glazed vases with bands, with or without twigs."""
    palette = choose_palette(rng)

    def vase(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        outline, glaze = _turned_on_wheel(rng), jitter(rng, palette.pick(rng))
        for _ in range(int(rng.choice([0, 5, 12]))):
            tip = (rng.uniform(-0.6, 0.6), rng.uniform(-1.9, -1.4))
            twig = smooth([[0, -0.95], [0.3 * tip[0], -1.25], tip], closed=False)
            c.line(place(twig, x, y, r), (98, 84, 56), 0.012 * r)
            for knot in twig[6:]:
                c.fill(
                    place(
                        ellipse(
                            *xy(knot + rng.normal(0, 0.04, 2)), 0.035, 0.02, turn=rng.uniform(0, 3)
                        ),
                        x,
                        y,
                        r,
                    ),
                    jitter(rng, mix(palette.light, palette.colours[3], rng.random()), 10),
                )
        c.shadow(place(ellipse(0.12, 0, 0.4, 0.06), x, y, r), 0, 0, 0.03 * r, 0.5)
        c.fill(
            place(outline, x, y, r),
            Paint(
                mix(glaze, (255, 255, 250), 0.45), mix(glaze, palette.dark, 0.6), "paper", 0.03, 0
            ),
        )
        side = outline[: len(outline) // 2]
        for low in rng.choice(np.arange(4, len(side) - 4), rng.integers(1, 6), replace=False):
            part = side[low : low + rng.integers(2, 6)]
            band = np.concatenate([part, (part * (-1, 1))[::-1]])
            colour = jitter(rng, palette.colours[rng.integers(6)])
            c.fill(
                place(band, x, y, r),
                Paint(
                    mix(colour, (255, 255, 250), 0.3),
                    mix(colour, palette.dark, 0.5),
                    "knit",
                    0.06,
                    0,
                ),
            )
        c.fill(
            place(ellipse(0, -1, abs(side[-1, 0]), 0.035), x, y, r), mix(glaze, (16, 10, 20), 0.65)
        )
        c.fill(
            place(smooth([[-0.22, -0.6], [-0.17, -0.3], [-0.2, -0.3], [-0.25, -0.5]]), x, y, r),
            mix(glaze, (255, 255, 255), 0.75),
        )

    return still_life(vase, Canvas(rng, size, palette.light), palette, 4, 0.46)


def mugs(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Mugs, jugs and teapots."""
    palette = choose_palette(rng)

    def mug(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        glaze, flip, pot = (
            jitter(rng, palette.colours[rng.integers(1, 6)]),
            bool(rng.random() < 0.5),
            rng.random() < 0.4,
        )
        body = (
            _turned_on_wheel(rng, 0.55)
            if pot
            else np.array([[-0.32, -0.8], [0.32, -0.8], [0.28, 0], [-0.28, 0]])
        )

        def put(shape: Points, paint: Colour | Paint) -> None:
            c.fill(place(shape, x, y, r, flip=flip), paint)

        c.shadow(place(ellipse(0.1, 0, 0.45, 0.06), x, y, r), 0, 0, 0.03 * r, 0.5)
        handle = smooth([[0.24, -0.65], [0.55, -0.66], [0.56, -0.28], [0.24, -0.2]], closed=False)
        put(ribbon(handle, [0.08, 0.1, 0.08]), shaded(mix(glaze, palette.dark, 0.2)))
        if pot:
            put(
                ribbon(
                    smooth([[-0.2, -0.3], [-0.45, -0.45], [-0.6, -0.85]], closed=False),
                    [0.2, 0.12, 0.08],
                ),
                shaded(glaze),
            )
            put(ellipse(0, -1.06, 0.06), shaded(mix(glaze, palette.dark, 0.3)))
        put(
            body,
            Paint(
                mix(glaze, (255, 255, 250), 0.4), mix(glaze, palette.dark, 0.5), "paper", 0.03, 0
            ),
        )
        ink = jitter(rng, palette.colours[rng.integers(6)])
        for row in np.linspace(-0.6, -0.2, rng.integers(1, 5)):
            for u in np.linspace(-0.2, 0.2, rng.integers(3, 8)):
                put(ellipse(u, row, 0.025, 0.03), ink)
        if not pot:
            put(ellipse(0, -0.8, 0.32, 0.06), mix(glaze, (255, 255, 250), 0.5))
            put(ellipse(0, -0.79, 0.28, 0.045), (70, 42, 30))
            for k in (-0.1, 0.08):
                steam = smooth(
                    [[k, -0.9], [k + 0.06, -1.05], [k - 0.04, -1.2], [k + 0.03, -1.35]],
                    closed=False,
                )
                put(ribbon(steam, [0.005, 0.03, 0.003]), mix(palette.light, (255, 255, 255), 0.4))

    return still_life(mug, Canvas(rng, size, palette.light), palette, 5, 0.42)


def bottles(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Bottles and jars of coloured glass with labels."""
    palette = choose_palette(rng)

    def bottle(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        glass, half, shoulder = (
            jitter(rng, palette.pick(rng), 20),
            rng.uniform(0.13, 0.24),
            rng.uniform(-0.75, -0.5),
        )
        side = smooth(
            [[half, 0], [half, -0.1], [half, shoulder], [0.06, shoulder - 0.16], [0.055, -1.05]],
            closed=False,
        )
        outline = np.concatenate([side, (side * (-1, 1))[::-1]])
        c.shadow(place(ellipse(0.1, 0, 1.6 * half, 0.05), x, y, r), 0, 0, 0.03 * r, 0.5)
        c.fill(
            place(outline, x, y, r),
            Paint(
                mix(glass, (255, 255, 255), 0.35), mix(glass, palette.dark, 0.65), "paper", 0.02, 0
            ),
        )
        c.fill(
            place(rounded(-half * 0.75, shoulder, -half * 0.55, -0.08, 0.03), x, y, r),
            mix(glass, (255, 255, 255), 0.7),
        )
        c.fill(
            place(rectangle(-0.065, -1.12, 0.065, -1.02), x, y, r),
            shaded((176, 130, 88), "stone", 0.12),
        )
        top, words = (
            shoulder * 0.8,
            ("OLIO", "No 7", "TEA", "GIN", "MEL", "SALT", "RUM", "OAT")[rng.integers(8)],
        )
        c.fill(
            place(rectangle(-half, top, half, -0.15), x, y, r),
            Paint(palette.light, mix(palette.light, palette.dark, 0.35), "paper", 0.05, 0),
        )
        c.text(x, y + (top - 0.15) / 2 * r, words, 0.24 * half * 2 * r, palette.dark, "serifbold")
        for k in range(3):
            c.line(
                place([[-0.6 * half, -0.2 - 0.03 * k], [0.6 * half, -0.2 - 0.03 * k]], x, y, r),
                mix(palette.light, palette.dark, 0.6),
                0.006 * r,
            )

    return still_life(bottle, Canvas(rng, size, palette.light), palette, 5, 0.5)
