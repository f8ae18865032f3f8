"""People: portraits out of doors, walkers in a park, crowds on a square."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.nature import grass, sky, tree
from curate.demo.draw.shapes import Points, blob, ellipse, place, rectangle, ribbon, rounded, smooth

__all__ = ["HAIR", "SKIN", "crowd", "person", "portrait", "walkers"]

SKIN: tuple[Colour, ...] = (
    (246, 214, 188),
    (232, 188, 150),
    (206, 150, 110),
    (160, 108, 76),
    (112, 74, 54),
    (82, 54, 42),
)
HAIR: tuple[Colour, ...] = (
    (36, 28, 28),
    (78, 50, 34),
    (140, 92, 50),
    (206, 164, 96),
    (150, 148, 148),
    (146, 62, 36),
)
_CLOTHES = ("weave", "knit", "paper", "brush")


def person(
    c: Canvas, x: float, y: float, tall: float, palette: Palette, flip: bool = False
) -> None:
    """A walking figure whose feet stand at (x, y)."""
    rng = c.rng
    skin, hair = SKIN[rng.integers(6)], HAIR[rng.integers(6)]
    top, below = (
        shaded(
            jitter(rng, palette.colours[rng.integers(1, 6)], 16), _CLOTHES[rng.integers(4)], 0.08
        )
        for _ in range(2)
    )
    stride, swing, skirt = rng.uniform(0.03, 0.13), rng.uniform(0.02, 0.12), rng.random() < 0.35

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, x, y, tall, flip=flip), paint)

    c.shadow(place(ellipse(0, 0, 0.2, 0.025), x, y, tall), 0.05 * tall, 0, 0.03 * tall)
    for side in (-1, 1):
        leg = [[0.02 * side, -0.48], [0.7 * stride * side + 0.03, -0.24], [stride * side, -0.02]]
        put(
            ribbon(smooth(leg, closed=False), [0.1, 0.075, 0.055]), shaded(skin) if skirt else below
        )
        put(rounded(stride * side - 0.03, -0.035, stride * side + 0.07, 0.004, 0.015), (44, 36, 40))
    arm = smooth([[0, -0.78], [-swing, -0.62], [-0.5 * swing, -0.47]], closed=False)
    put(ribbon(arm, [0.07, 0.05]), Paint(mix(top.colour, (20, 15, 30), 0.35), texture=top.texture))
    put(
        smooth(
            [
                [-0.095, -0.8],
                [0.08, -0.8],
                [0.09, -0.62],
                [0.075, -0.45],
                [-0.085, -0.45],
                [-0.09, -0.62],
            ]
        ),
        top,
    )
    if skirt:
        put(
            smooth([[-0.075, -0.52], [0.07, -0.52], [0.15, -0.22], [0, -0.2], [-0.15, -0.22]]),
            below,
        )
    arm = smooth([[0, -0.78], [swing, -0.62], [1.4 * swing + 0.03, -0.48]], closed=False)
    put(ribbon(arm, [0.07, 0.05]), top)
    put(ellipse(1.4 * swing + 0.03, -0.465, 0.028), skin)
    if rng.random() < 0.35:
        put(
            rounded(1.4 * swing - 0.04, -0.45, 1.4 * swing + 0.11, -0.3, 0.02),
            shaded(palette.pick(rng), "weave", 0.1),
        )
    put(rectangle(-0.025, -0.86, 0.025, -0.78), mix(skin, (90, 40, 30), 0.25))
    if rng.random() < 0.45:
        put(
            smooth(
                [[-0.09, -0.92], [0, -1], [0.07, -0.94], [0, -0.9], [-0.03, -0.74], [-0.1, -0.74]]
            ),
            shaded(hair, "fur", 0.12),
        )
    put(ellipse(0.005, -0.91, 0.062, 0.075), shaded(skin, "paper", 0.04))
    put(
        smooth(
            [
                [0.055, -0.95],
                [0.02, -1],
                [-0.05, -0.985],
                [-0.072, -0.9],
                [-0.04, -0.9],
                [-0.02, -0.95],
            ]
        ),
        shaded(hair, "fur", 0.12),
    )


def walkers(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A few people in a park."""
    palette, level = choose_palette(rng), rng.uniform(0.4, 0.6)
    c = Canvas(rng, size, palette.light)
    sky(c, level + 0.02)
    green = jitter(rng, (98, 126, 64), 14)
    grass(c, level, green, 250)
    for y in np.sort(rng.uniform(level + 0.02, level + 0.12, rng.integers(2, 6))):
        tree(
            c,
            rng.uniform(0, c.wide),
            y,
            rng.uniform(0.35, 0.6),
            jitter(rng, green),
            int(rng.choice([1, 3, 0])),
        )
    path = np.array([[0, 0.86], [c.wide, 0.8], [c.wide, 0.97], [0, 1.02]])
    c.fill(path, shaded((206, 186, 152), "stone", 0.05))
    count = int(rng.integers(1, 5))
    for slot in rng.permutation(count):
        x = (slot + rng.uniform(0.3, 0.7)) / count * c.wide
        person(
            c,
            x,
            rng.uniform(0.85, 0.98),
            rng.uniform(0.42, 0.62) * c.unit,
            palette,
            bool(rng.random() < 0.5),
        )
    return c.finish()


