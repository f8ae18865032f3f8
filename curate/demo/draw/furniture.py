"""Furniture: chairs, tables, sofas, beds, cupboards and shelves; also what rooms are furnished with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.shapes import Points, ellipse, place, rectangle, ribbon, rounded, smooth

__all__ = ["WOODS", "bed", "bookcase", "chair", "chest", "exhibit", "lamp", "room", "sofa", "table"]

WOODS: tuple[Colour, ...] = (
    (150, 100, 60),
    (196, 150, 98),
    (96, 62, 46),
    (214, 186, 146),
    (120, 72, 48),
)
Piece = Callable[[Canvas, float, float, float, Palette], None]


def room(c: Canvas, palette: Palette, level: float) -> Colour:
    """A papered or panelled wall down to `level`, and a floor; returns the wall's colour."""
    rng, wood = c.rng, jitter(c.rng, WOODS[c.rng.integers(5)])
    wall = jitter(rng, mix(palette.pick(rng), palette.light, rng.uniform(0.3, 0.7)))
    c.fill(
        rectangle(0, 0, c.wide, level),
        Paint(mix(wall, (255, 250, 240), 0.2), mix(wall, palette.dark, 0.12), "paper", 0.03),
    )
    print_, step, kind = mix(wall, palette.pick(rng), 0.35), rng.uniform(0.04, 0.1), rng.integers(5)
    for row, y in enumerate(np.arange(step / 2, level, step)):
        for x in np.arange(step / 2 * (row % 2 + 1), c.wide, step):
            if kind == 0:
                c.fill(ellipse(x, y, 0.13 * step, points=13), print_)
            elif kind == 1:
                for turn in range(4):
                    c.fill(
                        place(
                            ellipse(0.16, 0, 0.15, 0.06, points=13),
                            x,
                            y,
                            step,
                            turn=turn * np.pi / 2,
                        ),
                        print_,
                    )
            elif kind == 2 and row == 0:
                c.fill(rectangle(x - 0.2 * step, 0, x + 0.1 * step, level), print_)
            elif kind == 3:
                c.line(
                    [[x - 0.5 * step, y], [x, y - 0.5 * step], [x + 0.5 * step, y]],
                    print_,
                    0.07 * step,
                )
    c.fill(
        rectangle(0, level, c.wide, 1),
        Paint(mix(wood, palette.light, 0.15), mix(wood, (30, 16, 20), 0.25), "wood", 0.06),
    )
    for k in range(1, 7):
        y = level + (1 - level) * (k / 6) ** 1.6
        c.line([[0, y], [c.wide, y]], mix(wood, (30, 16, 20), 0.45), 0.003)
        for x in np.arange(rng.uniform(-0.3, 0), c.wide, rng.uniform(0.3, 0.5)):
            c.line(
                [[x, y], [x - 0.01, level + (1 - level) * ((k - 1) / 6) ** 1.6]],
                mix(wood, (30, 16, 20), 0.45),
                0.003,
            )
    c.fill(rectangle(0, level - 0.035, c.wide, level), shaded(mix(palette.light, wall, 0.2)))
    return wall


def chair(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    """A wooden chair, its back turned to the left; `r` is about its height."""
    rng = c.rng
    wood, seat = (
        jitter(rng, WOODS[rng.integers(5)]),
        shaded(jitter(rng, palette.pick(rng)), "weave", 0.09),
    )
    timber, flip, rails = shaded(wood, "wood", 0.08), rng.random() < 0.5, rng.integers(2, 6)

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, x, y, r, flip=flip), paint)

    c.shadow(place(ellipse(0.02, -0.02, 0.36, 0.05), x, y, r), 0, 0, 0.02 * r, 0.45)
    for foot, top in ((0.12, 0.1), (-0.1, -0.12)):
        put(
            ribbon([[foot, -0.45], [top + 0.04, -0.08]], [0.045, 0.03]),
            Paint(mix(wood, (20, 10, 20), 0.45)),
        )
    put(
        ribbon(
            smooth([[-0.3, -0.02], [-0.25, -0.45], [-0.33, -1]], closed=False),
            [0.035, 0.055, 0.035],
        ),
        timber,
    )
    put(
        ribbon(
            smooth([[-0.06, -0.42], [-0.02, -0.6], [-0.09, -0.97]], closed=False), [0.04, 0.035]
        ),
        timber,
    )
    for h in np.linspace(-0.95, -0.58, rails):
        put(ribbon([[-0.31, h], [-0.07, h + 0.02]], 0.05 if rails > 3 else 0.09), timber)
    put(ribbon([[0.27, -0.45], [0.29, -0.01]], [0.055, 0.035]), timber)
    put(
        smooth(
            np.repeat([[-0.3, -0.44], [-0.05, -0.52], [0.34, -0.51], [0.31, -0.42]], 2, axis=0),
            steps=4,
        ),
        seat,
    )
    put(rectangle(-0.3, -0.445, 0.31, -0.4), timber)


