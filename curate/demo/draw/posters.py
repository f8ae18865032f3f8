"""Posters: geometric, typographic, travel and concert posters."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint
from curate.demo.draw.colours import Palette, choose_palette, mix
from curate.demo.draw.nature import close, tree
from curate.demo.draw.shapes import blob, ellipse, place, rectangle, ridge, smooth, star
from curate.demo.draw.words import place_name, set_lines, title

__all__ = ["concerts", "films", "geometry", "travel", "typography"]

_FACES = ("bold", "serifbold", "sans", "book", "bookbold", "plain")


def _headline(
    c: Canvas,
    x: float,
    y: float,
    words: str,
    width: float,
    most: float,
    palette: Palette,
    *,
    dark: bool,
    anchor: str = "mm",
) -> float:
    """Set words as large as the width allows; returns the size."""
    face = _FACES[c.rng.integers(len(_FACES))]
    height = min(most, 0.1 * width / max(c.text_width(words, 0.1, face), 1e-6))
    c.text(x, y, words, height, palette.dark if dark else palette.light, face, anchor=anchor)
    return height


def geometry(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Circles, quarters, bars and stripes on a grid, with a caption."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, Paint(palette.light, texture="paper", contrast=0.02))
    columns = int(rng.integers(2, 7))
    foot = 0.16
    cell = min(c.wide / columns, (1 - foot) / 2)
    columns, rows = int(c.wide / cell + 1e-6), int((1 - foot) / cell + 1e-6)
    left = (c.wide - columns * cell) / 2
    for row in range(rows):
        for column in range(columns):
            _tile(c, left + (column + 0.5) * cell, (row + 0.5) * cell + 0.02, cell / 2, palette)
    words = title(rng).upper()
    _headline(
        c, c.wide * 0.06, 1 - 0.62 * foot, words, 0.6 * c.wide, 0.1, palette, dark=True, anchor="lm"
    )
    set_lines(c, (0.06 * c.wide, 1 - 0.38 * foot, 0.94 * c.wide, 0.98), 0.016, palette.dark, "sans")
    c.text(
        c.wide * 0.94,
        1 - 0.62 * foot,
        str(rng.integers(1919, 2030)),
        0.06,
        palette.colours[2],
        "bold",
        anchor="rm",
    )
    return c.finish()


def _tile(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    rng = c.rng
    back, front, third = (palette.colours[k] for k in rng.permutation(6)[:3])
    kind, turn = rng.integers(8), rng.integers(4) * np.pi / 2
    c.fill(rectangle(x - r, y - r, x + r, y + r), Paint(back, texture="paper", contrast=0.025))
    ink = Paint(front, texture="paper", contrast=0.03)
    if kind == 0:
        for share, colour in ((0.9, front), (0.6, third), (0.3, back)):
            c.fill(ellipse(x, y, share * r), colour)
    elif kind == 1:
        c.fill(place([[-1, -1], *ellipse(-1, -1, 2, start=0, end=0.25)], x, y, r, turn=turn), ink)
        c.fill(place([[-1, -1], *ellipse(-1, -1, 1, start=0, end=0.25)], x, y, r, turn=turn), third)
    elif kind == 2:
        for u in np.linspace(-1, 1, 2 * int(rng.integers(3, 9)), endpoint=False)[::2]:
            c.fill(place(rectangle(u, -1, u + 1 / 8, 1), x, y, r, turn=turn), front)
    elif kind == 3:
        c.fill(place([[-1, -1], [1, 1], [-1, 1]], x, y, r, turn=turn), ink)
    elif kind == 4:
        c.fill(place(ellipse(0, 0, 1, start=0, end=0.5), x, y, r, turn=turn), ink)
        c.fill(place(ellipse(0, -0.5, 0.35), x, y, r, turn=turn), third)
    elif kind == 5:
        n = int(rng.integers(3, 9))
        for u in np.linspace(-1, 1, n, endpoint=False) + 1 / n:
            for v in np.linspace(-1, 1, n, endpoint=False) + 1 / n:
                c.fill(ellipse(x + u * r, y + v * r, 0.55 * r / n), front)
    elif kind == 6:
        c.fill(star(x, y, 0.9 * r, 0.35 * r, int(rng.integers(4, 13))), ink)
        c.fill(ellipse(x, y, 0.25 * r), third)
    else:
        for share in np.arange(1, 0.05, -0.2):
            c.fill(
                place([[-1, 1], *ellipse(-1, 1, 2 * share, start=0.75, end=1)], x, y, r, turn=turn),
                front if round(share * 5) % 2 else third,
            )


def typography(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Great letters, stacked, cut or repeated, with small print."""
    palette = choose_palette(rng)
    dark = rng.random() < 0.5
    ground = palette.colours[rng.integers(3, 6)] if dark else palette.colours[rng.integers(0, 3)]
    c = Canvas(rng, size, Paint(ground, texture="paper", contrast=0.025))
    kind = rng.integers(3)
    if kind == 0:
        words, y = title(rng, 3).upper().split() + [str(rng.integers(1, 100))], 0.04
        for word in words:
            face = _FACES[rng.integers(2)]
            height = min(0.1 * 0.88 * c.wide / c.text_width(word, 0.1, face), 0.36)
            c.text(
                0.06 * c.wide,
                y + 0.78 * height,
                word,
                height,
                palette.colours[rng.integers(3) if dark else rng.integers(3, 6)],
                face,
                anchor="ls",
            )
            y += 0.9 * height
    elif kind == 1:
        letter, y = "ABGKMQRS&?!58"[rng.integers(13)], rng.uniform(0.38, 0.48)
        for k, colour in enumerate(
            (palette.colours[2], palette.colours[3], palette.dark if dark else palette.light)
        ):
            c.text(
                c.wide / 2 + 0.02 * (k - 1),
                y + 0.02 * (k - 1),
                letter,
                0.8 * c.unit,
                colour,
                ("bold", "serifbold")[rng.integers(2)],
            )
    else:
        word, rows = title(rng, 1).upper(), int(rng.integers(4, 10))
        for row in range(rows):
            colour = mix(palette.colours[1 if dark else 4], ground, 0.8 * row / rows)
            height = min(0.72 / rows, 0.1 * 0.9 * c.wide / c.text_width(word, 0.1, "bold"))
            c.text(
                0.05 * c.wide + 0.02 * row,
                0.05 + (row + 0.8) * 0.78 / rows,
                word,
                height,
                colour,
                "bold",
                anchor="ls",
            )
    c.line(
        [[0.06 * c.wide, 0.86], [0.94 * c.wide, 0.86]],
        palette.dark if dark else palette.light,
        0.004,
    )
    for column in range(2):
        x = (0.06 + 0.46 * column) * c.wide
        set_lines(
            c,
            (x, 0.87, x + 0.42 * c.wide, 0.98),
            0.02,
            palette.dark if dark else palette.light,
            "sans",
        )
    return c.finish()