def crowd(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Many people on a paved square seen from above the heads."""
    palette, level = choose_palette(rng), rng.uniform(0.15, 0.3)
    c = Canvas(rng, size, palette.light)
    sky(c, level)
    stone = mix(jitter(rng, (186, 176, 164)), palette.pick(rng), 0.15)
    x = -0.05
    while x < c.wide:
        width, top = rng.uniform(0.1, 0.25), rng.uniform(0, level * 0.7)
        front = jitter(rng, mix(palette.pick(rng), palette.light, 0.5))
        c.fill(rectangle(x, top, x + width, level + 0.02), shaded(front, "stone", 0.06))
        for wy in np.arange(top + 0.02, level - 0.02, 0.045):
            for wx in np.arange(x + 0.015, x + width - 0.02, 0.035):
                c.fill(rectangle(wx, wy, wx + 0.016, wy + 0.026), mix(front, palette.dark, 0.7))
        x += width
    c.fill(
        rectangle(0, level, c.wide, 1),
        Paint(mix(stone, palette.light, 0.3), mix(stone, palette.dark, 0.3), "stone", 0.04),
    )
    for k in range(26):
        y = level + (1 - level) * (k / 26) ** 2
        c.line([[0, y], [c.wide, y]], mix(stone, palette.dark, 0.35), 0.0015 + 0.002 * k / 26)
        c.line(
            [[c.wide * (0.5 + (k - 13) * 0.06), level], [c.wide * (0.5 + (k - 13) * 0.3), 1]],
            mix(stone, palette.dark, 0.3),
            0.002,
        )
    near = rng.uniform(0.3, 0.5)
    for y in np.sort(level + 0.1 + (1.05 - level) * rng.random(rng.integers(12, 50))):
        person(
            c,
            rng.uniform(0, c.wide),
            y,
            near * (0.35 + 0.65 * (y - level)),
            palette,
            bool(rng.random() < 0.5),
        )
    return c.finish()


def portrait(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Head and shoulders before blurred greenery."""
    palette = choose_palette(rng)
    back = jitter(rng, ((150, 180, 150), (170, 196, 214), (196, 170, 140))[rng.integers(3)], 14)
    c = Canvas(
        rng,
        size,
        Paint(mix(back, (255, 250, 235), 0.3), mix(back, (30, 50, 40), 0.4), "cloud", 0.04),
    )
    for _ in range(rng.integers(6, 30)):
        c.glow(
            rng.uniform(0, c.wide),
            rng.random(),
            rng.uniform(0.05, 0.2),
            jitter(rng, mix(back, (255, 255, 220), 0.6), 20),
            0.6,
        )
    skin, hair = jitter(rng, SKIN[rng.integers(6)], 6), jitter(rng, HAIR[rng.integers(6)], 8)
    at, r = (
        (c.wide * rng.uniform(0.42, 0.58), rng.uniform(0.4, 0.48)),
        rng.uniform(0.26, 0.34) * c.unit,
    )
    ink = mix(skin, (60, 20, 24), 0.6)

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, *at, r), paint)

    eye = jitter(rng, ((80, 54, 36), (70, 110, 130), (86, 110, 70))[rng.integers(3)], 6)
    strands, long = shaded(hair, "fur", 0.14), rng.random() < 0.5
    if long:
        put(
            smooth(
                [
                    [-0.85, -0.3],
                    [-0.5, -1.15],
                    [0.5, -1.15],
                    [0.85, -0.3],
                    [1, 1.3],
                    [0.3, 1.5],
                    [-0.3, 1.5],
                    [-1, 1.3],
                ]
            ),
            strands,
        )
    cloth = shaded(palette.pick(rng), _CLOTHES[rng.integers(4)], 0.1)
    put(smooth([[-0.3, 1.15], [0.3, 1.15], [1.3, 1.5], [1.7, 3], [-1.7, 3], [-1.3, 1.5]]), cloth)
    put(
        ribbon([[0, 0.6], [0, 1.25]], [0.6, 0.75]),
        shaded(mix(skin, (90, 40, 30), 0.2), "paper", 0.03),
    )
    put(
        smooth([[-0.4, 1.08], [0, 1.32], [0.4, 1.08], [0.55, 1.3], [0, 1.62], [-0.55, 1.3]]),
        Paint(mix(cloth.colour, palette.light, 0.4), texture=cloth.texture),
    )
    for side in (-1, 1):
        put(ellipse(0.74 * side, 0.05, 0.12, 0.2), mix(skin, (150, 60, 50), 0.2))
    put(
        smooth([[-0.74, -0.3], [0, -0.98], [0.74, -0.3], [0.66, 0.45], [0, 0.98], [-0.66, 0.45]]),
        shaded(skin, "paper", 0.03),
    )
    for side in (-1, 1):
        put(blob(rng, 0.42 * side, 0.3, 0.17, 0.12), mix(skin, (226, 110, 100), 0.14))
        put(ellipse(0.3 * side, -0.05, 0.14, 0.08), (250, 248, 244))
        put(ellipse(0.3 * side, -0.05, 0.075), eye)
        put(ellipse(0.3 * side, -0.05, 0.035), (20, 16, 20))
        brow = smooth(
            [[0.14 * side, -0.24], [0.3 * side, -0.3], [0.48 * side, -0.22]], closed=False
        )
        c.line(place(brow, *at, r), mix(hair, (20, 16, 16), 0.3), 0.045 * r)
    c.line(
        place(smooth([[0.03, 0], [0.1, 0.28], [-0.06, 0.3]], closed=False), *at, r), ink, 0.03 * r
    )
    put(
        smooth([[-0.25, 0.55], [0, 0.52], [0.25, 0.55], [0, 0.55 + rng.uniform(0.05, 0.16)]]),
        mix(skin, (170, 40, 50), 0.65),
    )
    put(
        smooth(
            [
                [-0.8, 0.05],
                [-0.82, -0.6],
                [-0.3, -1.18],
                [0.45, -1.15],
                [0.84, -0.5],
                [0.76, 0.05],
                [0.6, -0.45],
                [0.1, -0.68],
                [-0.55, -0.5],
            ]
        ),
        strands,
    )
    for _ in range(140):
        a = rng.uniform(np.pi * 1.02, np.pi * 1.98)
        root = np.array([0.8 * np.cos(a), 1.1 * np.sin(a) - 0.02])
        put(ribbon([root, root * 0.86 + (0.05, 0.03)], [0.016, 0.004]), jitter(rng, hair, 18))
    if rng.random() < 0.3:
        put(
            smooth(
                [
                    [-1.2, -0.62],
                    [-0.6, -0.72],
                    [-0.5, -1.35],
                    [0.5, -1.35],
                    [0.6, -0.72],
                    [1.2, -0.62],
                    [0, -0.5],
                ]
            ),
            shaded(palette.pick(rng), "weave", 0.12),
        )
    if rng.random() < 0.3:
        for side in (-1, 1):
            c.line(place(ellipse(0.3 * side, -0.04, 0.22, 0.19), *at, r), (40, 34, 40), 0.035 * r)
        c.line(place([[-0.08, -0.06], [0.08, -0.06]], *at, r), (40, 34, 40), 0.035 * r)
    return c.finish()
