"""Transportation: cars and buses on a road, trains, boats, balloons, aeroplanes and bicycles."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.nature import close, grass, sky, tree
from curate.demo.draw.shapes import Points, ellipse, place, rectangle, ridge, rounded, smooth, xy

__all__ = ["bicycles", "cars", "trains"]

_TYRE, _GLASS, _CHROME = (34, 34, 40), (150, 186, 204), (206, 206, 204)


def _backdrop(c: Canvas, palette: Palette, level: float) -> None:
    """Either hills or the fronts of a town, down to `level`."""
    rng = c.rng
    _, low = sky(c, level)
    if rng.random() < 0.5:
        for near in (0.3, 0.7):
            hill = mix(low, jitter(rng, (92, 116, 76)), near)
            c.fill(
                close(c, ridge(rng, c.wide, level - 0.14 + 0.12 * near, 0.03)),
                Paint(hill, mix(hill, (30, 50, 40), 0.3), "fur", 0.06),
            )
        return
    x = -0.05
    while x < c.wide:
        width, top = rng.uniform(0.12, 0.3), level - rng.uniform(0.15, 0.42)
        front = mix(jitter(rng, palette.pick(rng)), low, 0.35)
        c.fill(rectangle(x, top, x + width, level + 0.02), shaded(front, "stone", 0.05))
        for wy in np.arange(top + 0.03, level - 0.04, 0.07):
            for wx in np.arange(x + 0.02, x + width - 0.035, 0.055):
                c.fill(
                    rectangle(wx, wy, wx + 0.028, wy + 0.042),
                    mix(front, palette.dark if rng.random() < 0.8 else (255, 226, 150), 0.6),
                )
        x += width


def _wheel(c: Canvas, x: float, y: float, r: float) -> None:
    c.fill(ellipse(x, y, r), Paint(_TYRE, texture="paper", contrast=0.06))
    c.fill(ellipse(x, y, 0.62 * r), shaded(_CHROME, "brush", 0.06))
    for k in range(5):
        c.line(
            [[x, y], place([[0.55 * r, 0]], x, y, turn=k * 2 * np.pi / 5)[0]], (90, 90, 96), 0.1 * r
        )
    c.fill(ellipse(x, y, 0.14 * r), _TYRE)


def cars(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Cars, vans and buses that pass on a road."""
    palette, level = choose_palette(rng), rng.uniform(0.5, 0.62)
    c = Canvas(rng, size, palette.light)
    _backdrop(c, palette, level)
    road = jitter(rng, (96, 94, 98))
    c.fill(
        rectangle(0, level, c.wide, 1),
        Paint(mix(road, palette.light, 0.2), mix(road, (20, 20, 26), 0.25), "stone", 0.07),
    )
    c.fill(rectangle(0, level, c.wide, level + 0.03), shaded((176, 170, 160), "stone", 0.06))
    for x in np.arange(rng.uniform(-0.2, 0), c.wide, 0.22):
        c.fill([[x, 0.86], [x + 0.12, 0.86], [x + 0.11, 0.88], [x - 0.01, 0.88]], (232, 226, 206))
    for lane, y in enumerate((level + 0.2, 0.97)):
        x = rng.uniform(-0.1, 0.3)
        while x < c.wide + 0.1:
            long = (0.34 + 0.12 * lane) * rng.uniform(0.9, 1.2) * max(c.unit, 0.75)
            if rng.random() < (0.85 if lane else 0.6):
                _car(
                    c,
                    x,
                    y,
                    long,
                    jitter(rng, palette.pick(rng), 14),
                    int(rng.integers(4)),
                    bool(lane),
                )
            x += long * rng.uniform(1.15, 2)
    return c.finish()


