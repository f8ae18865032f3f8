"""Food: pizzas, fruit, cakes, bowls of soup, sushi and sandwiches."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.nature import leaf
from curate.demo.draw.shapes import (
    blob,
    ellipse,
    place,
    rectangle,
    ribbon,
    rounded,
    smooth,
    within,
    xy,
)

__all__ = ["fruit", "pizzas", "soups", "sushi"]


def _cloth(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Canvas, Palette]:
    """A table from above: boards, linen or a chequered cloth."""
    palette = choose_palette(rng)
    ground, kind = (
        jitter(rng, mix(palette.pick(rng), palette.light, rng.uniform(0, 0.6))),
        rng.integers(3),
    )
    c = Canvas(rng, size, shaded(ground, ("weave", "stone", "wood")[kind], 0.06, 0.15))
    if kind == 0 and rng.random() < 0.6:
        step, check = rng.uniform(0.04, 0.14), mix(ground, palette.pick(rng), 0.6)
        for k, x in enumerate(np.arange(0, c.wide, step)):
            for y in np.arange(step * (k % 2), 1, 2 * step):
                c.fill(
                    rectangle(x, y, x + step, y + step),
                    Paint(check, texture="weave", contrast=0.06),
                )
    elif kind == 2:
        for y in np.arange(rng.uniform(0, 0.2), 1, rng.uniform(0.14, 0.25)):
            c.line([[0, y], [c.wide, y]], mix(ground, (24, 12, 10), 0.6), 0.005)
    return c, palette


def _plate(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    rim = jitter(c.rng, mix(palette.light, palette.pick(c.rng), 0.4 * c.rng.random()), 6)
    c.shadow(ellipse(x, y, r), 0.03 * r, 0.06 * r, 0.06 * r, 0.5)
    c.fill(ellipse(x, y, r), shaded(rim, "paper", 0.02, 0.2))
    for share in (0.95, 0.72):
        c.line(ellipse(x, y, share * r), mix(rim, palette.pick(c.rng), 0.5), 0.012 * r)
    c.fill(ellipse(x, y, 0.7 * r), shaded(mix(rim, (255, 255, 255), 0.3), "paper", 0.02, 0.1))


def _table(
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Canvas, Palette, list[tuple[float, float, float]]]:
    """A laid table from above, and the places (x, y, radius) of its one to four plates."""
    c, palette = _cloth(rng, size)
    columns = int(rng.integers(1, 3)) if c.wide > 0.8 else 1
    rows = 2 if c.wide < 0.8 or (columns == 2 and rng.random() < 0.5) else 1
    r = 0.46 * min(c.wide / columns, 1 / rows) * rng.uniform(0.85, 1.05)
    spots = [
        ((k + 0.5) / columns * c.wide, (j + 0.5) / rows, r)
        for k in range(columns)
        for j in range(rows)
    ]
    return (
        c,
        palette,
        [(x + rng.normal(0, 0.05 * r), y + rng.normal(0, 0.05 * r), r) for x, y, r in spots],
    )


def pizzas(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Pizzas with salami, olives and leaves."""
    c, _, spots = _table(rng, size)
    for x, y, r in spots:
        c.shadow(ellipse(x, y, r), 0.03 * r, 0.05 * r, 0.05 * r, 0.5)
        c.fill(
            blob(rng, x, y, r, rough=0.03), shaded(jitter(rng, (206, 150, 84)), "stone", 0.08, 0.4)
        )
        c.fill(blob(rng, x, y, 0.87 * r, rough=0.05), shaded((176, 52, 34), "stone", 0.08))
        c.fill(
            blob(rng, x, y, 0.84 * r, rough=0.1),
            shaded(jitter(rng, (240, 204, 120)), "cloud", 0.06),
        )
        for _ in range(60):
            c.fill(
                blob(
                    rng, *xy(within(rng, 0.8 * r) + (x, y)), rng.uniform(0.02, 0.09) * r, rough=0.5
                ),
                jitter(rng, mix((244, 214, 140), (206, 110, 50), rng.random()), 8),
            )
        for _ in range(rng.integers(5, 18)):
            at, s = within(rng, 0.72 * r) + (x, y), 0.12 * r
            c.shadow(ellipse(*xy(at), s), 0, 0.02 * r, 0.015 * r)
            c.fill(
                blob(rng, *xy(at), s, rough=0.06), shaded(jitter(rng, (172, 50, 40)), "stone", 0.1)
            )
        for _ in range(rng.integers(0, 16)):
            at = within(rng, 0.76 * r) + (x, y)
            c.fill(ellipse(*xy(at), 0.05 * r), (40, 36, 44))
            c.fill(ellipse(*xy(at), 0.022 * r), (196, 150, 80))
        for _ in range(rng.integers(0, 10)):
            c.fill(
                place(
                    leaf(0.2 * r, 0.1 * r), *(within(rng, 0.7 * r) + (x, y)), turn=rng.uniform(0, 6)
                ),
                shaded(jitter(rng, (64, 116, 54)), "fur", 0.1),
            )
        if rng.random() < 0.5:
            for angle in np.arange(4) * np.pi / 4:
                c.line(place([[-r, 0], [r, 0]], x, y, turn=angle), (150, 96, 50), 0.012 * r)
    return c.finish()