def sofa(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    rng = c.rng
    cover = shaded(
        jitter(rng, palette.pick(rng)),
        ("weave", "knit", "fur", "paper")[rng.integers(4)],
        0.08,
        0.35,
    )
    seats, half = int(rng.integers(1, 4)), 0.0
    half = 0.28 + 0.2 * seats

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, x, y, r), paint)

    c.shadow(place(ellipse(0, -0.01, half + 0.1, 0.06), x, y, r), 0, 0, 0.02 * r, 0.5)
    for foot in (-half, half):
        put(ribbon([[foot * 0.9, -0.1], [foot * 0.92, 0]], [0.05, 0.03]), WOODS[2])
    put(rounded(-half, -0.72, half, -0.12, 0.1), cover)
    for k in range(seats):
        left = -half + 0.12 + k * (2 * half - 0.24) / seats
        right = left + (2 * half - 0.24) / seats
        for top, bottom in ((-0.68, -0.32), (-0.36, -0.2)):
            cushion = place(rounded(left + 0.005, top, right - 0.005, bottom, 0.05), x, y, r)
            c.shadow(cushion, 0, 0.012 * r, 0.01 * r)
            c.fill(cushion, cover)
    for side in (-1, 1):
        arm = place(rounded(side * half - 0.09, -0.48, side * half + 0.09, -0.09, 0.08), x, y, r)
        c.shadow(arm, 0, 0.01 * r, 0.012 * r)
        c.fill(arm, cover)
    for _ in range(rng.integers(0, 4)):
        pillow = place(
            smooth([[-0.15, -0.14], [0.15, -0.14], [0.15, 0.14], [-0.15, 0.14]]),
            x + rng.uniform(-0.6, 0.6) * half * r,
            y - 0.47 * r,
            r,
            turn=rng.normal(0, 0.4),
        )
        c.shadow(pillow, 0, 0.01, 0.01)
        c.fill(pillow, shaded(jitter(rng, palette.colours[rng.integers(1, 6)]), "knit", 0.1))