def _car(c: Canvas, x: float, y: float, long: float, colour: Colour, kind: int, flip: bool) -> None:
    """A car of length `long` centred on x with its wheels at y. Kinds: 0 saloon, 1 hatchback, 2 van, 3 bus."""
    tall, roof = (
        (0.3, (-0.2, 0.16)),
        (0.34, (-0.42, 0.12)),
        (0.46, (-0.48, 0.22)),
        (0.52, (-0.49, 0.47)),
    )[kind]

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, x, y, long, flip=flip), paint)

    c.shadow(place(ellipse(0, 0, 0.55, 0.05), x, y, long), 0, 0, 0.02 * long, 0.5)
    paint, beam = shaded(colour, "paper", 0.02, 0.4), -0.24 if kind < 3 else -0.2
    hull = [
        [-0.5, -0.06],
        [-0.5, beam],
        [roof[0] - 0.05, beam],
        [roof[0], -tall],
        [roof[1], -tall],
        [roof[1] + 0.14, beam],
    ]
    hull += [[0.47, beam + 0.03], [0.5, -0.06]] if kind < 3 else [[0.5, beam], [0.5, -0.06]]
    put(smooth(np.repeat(hull, 2, axis=0), steps=4), paint)
    panes = {0: 2, 1: 2, 2: 2, 3: 6}[kind]
    edges = np.linspace(roof[0] + 0.01, roof[1] + (0.08 if kind < 3 else 0), panes + 1)
    for k in range(panes):
        slope = 0.07 if k == panes - 1 and kind < 3 else 0
        pane = [
            [edges[k] + 0.012, -tall + 0.035],
            [edges[k + 1] - slope, -tall + 0.035],
            [edges[k + 1] + 0.2 * slope, beam - 0.01],
            [edges[k] + 0.012, beam - 0.01],
        ]
        put(
            np.array(pane),
            Paint(mix(_GLASS, (255, 255, 255), 0.4), mix(_GLASS, (30, 50, 70), 0.5), "cloud", 0.03),
        )
    put(rectangle(-0.5, -0.115, 0.5, -0.1), mix(colour, (20, 20, 30), 0.4))
    put(rounded(0.44, -0.19, 0.5, -0.14, 0.02), (255, 240, 190))
    put(rounded(-0.5, -0.2, -0.46, -0.14, 0.02), (196, 44, 40))
    put(rectangle(0.02, -0.21, 0.08, -0.198), mix(colour, (20, 20, 30), 0.5))
    for wheel in (-0.31, 0.31):
        _wheel(c, x + wheel * long, y - 0.06 * long, 0.082 * long)