def fruit(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Heaps of apples, oranges, lemons and grapes, or slices of them."""
    c, palette, spots = _table(rng, size)
    sliced = rng.random() < 0.4
    kinds: tuple[Colour, ...] = (
        (196, 44, 40),
        (236, 140, 40),
        (240, 206, 70),
        (120, 160, 60),
        (96, 50, 100),
        (226, 110, 90),
    )
    for x, y, r in spots:
        _plate(c, x, y, r, palette)
        chosen = rng.permutation(6)[: rng.integers(1, 4)]
        s = r * (0.3 if sliced else rng.uniform(0.16, 0.3))
        for _ in range(int(rng.integers(9, 24))):
            at, colour = (
                within(rng, 0.62 * r) + (x, y),
                jitter(rng, kinds[chosen[rng.integers(len(chosen))]], 12),
            )
            if sliced:
                _slice(c, float(at[0]), float(at[1]), s * rng.uniform(0.7, 1), colour)
                continue
            c.shadow(ellipse(*xy(at), s), 0.1 * s, 0.2 * s, 0.12 * s, 0.5)
            c.fill(blob(rng, *xy(at), s, rough=0.04), shaded(colour, "stone", 0.04, 0.55))
            c.glow(float(at[0]) - 0.35 * s, float(at[1]) - 0.4 * s, 0.4 * s, (255, 255, 240), 0.8)
            c.line(
                place(smooth([[0, 0], [0.1, -0.15], [0.3, -0.2]], closed=False), *xy(at), s),
                (80, 56, 36),
                0.07 * s,
            )
            if rng.random() < 0.3:
                c.fill(
                    place(leaf(0.8 * s, 0.35 * s), *at, turn=rng.uniform(0, 6)),
                    shaded((84, 128, 60), "fur", 0.08),
                )
    return c.finish()


def _slice(c: Canvas, x: float, y: float, s: float, colour: Colour) -> None:
    """A round slice with segments and pips."""
    c.shadow(ellipse(x, y, s), 0.05 * s, 0.1 * s, 0.08 * s, 0.5)
    c.fill(ellipse(x, y, s), shaded(colour, "stone", 0.05))
    c.fill(ellipse(x, y, 0.9 * s), mix(colour, (255, 252, 236), 0.8))
    count, turn = int(c.rng.integers(7, 12)), c.rng.uniform(0, 6)
    for k in range(count):
        wedge = np.concatenate(
            [[[0.08, 0]], ellipse(0, 0, 0.82, start=-0.42 / count, end=0.42 / count, points=9)]
        )
        c.fill(
            place(wedge, x, y, s, turn=turn + k * 2 * np.pi / count),
            shaded(mix(colour, (255, 240, 200), 0.25), "fur", 0.1),
        )


def soups(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Bowls of soup, noodles or rice with things in it."""
    c, palette, spots = _table(rng, size)
    for x, y, r in spots:
        broth = jitter(
            rng,
            ((206, 130, 60), (190, 60, 44), (120, 140, 70), (236, 214, 170), (110, 66, 44))[
                rng.integers(5)
            ],
            14,
        )
        bowl, kind = jitter(rng, palette.pick(rng)), int(rng.integers(3))
        c.shadow(ellipse(x, y, r), 0.03 * r, 0.08 * r, 0.07 * r, 0.5)
        c.fill(ellipse(x, y, r), shaded(bowl, "paper", 0.03, 0.4))
        c.fill(ellipse(x, y, 0.88 * r), shaded(mix(bowl, palette.dark, 0.5)))
        c.fill(ellipse(x, y + 0.02 * r, 0.84 * r), shaded(broth, "cloud", 0.04))
        for _ in range(90 if kind else 0):
            a, b = within(rng, 0.78 * r) + (x, y), within(rng, 0.78 * r) + (x, y)
            if kind == 1:
                path = smooth([a, (a + b) / 2 + rng.normal(0, 0.2 * r, 2), b], closed=False)
                c.fill(ribbon(path, 0.05 * r), mix(broth, (20, 10, 10), 0.4))
                c.fill(ribbon(path, 0.036 * r), jitter(rng, (240, 218, 160), 8))
            else:
                for grain in rng.normal(0, 0.12 * r, (9, 2)):
                    if np.hypot(*(a + grain - (x, y))) < 0.78 * r:
                        c.fill(
                            ellipse(
                                *xy(a + grain),
                                0.035 * r,
                                0.014 * r,
                                turn=rng.uniform(0, 3),
                                points=13,
                            ),
                            jitter(rng, (246, 240, 224), 8),
                        )
        for _ in range(rng.integers(6, 24)):
            at, s = within(rng, 0.62 * r) + (x, y), rng.uniform(0.05, 0.13) * r
            colour = jitter(
                rng,
                ((224, 110, 50), (96, 146, 66), (240, 226, 180), (176, 60, 50))[rng.integers(4)],
                12,
            )
            c.shadow(ellipse(*xy(at), s), 0, 0.02 * r, 0.02 * r)
            c.fill(blob(rng, *xy(at), s, rough=0.25), shaded(colour, "stone", 0.06, 0.4))
        for _ in range(rng.integers(0, 60)):
            c.fill(
                place(
                    leaf(0.06 * r, 0.03 * r),
                    *(within(rng, 0.7 * r) + (x, y)),
                    turn=rng.uniform(0, 6),
                ),
                jitter(rng, (70, 120, 56), 16),
            )
        c.fill(
            place(ribbon([[0.55, 0.3], [1.25, 0.75]], [0.05, 0.09]), x, y, r),
            shaded((200, 200, 204), "brush", 0.06),
        )
    return c.finish()


def sushi(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Rows of rolls and slices on rice, on a board."""
    c, palette = _cloth(rng, size)
    board = rounded(0.06, 0.1, c.wide - 0.06, 0.9, 0.04)
    c.shadow(board, 0.01, 0.025, 0.02, 0.5)
    c.fill(board, shaded(jitter(rng, mix(palette.dark, (90, 60, 44), 0.6)), "wood", 0.06))
    rows, columns = int(rng.integers(2, 5)), int(rng.integers(3, 7))
    r = 0.42 * min((c.wide - 0.16) / columns, 0.76 / rows)
    for row in range(rows):
        roll, colour = (
            rng.random() < 0.6,
            jitter(
                rng,
                ((238, 130, 90), (214, 60, 56), (244, 224, 150), (120, 160, 80))[rng.integers(4)],
            ),
        )
        for column in range(columns):
            x, y = (
                0.08 + (column + 0.5) * (c.wide - 0.16) / columns,
                0.12 + (row + 0.5) * 0.76 / rows,
            )
            s = r if roll else 1.1 * r
            c.shadow(ellipse(x, y, s), 0.05 * r, 0.1 * r, 0.08 * r, 0.5)
            rice = blob(rng, x, y, s, s if roll else 0.62 * s, 0.03)
            c.fill(rice, shaded((34, 46, 40) if roll else (240, 236, 222), "fur", 0.06))
            for _ in range(60):
                at = within(rng, 0.82) * (s, s if roll else 0.55 * s) + (x, y)
                c.fill(
                    ellipse(*xy(at), 0.11 * r, 0.05 * r, turn=rng.uniform(0, 3), points=13),
                    jitter(rng, (244, 240, 228), 7),
                )
            if roll:
                c.fill(blob(rng, x, y, 0.42 * r, rough=0.15), shaded(colour, "stone", 0.05, 0.4))
                c.fill(
                    blob(rng, x + 0.2 * r, y + 0.1 * r, 0.2 * r, rough=0.15),
                    shaded((126, 164, 84), "stone", 0.06),
                )
                continue
            fillet = smooth(
                [
                    [x - s, y - 0.4 * s],
                    [x + s, y - 0.45 * s],
                    [x + 0.98 * s, y + 0.25 * s],
                    [x - 0.98 * s, y + 0.3 * s],
                ]
            )
            c.fill(fillet, shaded(colour, "paper", 0.03, 0.3))
            for u in np.linspace(-0.7, 0.7, 6):
                c.line(
                    [[x + (u - 0.1) * s, y - 0.4 * s], [x + (u + 0.12) * s, y + 0.25 * s]],
                    mix(colour, (255, 250, 240), 0.5),
                    0.06 * r,
                )
    for k in range(2 * bool(rng.random() < 0.6)):
        c.fill(
            ribbon([[0.1, 0.95 + 0.02 * k], [c.wide - 0.1, 0.93 + 0.03 * k]], [0.016, 0.008]),
            shaded((150, 70, 50), "wood"),
        )
    return c.finish()
