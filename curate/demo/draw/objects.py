"""Indoor objects: vases, plants, clocks, books, bottles and instruments on a table or shelf."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.nature import leaf
from curate.demo.draw.shapes import Points, ellipse, place, rectangle, ribbon, rounded, smooth

__all__ = ["book_piles", "clocks", "guitars", "plant", "plants", "still_life"]

_WOOD: Colour = (150, 104, 66)
Piece = Callable[[Canvas, float, float, float, Palette], None]


def still_life(piece: Piece, c: Canvas, palette: Palette, most: int, scale: float) -> Image.Image:
    """A table against a wall, with several objects of a kind from back to front."""
    rng, level = c.rng, c.rng.uniform(0.62, 0.78)
    wood = jitter(rng, mix(_WOOD, palette.pick(rng), 0.4 * rng.random()), 18)
    wall = jitter(rng, mix(palette.pick(rng), palette.light, 0.5 * rng.random()))
    c.fill(
        rectangle(0, 0, c.wide, level),
        Paint(
            mix(wall, (255, 250, 240), 0.2),
            mix(wall, palette.dark, 0.35),
            "paper" if rng.random() < 0.5 else "stone",
            0.05,
            0.6,
        ),
    )
    c.fill(
        rectangle(0, level, c.wide, 1),
        Paint(
            mix(wood, palette.light, 0.2),
            mix(wood, (20, 10, 10), 0.3),
            ("wood", "weave", "wood")[rng.integers(3)],
            0.09,
        ),
    )
    count = int(rng.integers(1, most + 1))
    places = (rng.permutation(count) + rng.uniform(0.35, 0.65, count)) / count * c.wide
    for x, y in zip(places, np.sort(rng.uniform(level + 0.06, 0.94, count)), strict=True):
        piece(
            c,
            float(x),
            float(y),
            scale * c.unit * (1, 1, 0.85, 0.72, 0.6)[count - 1] * rng.uniform(0.85, 1.1),
            palette,
        )
    return c.finish()


def plant(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    """A plant in a pot whose foot stands at (x, y)."""
    rng = c.rng
    pot, green = (
        jitter(rng, mix(palette.pick(rng), (186, 104, 70), 0.5)),
        jitter(rng, (84, 122, 66), 20),
    )
    long, thin, count = rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.5), int(rng.integers(14, 46))
    c.shadow(place(ellipse(0.06, 0, 0.3, 0.05), x, y, r), 0, 0, 0.03 * r, 0.5)
    for k, angle in enumerate(rng.uniform(-np.pi * 0.98, -np.pi * 0.02, count)):
        stem = np.array([0.25 * np.cos(angle), -0.4 + 0.35 * np.sin(angle)])
        c.line(
            place(smooth([[0, -0.36], stem * 0.6 + (0, -0.15), stem], closed=False), x, y, r),
            mix(green, (20, 30, 10), 0.4),
            0.015 * r,
        )
        blade = place(
            leaf(long * rng.uniform(0.5, 1), thin * long), *stem, turn=angle + rng.normal(0, 0.3)
        )
        c.fill(
            place(blade, x, y, r),
            shaded(
                jitter(
                    rng,
                    mix(mix(green, (10, 30, 20), 0.5), mix(green, (226, 230, 140), 0.3), k / count),
                    8,
                ),
                "fur",
                0.08,
            ),
        )
    c.fill(
        place(np.array([[-0.22, -0.38], [0.22, -0.38], [0.16, 0], [-0.16, 0]]), x, y, r),
        Paint(mix(pot, (255, 240, 220), 0.3), mix(pot, (30, 14, 20), 0.45), "stone", 0.06, 0),
    )
    c.fill(
        place(rectangle(-0.25, -0.42, 0.25, -0.34), x, y, r),
        Paint(mix(pot, (255, 240, 220), 0.4), mix(pot, (30, 14, 20), 0.35), "stone", 0.06, 0),
    )


def plants(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Pot plants on a table."""
    palette = choose_palette(rng)
    return still_life(plant, Canvas(rng, size, palette.light), palette, 3, 0.5)