def travel(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A place in four inks, with its name below."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, palette.light)
    edge, foot = 0.035, 0.8
    c.fill(c.whole, Paint(palette.colours[4], palette.colours[3], "paper", 0.03))
    x, y, r = (
        rng.uniform(0.25, 0.75) * c.wide,
        rng.uniform(0.2, 0.42),
        rng.uniform(0.08, 0.2) * c.unit,
    )
    if rng.random() < 0.5:
        for k in range(28):
            a, b = 2 * np.pi * k / 28, 2 * np.pi * (k + 0.5) / 28
            c.fill(
                [
                    [x, y],
                    [x + 2 * np.cos(a), y + 2 * np.sin(a)],
                    [x + 2 * np.cos(b), y + 2 * np.sin(b)],
                ],
                mix(palette.colours[4], palette.light, 0.35),
            )
    c.fill(ellipse(x, y, r), palette.light)
    for near in (0.25, 0.5, 0.75):
        colour = palette.colours[3 - round(near * 3)]
        line = ridge(rng, c.wide, 0.4 + 0.36 * near, 0.05, rng.uniform(1.2, 2))
        c.fill(
            close(c, line),
            Paint(mix(colour, palette.light, 0.15), mix(colour, palette.dark, 0.3), "paper", 0.05),
        )
        for _ in range(rng.integers(0, 12) if near > 0.4 else 0):
            root = line[rng.integers(len(line))]
            tree(c, root[0], root[1] + 0.04, 0.16 * near, palette.dark, 0)
    if rng.random() < 0.5:
        middle = c.wide * rng.uniform(0.35, 0.65)
        road = smooth(
            [[middle, 0.6], [middle + 0.1, 0.68], [middle - 0.1, 0.76], [middle + 0.05, 0.9]],
            closed=False,
        )
        c.line(road, palette.light, 0.012)
    c.fill(rectangle(0, foot, c.wide, 1), Paint(palette.light, texture="paper", contrast=0.02))
    height = _headline(
        c, c.wide / 2, foot + 0.07, place_name(rng).upper(), 0.8 * c.wide, 0.1, palette, dark=True
    )
    c.text(
        c.wide / 2,
        foot + 0.085 + 0.5 * height,
        f"the {title(rng)} by rail",
        0.032,
        palette.colours[2],
        "italic",
    )
    for a, b, e in ((0, 0, edge), (edge * 1.3, edge * 1.3, 0.005)):
        frame = rectangle(a, b, c.wide - a, 1 - b)
        c.line(
            np.concatenate([frame, frame[:2]]),
            palette.light if e == edge else palette.colours[2],
            e,
        )
    return c.finish()


def concerts(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Waves, rings or blots in loud inks, under the name of a band."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, Paint(palette.colours[1], palette.dark, "paper", 0.04))
    x, y, kind = c.wide * rng.uniform(0.3, 0.7), rng.uniform(0.4, 0.6), rng.integers(3)
    if kind == 0:
        for k, r in enumerate(np.arange(0.75, 0.02, -rng.uniform(0.018, 0.06))):
            c.fill(blob(rng, x, y, r * c.unit, rough=0.12), palette.colours[(2, 3, 4, 5)[k % 4]])
    elif kind == 1:
        t = np.linspace(0, 1, 120)
        for level in np.arange(0.22, 0.8, rng.uniform(0.012, 0.03)):
            hump = (
                0.16
                * np.exp(-(((t - 0.5) / 0.16) ** 2))
                * np.abs(ridge(rng, 1, 0, 0.8, 1.2, 120)[:, 1])
            )
            line = np.stack([t * c.wide, level - hump], 1)
            c.fill(
                np.concatenate([line, [[c.wide, level + 0.1], [0, level + 0.1]]]),
                mix(palette.colours[1], palette.dark, level),
            )
            c.line(line, palette.light, 0.003)
    else:
        for k in range(int(rng.integers(16, 60))):
            angle = rng.uniform(0, 2 * np.pi)
            drop = place(
                ellipse(0.3, 0, rng.uniform(0.05, 0.3), rng.uniform(0.01, 0.05)),
                x,
                y,
                0.9 * c.unit,
                turn=angle,
            )
            c.fill(drop, Paint(palette.colours[2 + k % 4], texture="paper", contrast=0.06))
    c.fill(rectangle(0, 0, c.wide, 0.17), palette.dark)
    c.text(
        c.wide / 2,
        0.09,
        f"THE {title(rng, 1).upper()}S",
        min(0.12, 0.09 * c.wide / c.text_width("THE MOUNTAINS", 0.1, "bold")),
        palette.light,
        "bold",
    )
    c.fill(rectangle(0, 0.86, c.wide, 1), palette.colours[4])
    day = f"{rng.integers(1, 29)} {('MAY', 'JUNE', 'OCT', 'NOV')[rng.integers(4)]}"
    when = f"{day}  {place_name(rng)} hall  {rng.integers(6, 11)} pm"
    _headline(c, c.wide / 2, 0.91, when, 0.88 * c.wide, 0.06, palette, dark=True)
    set_lines(c, (0.06 * c.wide, 0.945, 0.94 * c.wide, 0.99), 0.014, palette.dark, "sans")
    c.roughen("paper", 0.015)
    return c.finish()


def films(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A silhouette before a great disc, a title and a block of credits."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, Paint(palette.colours[3], palette.colours[1], "cloud", 0.04))
    x, y, r = c.wide / 2, rng.uniform(0.35, 0.45), rng.uniform(0.25, 0.38) * c.unit
    c.glow(x, y, 2 * r, palette.light, 0.5)
    c.fill(ellipse(x, y, r), Paint(palette.light, palette.colours[4], "stone", 0.05))
    for _ in range(rng.integers(3, 30)):
        c.fill(
            rectangle(
                0, (h := y + r * rng.uniform(-0.2, 1)), c.wide, h + rng.uniform(0.001, 0.008)
            ),
            mix(palette.colours[3], palette.colours[1], rng.random()),
        )
    c.fill(
        close(c, ridge(rng, c.wide, 0.66, 0.03)),
        Paint(mix(palette.dark, palette.colours[1], 0.4), palette.dark, "grass", 0.03),
    )
    for _ in range(rng.integers(1, 4)):
        fx, tall = c.wide * rng.uniform(0.25, 0.75), rng.uniform(0.15, 0.3)
        figure = [
            [-0.1, 0],
            [-0.06, -0.5],
            [-0.13, -0.5],
            [-0.12, -0.8],
            [-0.04, -0.85],
            [-0.05, -0.97],
            [0.05, -0.97],
            [0.04, -0.85],
            [0.12, -0.8],
            [0.13, -0.5],
            [0.06, -0.5],
            [0.1, 0],
            [0.02, 0],
            [0, -0.4],
            [-0.02, 0],
        ]
        c.fill(place(smooth(figure, steps=4), fx, 0.72, tall), palette.dark)
    for _ in range(rng.integers(0, 9)):
        tree(
            c,
            rng.uniform(0, c.wide),
            0.72,
            rng.uniform(0.15, 0.4),
            palette.dark,
            int(rng.choice([0, 2])),
        )
    c.fill(rectangle(0, 0.72, c.wide, 1), palette.dark)
    _headline(c, x, 0.79, f"THE {title(rng).upper()}", 0.86 * c.wide, 0.12, palette, dark=False)
    set_lines(
        c,
        (0.12 * c.wide, 0.86, 0.88 * c.wide, 0.97),
        0.018,
        mix(palette.light, palette.dark, 0.3),
        "sans",
        leading=1.2,
        justify=True,
    )
    return c.finish()
