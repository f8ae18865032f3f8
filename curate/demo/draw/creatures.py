"""Small animals: schools of fish, butterflies."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.shapes import Points, ellipse, place, ribbon, smooth, xy

__all__ = ["butterflies", "fish"]

_BLACK = (26, 22, 26)
_COATS: tuple[Colour, ...] = (
    (120, 78, 48),
    (60, 46, 42),
    (206, 176, 132),
    (232, 226, 214),
    (168, 98, 52),
    (110, 108, 112),
)


def fish(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A school of striped or scaled fish among weeds and bubbles."""
    palette = choose_palette(rng)
    deep = jitter(rng, ((12, 60, 96), (10, 84, 92), (22, 40, 88))[rng.integers(3)])
    c = Canvas(
        rng, size, Paint(mix(deep, (150, 220, 220), 0.55), mix(deep, _BLACK, 0.35), "water", 0.03)
    )
    for _ in range(rng.integers(6, 20)):
        x, height = rng.uniform(0, c.wide), rng.uniform(0.2, 0.7)
        path = [[x + 0.03 * np.sin(7 * t + x * 9), 1 - height * t] for t in np.linspace(0, 1, 12)]
        c.fill(
            ribbon(path, [0.03, 0.035, 0.004]), shaded(jitter(rng, (50, 110, 70), 16), "grass", 0.1)
        )
    count = int(rng.choice([2, 5, 12, 25]))
    long = {2: 0.3, 5: 0.18, 12: 0.12, 25: 0.08}[count] * c.unit
    flip, kinds = bool(rng.random() < 0.5), [palette.pick(rng) for _ in range(2)]
    for _ in range(count):
        at = (rng.uniform(0.1, 0.9) * c.wide, rng.uniform(0.1, 0.9))
        _fish(
            c, at, long * rng.uniform(0.8, 1.3), jitter(rng, kinds[rng.integers(2)]), palette, flip
        )
    for _ in range(rng.integers(5, 60)):
        x, y, r = rng.uniform(0, c.wide), rng.random(), rng.uniform(0.003, 0.014)
        c.outlined(ellipse(x, y, r), mix(deep, (170, 225, 230), 0.5), (220, 240, 240), 0.002)
    return c.finish()


def _fish(
    c: Canvas, at: tuple[float, float], long: float, colour: Colour, palette: Palette, flip: bool
) -> None:
    tall, turn = c.rng.uniform(0.3, 0.55), c.rng.normal(0, 0.12)

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, *at, long, flip=flip, turn=turn), paint)

    fin = shaded(mix(colour, palette.light, 0.3), "fur", 0.14)
    put(np.array([[-0.8, 0], [-1.4, -0.42], [-1.22, 0], [-1.4, 0.42]]), fin)
    put(
        smooth([[-0.4, -tall * 0.7], [0, -tall * 1.5], [-0.1, -tall * 0.7], [0.3, -tall * 0.5]]),
        fin,
    )
    t = np.linspace(0, np.pi, 24)
    body = np.concatenate(
        [
            np.stack([np.cos(t), -tall * np.sin(t) ** 1.2], 1),
            np.stack([-np.cos(t), tall * np.sin(t) ** 1.2], 1),
        ]
    )
    put(body, shaded(colour, "knit" if c.rng.random() < 0.5 else "paper", 0.09, 0.4))
    for stripe in np.linspace(-0.5, 0.45, c.rng.integers(0, 6)):
        half = tall * np.sqrt(1 - stripe**2) ** 1.2 * 0.97
        put(
            ribbon(
                smooth([[stripe, -half], [stripe + 0.1, 0], [stripe, half]], closed=False),
                [0.05, 0.12, 0.05],
            ),
            palette.light,
        )
    put(np.array([[0.2, 0.05], [-0.2, 0.35], [-0.05, 0.08]]), fin)
    put(ellipse(0.65, -0.12 * tall, 0.1), (250, 250, 240))
    put(ellipse(0.67, -0.12 * tall, 0.055), _BLACK)


def butterflies(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Butterflies with spotted wings over a soft meadow."""
    palette = choose_palette(rng)
    c = Canvas(
        rng,
        size,
        Paint(
            mix(palette.pick(rng), (220, 230, 190), 0.4),
            mix(palette.pick(rng), (30, 60, 40), 0.5),
            "cloud",
            0.05,
        ),
    )
    for _ in range(rng.integers(3, 40)):
        stem = [[rng.uniform(0, c.wide), 1.02], [rng.uniform(0, c.wide), rng.uniform(0.3, 0.9)]]
        c.fill(ribbon(stem, [0.012, 0.002]), jitter(rng, (86, 116, 64), 16))
    count = int(rng.choice([1, 2, 5]))
    for k in range(count):
        at = ((k + rng.uniform(0.4, 0.6)) / count * c.wide, rng.uniform(0.3, 0.7))
        _butterfly(c, at, {1: 0.36, 2: 0.24, 5: 0.13}[count] * c.unit, palette, rng.normal(0, 0.4))
    return c.finish()


def _butterfly(c: Canvas, at: tuple[float, float], r: float, palette: Palette, turn: float) -> None:
    rng, wing, edge = c.rng, palette.pick(c.rng), mix(palette.dark, _BLACK, 0.4)
    wide, low, spots = rng.uniform(0.85, 1.2), rng.uniform(0.5, 0.9), rng.integers(2, 7)
    for flip in (False, True):
        for outline in (
            [[0.02, 0.05], [0.3, 0.1], [wide * 0.75, 0.35], [0.6, low], [0.25, 0.75 * low]],
            [[0.02, 0], [0.35, -0.55], [wide, -0.8], [wide * 0.95, -0.2], [0.4, 0.15]],
        ):
            shape = smooth(outline)
            c.fill(place(shape, *at, r, turn=turn, flip=flip), edge)
            middle = shape.mean(axis=0)
            inner = shaded(wing, "fur", 0.12)
            c.fill(
                place(middle * 0.92 + (shape - middle) * 0.8, *at, r, turn=turn, flip=flip), inner
            )
            for knot in shape[:: len(shape) // 12]:
                c.line(
                    place(
                        [[0.02, 0], middle + (knot - middle) * 0.8], *at, r, turn=turn, flip=flip
                    ),
                    edge,
                    0.012 * r,
                )
            for k in range(spots):
                spot = middle + (shape[(k * 37) % len(shape)] - middle) * 0.89
                c.fill(
                    place(ellipse(*xy(spot), 0.045), *at, r, turn=turn, flip=flip), palette.light
                )
            c.fill(
                place(ellipse(*xy(middle), 0.12), *at, r, turn=turn, flip=flip), palette.colours[4]
            )
            c.fill(place(ellipse(*xy(middle), 0.06), *at, r, turn=turn, flip=flip), edge)
    c.fill(place(ellipse(0, 0.05, 0.06, 0.42), *at, r, turn=turn), shaded(edge, "fur", 0.1))
    for side in (-1, 1):
        feeler = smooth([[0, -0.3], [0.12 * side, -0.6], [0.3 * side, -0.75]], closed=False)
        c.line(place(feeler, *at, r, turn=turn), edge, 0.02 * r)