def table(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    rng = c.rng
    wood = jitter(rng, WOODS[rng.integers(5)])
    timber, half = shaded(wood, "wood", 0.09), rng.uniform(0.45, 0.75)
    c.shadow(place(ellipse(0, -0.02, half + 0.05, 0.06), x, y, r), 0, 0, 0.03 * r, 0.4)
    if rng.random() < 0.4:
        c.fill(
            place(
                ribbon(
                    smooth([[0, -0.55], [0, -0.2], [0, -0.03]], closed=False), [0.16, 0.07, 0.1]
                ),
                x,
                y,
                r,
            ),
            timber,
        )
        c.fill(place(ellipse(0, -0.03, 0.26, 0.04), x, y, r), timber)
        c.fill(place(ellipse(0, -0.57, half, 0.1), x, y, r), Paint(mix(wood, (20, 10, 10), 0.4)))
        c.fill(place(ellipse(0, -0.6, half, 0.1), x, y, r), timber)
    else:
        for side in (-1, 1):
            c.fill(
                place(
                    ribbon([[side * 0.78 * half, -0.6], [side * 0.76 * half, -0.1]], [0.06, 0.04]),
                    x,
                    y,
                    r,
                ),
                Paint(mix(wood, (20, 10, 10), 0.5)),
            )
            c.fill(
                place(
                    ribbon([[side * 0.9 * half, -0.6], [side * 0.92 * half, 0]], [0.07, 0.05]),
                    x,
                    y,
                    r,
                ),
                timber,
            )
        c.fill(
            place(rectangle(-0.95 * half, -0.62, 0.95 * half, -0.52), x, y, r),
            Paint(mix(wood, (20, 10, 10), 0.25), texture="wood"),
        )
        top = [
            [-0.85 * half, -0.72],
            [0.85 * half, -0.72],
            [half, -0.63],
            [half, -0.6],
            [-half, -0.6],
            [-half, -0.63],
        ]
        c.fill(place(top, x, y, r), timber)
    for _ in range(rng.integers(0, 3)):
        at, cup = (
            (x + rng.uniform(-0.5, 0.5) * half * r, y - 0.64 * r),
            shaded(jitter(rng, palette.pick(rng)), "paper", 0.03, 0.4),
        )
        c.fill(
            place(
                smooth(
                    [
                        [-0.06, -0.16],
                        [0.06, -0.16],
                        [0.08, -0.05],
                        [0.04, 0],
                        [-0.04, 0],
                        [-0.08, -0.05],
                    ]
                ),
                *at,
                r,
            ),
            cup,
        )
        c.fill(place(ellipse(0, -0.155, 0.06, 0.015), *at, r), mix(cup.colour, (20, 10, 20), 0.6))


def bed(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    rng = c.rng
    timber, sheet = (
        shaded(jitter(rng, WOODS[rng.integers(5)]), "wood", 0.08),
        shaded(palette.light, "weave", 0.04),
    )
    quilt, colours = (
        jitter(rng, palette.pick(rng)),
        [jitter(rng, palette.colours[k]) for k in (1, 2, 3, 4)],
    )
    c.shadow(place(rectangle(-0.8, -0.1, 0.8, 0.02), x, y, r), 0, 0, 0.03 * r, 0.5)
    c.fill(place(rounded(-0.84, -0.95, -0.74, 0, 0.04), x, y, r), timber)
    c.fill(place(rectangle(-0.8, -0.2, 0.8, -0.06), x, y, r), timber)
    c.fill(place(rounded(-0.76, -0.42, 0.78, -0.15, 0.07), x, y, r), sheet)
    c.fill(
        place(rounded(-0.72, -0.56, -0.38, -0.38, 0.08), x, y, r),
        shaded(mix(palette.light, quilt, 0.2), "paper", 0.03),
    )
    cover = smooth(
        [
            [-0.4, -0.46],
            [0.2, -0.5],
            [0.76, -0.46],
            [0.81, -0.2],
            [0.6, -0.1],
            [0.1, -0.13],
            [-0.35, -0.1],
        ]
    )
    c.fill(place(cover, x, y, r), shaded(quilt, "knit", 0.08, 0.35))
    for u in np.linspace(-0.3, 0.68, 8):
        for v in (-0.41, -0.3, -0.19):
            c.fill(
                place(rectangle(u, v, u + 0.09, v + 0.07), x, y, r),
                shaded(colours[rng.integers(4)], "weave", 0.08),
            )
    c.fill(place(rounded(0.76, -0.55, 0.85, 0, 0.04), x, y, r), timber)


def chest(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    """A chest of drawers or a wardrobe."""
    rng, wood = (
        c.rng,
        jitter(c.rng, mix(WOODS[c.rng.integers(5)], palette.pick(c.rng), 0.35 * c.rng.random())),
    )
    half, tall, rows, columns = (
        rng.uniform(0.25, 0.5),
        rng.uniform(0.55, 1),
        rng.integers(1, 6),
        rng.integers(1, 3),
    )
    c.shadow(place(rectangle(-half, -0.08, half, 0.02), x, y, r), 0, 0, 0.03 * r, 0.5)
    c.fill(place(rectangle(-half, -tall, half, -0.06), x, y, r), shaded(wood, "wood", 0.08))
    c.fill(
        place(rectangle(-half - 0.03, -tall - 0.03, half + 0.03, -tall + 0.015), x, y, r),
        shaded(wood, "wood", 0.05),
    )
    for side in (-0.9, 0.9):
        c.fill(
            place(ribbon([[side * half, -0.07], [side * half, 0]], [0.06, 0.04]), x, y, r),
            mix(wood, (20, 10, 10), 0.5),
        )
    wide, high = 2 * half / columns, (tall - 0.1) / rows
    for row in range(rows):
        for column in range(columns):
            left, top = -half + column * wide + 0.025, -tall + 0.035 + row * high
            front = rectangle(left, top, left + wide - 0.05, top + high - 0.035)
            c.outlined(
                place(front, x, y, r),
                shaded(mix(wood, (255, 240, 220), 0.12), "wood", 0.09),
                mix(wood, (20, 10, 10), 0.5),
                0.008 * r,
            )
            for knob in (0.3, 0.7) if columns == 1 else (0.5,):
                c.fill(
                    place(ellipse(left + knob * (wide - 0.05), top + high / 2, 0.018), x, y, r),
                    shaded((206, 174, 96), "paper", 0.03, 0.5),
                )


def bookcase(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    rng, wood = c.rng, jitter(c.rng, WOODS[c.rng.integers(5)])
    half, tall, rows = rng.uniform(0.28, 0.48), rng.uniform(0.8, 1.15), rng.integers(3, 6)
    c.shadow(place(rectangle(-half, -0.06, half, 0.02), x, y, r), 0, 0, 0.03 * r, 0.5)
    c.fill(
        place(rectangle(-half - 0.03, -tall - 0.03, half + 0.03, 0), x, y, r),
        shaded(wood, "wood", 0.07),
    )
    c.fill(place(rectangle(-half, -tall, half, -0.05), x, y, r), Paint(mix(wood, (16, 8, 16), 0.6)))
    high = (tall - 0.05) / rows
    for row in range(rows):
        floor, left = -tall + (row + 1) * high - 0.02, -half + 0.01
        while left < half - 0.05:
            thick, lean = rng.uniform(0.02, 0.05), (rng.random() < 0.08) * 0.25
            if rng.random() < 0.92:
                _book(
                    c,
                    place(
                        rectangle(0, -high * rng.uniform(0.55, 0.88), thick, 0),
                        left,
                        floor,
                        turn=-lean,
                    ),
                    x,
                    y,
                    r,
                    palette,
                )
            left += thick + 0.003 + 0.3 * lean * high
        c.fill(
            place(rectangle(-half, floor, half, floor + 0.025), x, y, r), shaded(wood, "wood", 0.07)
        )


def _book(c: Canvas, spine: Points, x: float, y: float, r: float, palette: Palette) -> None:
    cover = jitter(c.rng, palette.colours[c.rng.integers(0, 6)], 22)
    shape = place(spine, x, y, r)
    c.fill(
        shape,
        Paint(mix(cover, (255, 250, 240), 0.15), mix(cover, (16, 8, 16), 0.3), "weave", 0.04, 0),
    )
    for share in (0.15, 0.22, 0.8):
        a, b = shape[0] + (shape[3] - shape[0]) * share, shape[1] + (shape[2] - shape[1]) * share
        c.line([a, b], mix(cover, (250, 220, 150), 0.6), 0.006 * r)


def lamp(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    """A standard lamp that is lit."""
    rng = c.rng
    shade, top = jitter(rng, mix(palette.pick(rng), (255, 226, 160), 0.4)), rng.uniform(-1.1, -0.8)
    c.shadow(place(ellipse(0, 0, 0.2, 0.03), x, y, r), 0, 0, 0.02 * r, 0.5)
    c.fill(place(ellipse(0, -0.02, 0.16, 0.03), x, y, r), shaded((60, 52, 54)))
    c.fill(place(ribbon([[0, -0.02], [0, top]], 0.025), x, y, r), shaded((90, 76, 64)))
    c.glow(x, y + (top + 0.1) * r, 0.75 * r, (255, 228, 160), 0.55)
    narrow = rng.uniform(0.08, 0.2)
    c.fill(
        place(
            np.array(
                [
                    [-narrow, top - 0.12],
                    [narrow, top - 0.12],
                    [0.25, top + 0.18],
                    [-0.25, top + 0.18],
                ]
            ),
            x,
            y,
            r,
        ),
        Paint(mix(shade, (255, 244, 200), 0.6), shade, "weave", 0.06),
    )


def exhibit(piece: Piece) -> Callable[[np.random.Generator, tuple[int, int]], Image.Image]:
    """A drawing that shows one to three pieces of a kind in a bare room."""

    def drawing(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        palette = choose_palette(rng)
        c = Canvas(rng, size, palette.light)
        room(c, palette, rng.uniform(0.6, 0.75))
        count = int(rng.choice([1, 1, 1, 2, 3]))
        for k in range(count):
            x = (k + rng.uniform(0.42, 0.58)) / count * c.wide
            piece(
                c,
                x,
                rng.uniform(0.82, 0.93),
                rng.uniform(0.55, 0.72) * c.unit / (1, 1.6, 2.4)[count - 1],
                palette,
            )
        return c.finish()

    drawing.__name__ = drawing.__qualname__ = f"{piece.__name__}s"
    drawing.__doc__ = (
        f"One to three pieces of furniture of a kind in a bare room: {piece.__name__}."
    )
    return drawing
