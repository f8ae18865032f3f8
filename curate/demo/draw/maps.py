"""Maps: streets, contour lines, islands and lines of a tramway."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw import fields
from curate.demo.draw.canvas import Canvas, Paint
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.shapes import (
    Points,
    blob,
    ellipse,
    place,
    rectangle,
    ribbon,
    ridge,
    rounded,
    smooth,
    star,
    xy,
)
from curate.demo.draw.words import place_name

__all__ = ["contours", "islands", "streets", "tramways"]


def _furniture(c: Canvas, palette: Palette) -> None:
    """What surrounds a map: a frame with a scale, a rose or a legend."""
    rng, ink = c.rng, palette.dark
    frame = rectangle(0.012, 0.012, c.wide - 0.012, 0.988)
    c.line(np.concatenate([frame, frame[:2]]), ink, 0.005)
    steps = int(rng.integers(8, 24))
    for k in range(0, steps, 2):
        c.fill(rectangle(c.wide * k / steps, 0, c.wide * (k + 1) / steps, 0.012), ink)
        c.fill(rectangle(c.wide * k / steps, 0.988, c.wide * (k + 1) / steps, 1), ink)
    if rng.random() < 0.6:
        x, y, r = rng.choice([0.14, 0.86]) * c.wide, rng.choice([0.16, 0.84]), 0.075 * c.unit
        c.fill(ellipse(x, y, 1.5 * r), palette.light)
        c.line(ellipse(x, y, 1.35 * r), ink, 0.003)
        c.fill(star(x, y, 0.7 * r, 0.2 * r, 4, np.pi / 4), mix(ink, palette.light, 0.5))
        c.fill(star(x, y, 1.2 * r, 0.2 * r, 4, np.pi / 2), ink)
        c.text(x, y - 1.05 * r, "N", 0.35 * r, palette.colours[2], "serifbold")
    if rng.random() < 0.7:
        x, y, long = 0.06 * c.wide, 0.95, 0.24 * c.wide
        c.fill(rectangle(x - 0.015, y - 0.035, x + long + 0.015, y + 0.02), palette.light)
        for k in range(4):
            c.outlined(
                rectangle(x + k * long / 4, y, x + (k + 1) * long / 4, y + 0.01),
                ink if k % 2 else palette.light,
                ink,
                0.0015,
            )
            c.text(x + k * long / 4, y - 0.014, str(k * 5), 0.016, ink, "sans")


def _label(
    c: Canvas,
    x: float,
    y: float,
    words: str,
    height: float,
    ink: Colour,
    halo: Colour,
    face: str = "sans",
    turn: float = 0,
) -> None:
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        c.text(x + dx * 0.08 * height, y + dy * 0.08 * height, words, height, halo, face, turn=turn)
    c.text(x, y, words, height, ink, face, turn=turn)


def streets(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A town: blocks of houses, avenues, a park, a river, names."""
    palette = choose_palette(rng)
    land = mix(palette.light, (240, 236, 226), 0.5)
    c = Canvas(rng, size, land)
    turn, block = rng.uniform(-0.6, 0.6), rng.uniform(0.06, 0.16)
    built, road, edge = (
        mix(land, palette.colours[3], 0.35),
        (255, 253, 246),
        mix(land, palette.dark, 0.3),
    )

    def street(a: Points, b: Points, width: float, colour: Colour) -> None:
        c.line([a, b], edge, width + 0.004)
        c.line([a, b], colour, width)

    reach = 1.2 * max(1, c.wide)
    lines = [
        np.sort(
            np.arange(-reach, reach, block)
            + rng.normal(0, 0.12 * block, len(np.arange(-reach, reach, block)))
        )
        for _ in range(2)
    ]
    middle = (c.wide / 2, 0.5)
    for u0, u1 in zip(lines[0], lines[0][1:], strict=False):
        for v0, v1 in zip(lines[1], lines[1][1:], strict=False):
            centre = place([[(u0 + u1) / 2, (v0 + v1) / 2]], *middle, turn=turn)[0]
            if not (-block < centre[0] < c.wide + block and -block < centre[1] < 1 + block):
                continue
            if rng.random() < 0.07:
                c.fill(
                    place(rectangle(u0, v0, u1, v1), *middle, turn=turn),
                    Paint((178, 206, 150), texture="stone", contrast=0.02),
                )
                continue
            for _ in range(rng.integers(2, 9)):
                x0, y0 = rng.uniform(u0 + 0.008, u1 - 0.02), rng.uniform(v0 + 0.008, v1 - 0.02)
                house = rectangle(
                    x0,
                    y0,
                    min(x0 + rng.uniform(0.01, 0.04), u1 - 0.006),
                    min(y0 + rng.uniform(0.01, 0.04), v1 - 0.006),
                )
                c.fill(place(house, *middle, turn=turn), jitter(rng, built, 5))
    for axis, line in enumerate(lines):
        for k, u in enumerate(line):
            ends = (
                np.array([[u, -reach], [u, reach]])
                if axis == 0
                else np.array([[-reach, u], [reach, u]])
            )
            a, b = place(ends, *middle, turn=turn)
            great = k % 4 == 0
            street(
                a, b, 0.022 if great else 0.009, mix(road, (250, 214, 130), 0.8) if great else road
            )
    if rng.random() < 0.7:
        river = ridge(rng, 1.4, 0, 0.14, 1.8)[:, ::-1] * (1, 1.1) + (
            c.wide * rng.uniform(0.25, 0.75),
            -0.1,
        )
        c.fill(ribbon(river, rng.uniform(0.04, 0.11)), edge)
        c.fill(ribbon(river, rng.uniform(0.035, 0.09)), (164, 204, 224))
    for _ in range(rng.integers(0, 3)):
        path = smooth(
            [
                [rng.uniform(0, c.wide), -0.05],
                [rng.uniform(0, c.wide), 0.5],
                [rng.uniform(0, c.wide), 1.05],
            ],
            closed=False,
        )
        c.line(path, edge, 0.03)
        c.line(path, mix((236, 130, 90), palette.pick(rng), 0.3), 0.024)
    for _ in range(rng.integers(8, 24)):
        angle = float(-np.degrees(turn)) if rng.random() < 0.6 else 0.0
        _label(
            c,
            rng.uniform(0.05, 0.95) * c.wide,
            rng.uniform(0.05, 0.95),
            place_name(rng),
            rng.uniform(0.018, 0.04),
            palette.dark,
            land,
            turn=angle,
        )
    _furniture(c, palette)
    return c.finish()


