"""Food from the side: cakes and burgers."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.shapes import ellipse, place, rectangle, rounded, smooth, within, xy

__all__ = ["burgers", "cakes"]


def cakes(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Layer cakes on a stand, with icing, berries and candles."""
    palette, level = choose_palette(rng), rng.uniform(0.66, 0.76)
    c = Canvas(
        rng,
        size,
        Paint(
            mix(palette.light, palette.pick(rng), 0.3),
            mix(palette.light, palette.pick(rng), 0.7),
            "paper",
            0.04,
        ),
    )
    c.fill(
        rectangle(0, level, c.wide, 1),
        shaded(jitter(rng, palette.pick(rng)), ("weave", "wood")[rng.integers(2)], 0.08),
    )
    count = int(rng.choice([1, 1, 2, 3])) if c.wide > 0.9 else 1
    for k in range(count):
        _cake(
            c,
            (k + 0.5) / count * c.wide,
            rng.uniform(0.82, 0.9),
            (0.33, 0.23, 0.17)[count - 1] * c.unit,
            palette,
        )
    return c.finish()


def _cake(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    rng = c.rng
    sponge, cream = (
        jitter(
            rng, ((226, 178, 110), (110, 66, 44), (170, 60, 56), (236, 214, 160))[rng.integers(4)]
        ),
        mix(palette.light, palette.pick(rng), 0.25),
    )
    c.shadow(place(ellipse(0, 0.05, 1.2, 0.12), x, y, r), 0, 0, 0.05 * r, 0.5)
    c.fill(place(ellipse(0, 0, 1.25, 0.14), x, y, r), shaded((236, 234, 230), "paper", 0.02, 0.3))
    top, tiers = 0.0, int(rng.integers(1, 4))
    for tier in range(tiers):
        half, high = 1 - 0.27 * tier, rng.uniform(0.45, 0.65)
        side = np.concatenate(
            [
                ellipse(0, top, half, 0.11, start=0, end=0.5),
                ellipse(0, top - high, half, 0.11, start=0.5, end=0),
            ]
        )
        naked = rng.random() < 0.6
        c.fill(
            place(side, x, y, r),
            Paint(
                mix(sponge if naked else cream, (255, 250, 230), 0.25),
                mix(sponge if naked else cream, (50, 20, 30), 0.35),
                "stone" if naked else "paper",
                0.09,
                0,
            ),
        )
        for share in np.linspace(0, 1, rng.integers(3, 6)) if naked else ():
            arc = ellipse(0, top - high * share, half, 0.11, start=0, end=0.5)
            c.line(place(arc, x, y, r), cream, 0.07 * r)
        top -= high
        c.fill(place(ellipse(0, top, half, 0.11), x, y, r), shaded(cream, "paper", 0.03, 0.15))
        for u in np.linspace(-half, half, int(14 * half)):
            drip = rng.uniform(0.08, 0.3)
            c.fill(
                place(
                    rounded(u - 0.06, top - 0.02, u + 0.06, top + drip, 0.06),
                    x,
                    y + 0.1 * r * np.sqrt(max(0, 1 - (u / half) ** 2)),
                    r,
                ),
                shaded(cream, "paper", 0.03),
            )
        for angle in np.linspace(0, 2 * np.pi, rng.integers(8, 22)):
            at = (0.82 * half * np.cos(angle), top - 0.04 + 0.08 * np.sin(angle))
            c.fill(
                place(ellipse(*xy(at), 0.07), x, y, r),
                shaded(jitter(rng, palette.pick(rng)), "stone", 0.06, 0.5),
            )
    for u in np.linspace(-0.3, 0.3, rng.integers(0, 6)):
        c.fill(
            place(rectangle(u - 0.02, top - 0.4, u + 0.02, top - 0.02), x, y, r),
            shaded(palette.pick(rng), "knit", 0.1),
        )
        c.glow(*xy(place([[u, top - 0.47]], x, y, r)[0]), 0.2 * r, (255, 220, 130), 0.8)
        c.fill(
            place(
                smooth(
                    [
                        [u, top - 0.55],
                        [u + 0.03, top - 0.45],
                        [u, top - 0.4],
                        [u - 0.03, top - 0.45],
                    ]
                ),
                x,
                y,
                r,
            ),
            (255, 190, 80),
        )


def burgers(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Sandwiches in buns, layer upon layer, from the side."""
    palette, level = choose_palette(rng), 0.72
    c = Canvas(
        rng,
        size,
        Paint(mix(palette.pick(rng), palette.light, 0.4), palette.pick(rng), "paper", 0.04),
    )
    c.fill(rectangle(0, level, c.wide, 1), shaded(jitter(rng, (150, 104, 66)), "wood", 0.09))
    count = int(rng.choice([1, 1, 2])) if c.wide > 0.9 else 1
    for k in range(count):
        x, y, r = (
            (k + 0.5) / count * c.wide,
            rng.uniform(0.84, 0.9),
            (0.36, 0.25)[count - 1] * c.unit,
        )
        bun = jitter(rng, (206, 140, 70))
        c.shadow(place(ellipse(0, 0, 1.05, 0.12), x, y, r), 0, 0, 0.06 * r, 0.55)
        c.fill(
            place(rounded(-0.92, -0.3, 0.92, 0.02, 0.15), x, y, r), shaded(bun, "stone", 0.06, 0.4)
        )
        level_ = -0.3
        for layer in rng.integers(0, 5, rng.integers(4, 8)):
            level_ = _filling(c, x, y, r, level_, int(layer))
        dome = np.concatenate(
            [
                ellipse(0, level_, 0.95, 0.72, start=0.5, end=1),
                [[0.9, level_ + 0.08], [-0.9, level_ + 0.08]],
            ]
        )
        c.fill(place(dome, x, y, r), shaded(bun, "stone", 0.05, 0.45))
        for _ in range(rng.integers(0, 90)):
            at = within(rng, 1) * (0.8, 0.3) + (0, level_ - 0.34)
            c.fill(
                place(ellipse(*xy(at), 0.03, 0.018, turn=rng.uniform(0, 3), points=13), x, y, r),
                jitter(rng, (246, 228, 180), 8),
            )
    return c.finish()


def _filling(c: Canvas, x: float, y: float, r: float, level: float, kind: int) -> float:
    """One layer of a sandwich on `level`; returns the new level. Kinds: patty, salad, tomato, cheese, onion."""
    rng = c.rng
    if kind == 0:
        c.fill(
            place(rounded(-0.95, level - 0.24, 0.95, level + 0.02, 0.12), x, y, r),
            shaded(jitter(rng, (96, 56, 42)), "stone", 0.13, 0.4),
        )
        return level - 0.22
    if kind == 1:
        u = np.linspace(-1.05, 1.05, 40)
        wavy = np.stack(
            [u, level + 0.03 + 0.07 * np.sin(u * 17 + rng.uniform(0, 6)) * rng.random(40)], 1
        )
        c.fill(
            place(np.concatenate([wavy, [[1, level - 0.12], [-1, level - 0.12]]]), x, y, r),
            shaded(jitter(rng, (116, 168, 62)), "fur", 0.12),
        )
        return level - 0.08
    if kind == 3:
        c.fill(
            place(
                [
                    [-0.95, level - 0.07],
                    [0.95, level - 0.07],
                    [0.97, level],
                    [0.5, level + 0.02],
                    [0.35, level + 0.2],
                    [0.1, level + 0.02],
                    [-0.97, level],
                ],
                x,
                y,
                r,
            ),
            shaded((244, 186, 62), "paper", 0.03),
        )
        return level - 0.06
    colour: Colour = (204, 56, 44) if kind == 2 else (226, 206, 226)
    for left in (-0.98, -0.43, 0.12):
        c.fill(
            place(rounded(left, level - 0.1, left + 0.78, level, 0.05), x, y, r),
            shaded(jitter(rng, colour, 8), "stone", 0.06, 0.35),
        )
    return level - 0.09