def trains(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A train on an embankment or a viaduct."""
    palette, level = choose_palette(rng), rng.uniform(0.5, 0.68)
    c = Canvas(rng, size, palette.light)
    sky(c, 0.8)
    green = jitter(rng, (104, 124, 72))
    if rng.random() < 0.5:
        stone = jitter(rng, (170, 142, 116))
        c.fill(close(c, ridge(rng, c.wide, 0.7, 0.04)), shaded(green, "grass", 0.09))
        c.fill(rectangle(0, level, c.wide, 1.01), shaded(stone, "stone", 0.1))
        step = rng.uniform(0.2, 0.35)
        for x in np.arange(rng.uniform(-step, 0), c.wide, step):
            arch = np.concatenate(
                [
                    ellipse(x + step / 2, level + 0.1 + step * 0.4, 0.4 * step, start=0.5, end=1),
                    [[x + 0.9 * step, 1.02], [x + 0.1 * step, 1.02]],
                ]
            )
            c.fill(
                arch,
                Paint(
                    mix(green, (190, 210, 220), 0.5), mix(green, (20, 40, 40), 0.3), "grass", 0.07
                ),
            )
        grass(c, 0.93, green, 120)
    else:
        c.fill(
            close(c, ridge(rng, c.wide, 0.56, 0.03)),
            shaded(mix(green, palette.light, 0.3), "fur", 0.07),
        )
        c.fill(rectangle(0, level, c.wide, 1), shaded((134, 124, 116), "stone", 0.12))
        grass(c, level + 0.09, green, 350)
    for x in np.arange(0, c.wide, 0.03):
        c.fill(rectangle(x, level - 0.006, x + 0.016, level + 0.012), (86, 64, 52))
    c.fill(rectangle(0, level - 0.014, c.wide, level - 0.006), _CHROME)
    long, tall, colour = (
        rng.uniform(0.34, 0.5),
        rng.uniform(0.15, 0.2),
        jitter(rng, palette.pick(rng)),
    )
    front = rng.uniform(0.7, 1.1) * c.wide
    steam = rng.random() < 0.5
    for k in range(int(front / long) + 2):
        _carriage(
            c,
            front - (k + 1) * (long + 0.012),
            level - 0.014,
            long,
            tall,
            colour,
            palette,
            steam,
            first=k == 0,
        )
    return c.finish()


def _carriage(
    c: Canvas,
    x: float,
    y: float,
    long: float,
    tall: float,
    colour: Colour,
    palette: Palette,
    steam: bool,
    first: bool,
) -> None:
    rng, paint = c.rng, shaded(colour, "paper", 0.03, 0.35)
    if first and steam:
        c.fill(rounded(x + 0.3 * long, y - 0.75 * tall, x + long, y - 0.2 * tall, 0.06), paint)
        c.fill(rectangle(x, y - 1.05 * tall, x + 0.34 * long, y - 0.16 * tall), paint)
        c.fill(
            rectangle(x - 0.02, y - 1.12 * tall, x + 0.38 * long, y - 1.03 * tall),
            shaded(palette.dark),
        )
        c.fill(
            rectangle(x + 0.08 * long, y - 0.9 * tall, x + 0.26 * long, y - 0.6 * tall),
            (196, 214, 214),
        )
        chimney = np.array([[0.8, -0.7], [0.78, -1.25], [0.92, -1.25], [0.9, -0.7]]) * (
            long,
            tall,
        ) + (x, y)
        c.fill(chimney, shaded(palette.dark))
        for t in np.linspace(0, 1, 30):
            r = 0.02 + 0.09 * t
            at = (
                x + 0.85 * long - 0.9 * t * c.wide,
                y - 1.3 * tall - 0.25 * t + rng.normal(0, 0.02),
            )
            c.glow(*xy(at), 2 * r, (250, 248, 244), 0.55)
    else:
        right = [[x + long, y - 0.16 * tall], [x + long, y - tall]]
        if first:
            right = [
                [x + 1.12 * long, y - 0.16 * tall],
                [x + 1.1 * long, y - 0.45 * tall],
                [x + 0.95 * long, y - tall],
            ]
        c.fill([[x, y - tall], [x, y - 0.16 * tall], *right], paint)
        c.fill(rectangle(x, y - 0.4 * tall, x + long, y - 0.33 * tall), palette.light)
        count = rng.integers(4, 7)
        for left in np.linspace(x + 0.05 * long, x + 0.95 * long, count, endpoint=False):
            pane = rounded(
                left, y - 0.85 * tall, left + 0.75 * 0.9 * long / count, y - 0.5 * tall, 0.01
            )
            c.fill(
                pane,
                Paint(
                    mix(_GLASS, (255, 255, 255), 0.3), mix(_GLASS, (20, 30, 50), 0.6), "cloud", 0.03
                ),
            )
    c.fill(rectangle(x + 0.02, y - 0.17 * tall, x + 0.98 * long, y - 0.08 * tall), (56, 54, 60))
    for wheel in (0.12, 0.26, 0.72, 0.86):
        _wheel(c, x + wheel * long, y - 0.1 * tall, 0.14 * tall)


def bicycles(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Bicycles against a wall or in a park."""
    palette, level = choose_palette(rng), rng.uniform(0.6, 0.75)
    c = Canvas(rng, size, palette.light)
    if rng.random() < 0.5:
        sky(c, level)
        green = jitter(rng, (104, 126, 70))
        for x in rng.uniform(0, c.wide, 3):
            tree(c, x, level + 0.02, rng.uniform(0.5, 0.7), jitter(rng, green), 1)
        grass(c, level, green, 300)
    else:
        wall = jitter(rng, palette.pick(rng))
        c.fill(
            rectangle(0, 0, c.wide, level),
            Paint(mix(wall, palette.light, 0.35), wall, "stone", 0.07),
        )
        for x in np.arange(rng.uniform(0, 0.2), c.wide, 0.5):
            c.outlined(
                rectangle(x, 0.08, x + 0.26, 0.42),
                Paint(_GLASS, mix(_GLASS, palette.dark, 0.6), "cloud"),
                palette.light,
                0.02,
            )
        c.fill(rectangle(0, level, c.wide, 1), shaded((150, 142, 136), "stone", 0.08))
    count = int(rng.choice([1, 1, 2, 3]))
    for k in range(count):
        _bicycle(
            c,
            (k + 0.5) / count * c.wide,
            rng.uniform(0.85, 0.95),
            {1: 0.3, 2: 0.22, 3: 0.17}[count] * c.unit,
            jitter(rng, palette.pick(rng)),
        )
    return c.finish()


def _bicycle(c: Canvas, x: float, y: float, r: float, colour: Colour) -> None:
    def tube(*path: tuple[float, float], width: float = 0.08, ink: Colour = colour) -> None:
        c.line(place(path, x, y, r), ink, width * r)

    for side in (-1, 1):
        hub = (x + 1.05 * side * r, y - 0.8 * r)
        for k in range(18):
            c.line(
                [hub, place([[0.76 * r, 0]], *hub, turn=k * np.pi / 9)[0]],
                (190, 190, 192),
                0.012 * r,
            )
        c.line(ellipse(*hub, 0.78 * r), _TYRE, 0.09 * r)
        c.line(ellipse(*hub, 0.72 * r), _CHROME, 0.03 * r)
    saddle, crank, head = (-0.4, -1.75), (-0.15, -0.75), (0.72, -1.62)
    tube((-1.05, -0.8), crank, head, (-0.34, -1.5), (-1.05, -0.8))
    tube(saddle, crank)
    tube(head, (1.05, -0.8))
    tube((0.68, -1.6), (0.62, -2.02), width=0.06, ink=_CHROME)
    tube((0.5, -2.05), (0.78, -2.1), (0.95, -1.98), width=0.08, ink=_TYRE)
    c.fill(
        place(smooth([[-0.7, -1.85], [-0.2, -1.8], [-0.35, -1.7], [-0.62, -1.72]]), x, y, r), _TYRE
    )
    c.line(place(ellipse(*crank, 0.2), x, y, r), _CHROME, 0.05 * r)
    tube((-0.28, -0.5), (-0.02, -1), width=0.05, ink=_TYRE)