def contours(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Relief with contour lines, shaded and tinted by height."""
    palette, (width, height) = choose_palette(rng), size
    shape = (2 * height, 2 * width)
    ground = fields.noise(rng, shape, rng.uniform(1.9, 2.4), 2.0)
    interval = rng.uniform(0.1, 0.3)
    steep = np.hypot(*np.gradient(ground))
    line = (
        np.abs(ground / interval - np.round(ground / interval)) * interval / np.maximum(steep, 1e-4)
    )
    fifth = np.round(ground / interval) % 5 == 0
    ink = np.clip(np.where(fifth, 2.3, 1.3) - line, 0, 1)[..., None]
    tints = np.asarray(
        [
            (146, 190, 206),
            (206, 222, 180),
            (236, 226, 180),
            (222, 190, 140),
            (190, 150, 120),
            (250, 248, 244),
        ],
        dtype=np.float32,
    )
    tints += 0.3 * (np.asarray(palette.colours[::-1]) - tints)
    level = np.clip((ground + 1.2) / 3.2 * 5, 0, 4.999)
    below = level.astype(int)
    pixels = tints[below] + (level - below)[..., None] * (tints[below + 1] - tints[below])
    slope = ground - np.roll(ground, (3, 3), (0, 1))
    pixels *= 1 + np.clip(slope * rng.uniform(0.5, 3), -0.35, 0.25)[..., None]
    pixels += ink * 0.75 * (np.asarray(mix(palette.dark, (110, 70, 40), 0.5)) - pixels)
    c = Canvas(rng, size, palette.light)
    c.cover(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    for _ in range(rng.integers(4, 14)):
        x, y = rng.uniform(0.06, 0.94) * c.wide, rng.uniform(0.06, 0.94)
        c.fill([[x, y - 0.01], [x + 0.009, y + 0.006], [x - 0.009, y + 0.006]], palette.dark)
        _label(
            c,
            x,
            y + 0.022,
            f"{place_name(rng)} {rng.integers(200, 3900)}",
            0.022,
            palette.dark,
            palette.light,
            "book",
        )
    if rng.random() < 0.6:
        c.line(
            smooth([[rng.uniform(0, c.wide), t] for t in np.linspace(-0.1, 1.1, 7)], closed=False),
            (186, 60, 50),
            0.006,
        )
    for t in np.arange(0, c.wide, 0.2):
        c.line([[t, 0], [t, 1]], mix(palette.dark, palette.light, 0.4), 0.0012)
        c.line(
            [[0, t / c.wide], [c.wide, t / c.wide]], mix(palette.dark, palette.light, 0.4), 0.0012
        )
    _furniture(c, palette)
    return c.finish()


def islands(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """An old chart of islands: coast lines, hills drawn one by one, a sea with waves."""
    palette = choose_palette(rng)
    paper = mix((232, 212, 170), palette.light, 0.4 * rng.random())
    c = Canvas(rng, size, Paint(paper, mix(paper, (150, 110, 70), 0.2), "cloud", 0.03))
    ink, sea = (
        mix(palette.dark, (70, 46, 30), 0.6),
        mix(paper, (110, 160, 170), rng.uniform(0.1, 0.6)),
    )
    c.fill(c.whole, Paint(sea, mix(sea, paper, 0.3), "cloud", 0.03))
    for _ in range(rng.integers(40, 220)):
        x, y = rng.uniform(0, c.wide), rng.random()
        c.line(
            smooth(
                [
                    [x, y],
                    [x + 0.008, y - 0.006],
                    [x + 0.016, y],
                    [x + 0.024, y - 0.006],
                    [x + 0.032, y],
                ],
                closed=False,
            ),
            mix(sea, ink, 0.5),
            0.0018,
        )
    count = int(rng.choice([1, 2, 5, 9]))
    for _ in range(count):
        x, y, r = (
            rng.uniform(0.2, 0.8) * c.wide,
            rng.uniform(0.2, 0.8),
            {1: 0.36, 2: 0.24, 5: 0.15, 9: 0.1}[count] * c.unit * rng.uniform(0.8, 1.2),
        )
        coast = blob(rng, 0, 0, 1.15 * r, r, 0.35) * (1 + ridge(rng, 1, 0, 0.09, 0.9, 64)[:, 1:])
        coast = smooth(coast, steps=3) + (x, y)
        for share, tone in ((1.1, 0.15), (1.06, 0.3), (1.03, 0.5)):
            outer = (coast - (x, y)) * share + (x, y)
            c.line(np.concatenate([outer, outer[:2]]), mix(sea, ink, tone), 0.0025)
        c.outlined(
            coast,
            Paint(mix(paper, (250, 240, 210), 0.5), mix(paper, (150, 160, 96), 0.4), "stone", 0.03),
            ink,
            0.005,
        )
        for _ in range(int(60 * r)):
            at = (x + rng.normal(0, 0.32 * r), y + rng.normal(0, 0.28 * r))
            if rng.random() < 0.5:
                hill = place([[-0.5, 0], [0, -0.7], [0.5, 0]], *at, 0.05)
                c.fill(hill, mix(paper, palette.pick(rng), 0.25))
                c.line(hill, ink, 0.003)
                for k in (0.1, 0.22, 0.34):
                    c.line(place([[k, -0.62 + 1.2 * k], [k + 0.02, -0.05]], *at, 0.05), ink, 0.0015)
            else:
                c.line([at, (at[0], at[1] - 0.02)], ink, 0.003)
                c.outlined(
                    ellipse(at[0], at[1] - 0.026, 0.011, 0.014),
                    mix(paper, (96, 120, 70), 0.6),
                    ink,
                    0.002,
                )
        _label(c, x, y + 0.2 * r, place_name(rng), max(0.026, 0.12 * r), ink, paper, "italic")
    if rng.random() < 0.6:
        route = smooth(
            [[rng.uniform(0.1, 0.9) * c.wide, rng.uniform(0.1, 0.9)] for _ in range(5)],
            closed=False,
            steps=24,
        )
        for k in range(0, len(route) - 3, 6):
            c.line(route[k : k + 4], (176, 50, 40), 0.006)
        c.text(*xy(route[-1]), "X", 0.08, (176, 50, 40), "bold")
    for _ in range(int(rng.integers(0, 3)) * 8):
        c.line([[0, rng.random()], [c.wide, rng.random()]], mix(sea, ink, 0.25), 0.001)
    _furniture(c, palette)
    return c.finish()


def tramways(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """The diagram of a tramway: coloured lines in eight directions, stops and their names."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, mix(palette.light, (250, 250, 250), 0.5))
    ink, step = palette.dark, 0.05
    if rng.random() < 0.6:
        path = smooth(
            [
                [-0.1, rng.random()],
                [0.3 * c.wide, rng.random()],
                [0.7 * c.wide, rng.random()],
                [c.wide + 0.1, rng.random()],
            ],
            closed=False,
        )
        c.line(path, mix(palette.light, (130, 180, 220), 0.6), 0.07)
    compass = np.array([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]])
    for k in range(int(rng.integers(3, 9))):
        heading, at = (
            int(rng.integers(8)),
            np.array([rng.uniform(0.2, 0.8) * c.wide, rng.uniform(0.2, 0.8)]).round(1),
        )
        stops = [at]
        for _ in range(int(rng.integers(8, 22))):
            ahead = at + compass[heading] * step
            if not (0.06 < ahead[0] < c.wide - 0.06 and 0.08 < ahead[1] < 0.92):
                heading = (heading + 3) % 8
                continue
            at = ahead
            stops.append(at)
            if rng.random() < 0.25:
                heading = (heading + int(rng.choice([-1, 1]))) % 8
        if len(stops) < 3:
            continue
        c.line(stops, jitter(rng, palette.colours[k % 5], 30), 0.017)
        for n, stop in enumerate(stops[::2]):
            c.fill(ellipse(*xy(stop), 0.013 if n % 3 else 0.018), ink)
            c.fill(ellipse(*xy(stop), 0.008 if n % 3 else 0.011), (255, 255, 255))
            if n % 2 == k % 2:
                c.text(
                    stop[0] + 0.02, stop[1] - 0.02, place_name(rng), 0.019, ink, "sans", anchor="ls"
                )
    words = f"{place_name(rng)} Trams"
    c.fill(rounded(0.03, 0.03, 0.07 + c.text_width(words, 0.03, "bold"), 0.1, 0.01), ink)
    c.text(0.05, 0.066, words, 0.03, palette.light, "bold", anchor="lm")
    return c.finish(clean=rng.random() < 0.5)