def clocks(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Clocks that stand on a table."""
    palette = choose_palette(rng)

    def clock(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        case, roman = jitter(rng, mix(palette.pick(rng), _WOOD, 0.4)), rng.random() < 0.5
        numbers = (
            ["XII", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"]
            if roman
            else ["12", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]
        )
        c.shadow(place(ellipse(0.1, 0, 0.55, 0.06), x, y, r), 0, 0, 0.03 * r, 0.5)
        frame = (
            rounded(-0.56, -1.12, 0.56, 0, 0.1) if rng.random() < 0.4 else ellipse(0, -0.56, 0.56)
        )
        for side in (-1, 1):
            c.fill(
                place(ribbon([[0.3 * side, -0.15], [0.38 * side, 0]], 0.08), x, y, r),
                mix(case, (20, 10, 10), 0.5),
            )
        c.fill(place(frame, x, y, r), shaded(case, "wood", 0.08, 0.4))
        c.fill(
            place(ellipse(0, -0.56, 0.47), x, y, r),
            Paint(palette.light, mix(palette.light, palette.colours[3], 0.3), "paper", 0.04),
        )
        for k in range(60):
            angle = k * np.pi / 30
            dial = np.array([np.sin(angle), -np.cos(angle)])
            c.line(
                place(
                    [dial * 0.45 + (0, -0.56), dial * (0.43 if k % 5 else 0.4) + (0, -0.56)],
                    x,
                    y,
                    r,
                ),
                palette.dark,
                0.008 * r if k % 5 else 0.018 * r,
            )
            if k % 5 == 0:
                c.text(
                    x + 0.33 * dial[0] * r,
                    y + (0.33 * dial[1] - 0.56) * r,
                    numbers[k // 5],
                    0.1 * r,
                    palette.dark,
                    "serifbold",
                )
        for reach, width, angle in (
            (0.22, 0.035, rng.uniform(0, 6.3)),
            (0.36, 0.022, rng.uniform(0, 6.3)),
            (0.38, 0.008, rng.uniform(0, 6.3)),
        ):
            c.line(
                place(
                    [[0, -0.56], [reach * np.sin(angle), -0.56 - reach * np.cos(angle)]], x, y, r
                ),
                palette.dark if width > 0.01 else (190, 50, 40),
                width * r,
            )
        c.fill(place(ellipse(0, -0.56, 0.025), x, y, r), palette.dark)

    return still_life(clock, Canvas(rng, size, palette.light), palette, 2, 0.55)


def book_piles(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Piles of books seen from their backs."""
    palette = choose_palette(rng)

    def pile(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        c.shadow(place(ellipse(0, 0, 0.6, 0.05), x, y, r), 0, 0, 0.03 * r, 0.5)
        level = 0.0
        for _ in range(int(rng.integers(2, 8))):
            thick, half, off = rng.uniform(0.08, 0.17), rng.uniform(0.36, 0.55), rng.normal(0, 0.04)
            cover = jitter(rng, palette.colours[rng.integers(6)], 18)
            ink = mix(cover, palette.light if sum(cover) < 380 else palette.dark, 0.8)
            c.fill(
                place(rounded(off - half, -level - thick, off + half, -level, 0.02), x, y, r),
                Paint(
                    mix(cover, (255, 250, 240), 0.2), mix(cover, (14, 8, 14), 0.35), "weave", 0.06
                ),
            )
            title = " ".join(
                ("Atlas", "Ferns", "On Light", "Tales", "Grammar", "The Sea", "Optics", "Rivers")[k]
                for k in rng.integers(0, 8, 2)
            )
            c.text(
                x + off * r,
                y - (level + thick / 2) * r,
                title,
                0.5 * thick * r,
                ink,
                ("serif", "bold", "book")[rng.integers(3)],
            )
            for side in (-0.9, -0.84, 0.84, 0.9):
                c.line(
                    place(
                        [[off + side * half, -level - thick], [off + side * half, -level]], x, y, r
                    ),
                    ink,
                    0.01 * r,
                )
            level += thick

    return still_life(pile, Canvas(rng, size, palette.light), palette, 3, 0.55)


def guitars(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Guitars and fiddles that lean on a wall."""
    palette = choose_palette(rng)

    def guitar(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        wood, turn = jitter(rng, mix(palette.pick(rng), (200, 130, 70), 0.6)), rng.normal(0, 0.15)

        def put(shape: Points, paint: Colour | Paint) -> None:
            c.fill(place(shape, x, y - 0.35 * r, r, turn=turn), paint)

        waist = rng.uniform(0.16, 0.22)
        side = [
            [0, 0.34],
            [0.24, 0.27],
            [0.3, 0.08],
            [waist, -0.1],
            [0.22, -0.28],
            [0.12, -0.38],
            [0, -0.4],
        ]
        body = smooth([*side, *[[-u, v] for u, v in side[-2:0:-1]]])
        c.shadow(place(body, x, y - 0.35 * r, r, turn=turn), 0.03 * r, 0.03 * r, 0.03 * r, 0.45)
        put(body, mix(wood, (30, 14, 10), 0.6))
        put(body * 0.95, shaded(wood, "wood", 0.09, 0.4))
        put(ellipse(0, -0.12, 0.1), mix(wood, (255, 230, 180), 0.4))
        put(ellipse(0, -0.12, 0.085), (24, 16, 16))
        put(rectangle(-0.035, -1.05, 0.035, -0.12), shaded((74, 46, 34), "wood", 0.08))
        put(rectangle(-0.055, -1.25, 0.055, -1.04), shaded(mix(wood, (30, 14, 10), 0.4), "wood"))
        put(rectangle(-0.1, 0.12, 0.1, 0.16), (60, 36, 28))
        for fret in -0.4 - 0.65 * (1 - 0.93 ** np.arange(0, 22)) / (1 - 0.93**22):
            put(rectangle(-0.035, fret, 0.035, fret + 0.006), (206, 196, 170))
        for string in np.linspace(-0.026, 0.026, 6):
            c.line(
                place([[string, -1.05], [string * 1.6, 0.14]], x, y - 0.35 * r, r, turn=turn),
                (232, 226, 210),
                0.004 * r,
            )
        for peg in (-1.22, -1.16, -1.1):
            for flip in (-1, 1):
                put(ellipse(0.075 * flip, peg, 0.022, 0.014), (226, 220, 200))

    return still_life(guitar, Canvas(rng, size, palette.light), palette, 2, 0.62)
