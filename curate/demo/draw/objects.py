"""Indoor objects: vases, plants, clocks, books, bottles and instruments on a table or shelf."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.nature import leaf
from curate.demo.draw.shapes import Points, ellipse, place, rectangle, ribbon, rounded, smooth

__all__ = ["book_piles", "bottles", "clocks", "guitars", "mugs", "plant", "plants", "vases"]

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


def _still_life(piece: Piece, c: Canvas, palette: Palette, most: int, scale: float) -> Image.Image:
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
            c, float(x), float(y), scale * c.unit * (1, 1, 0.85, 0.72, 0.6)[count - 1] * rng.uniform(0.85, 1.1), palette
        )
    return c.finish()


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
                    place(ellipse(*knot + rng.normal(0, 0.04, 2), 0.035, 0.02, turn=rng.uniform(0, 3)), x, y, r),
                    jitter(rng, mix(palette.light, palette.colours[3], rng.random()), 10),
                )
        c.shadow(place(ellipse(0.12, 0, 0.4, 0.06), x, y, r), 0, 0, 0.03 * r, 0.5)
        c.fill(
            place(outline, x, y, r),
            Paint(mix(glaze, (255, 255, 250), 0.45), mix(glaze, palette.dark, 0.6), "paper", 0.03, 0),
        )
        side = outline[: len(outline) // 2]
        for low in rng.choice(np.arange(4, len(side) - 4), rng.integers(1, 6), replace=False):
            part = side[low : low + rng.integers(2, 6)]
            band = np.concatenate([part, (part * (-1, 1))[::-1]])
            colour = jitter(rng, palette.colours[rng.integers(6)])
            c.fill(
                place(band, x, y, r),
                Paint(mix(colour, (255, 255, 250), 0.3), mix(colour, palette.dark, 0.5), "knit", 0.06, 0),
            )
        c.fill(place(ellipse(0, -1, abs(side[-1, 0]), 0.035), x, y, r), mix(glaze, (16, 10, 20), 0.65))
        c.fill(
            place(smooth([[-0.22, -0.6], [-0.17, -0.3], [-0.2, -0.3], [-0.25, -0.5]]), x, y, r),
            mix(glaze, (255, 255, 255), 0.75),
        )

    return _still_life(vase, Canvas(rng, size, palette.light), palette, 4, 0.46)


def plant(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
    """A plant in a pot whose foot stands at (x, y)."""
    rng = c.rng
    pot, green = jitter(rng, mix(palette.pick(rng), (186, 104, 70), 0.5)), jitter(rng, (84, 122, 66), 20)
    long, thin, count = rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.5), int(rng.integers(14, 46))
    c.shadow(place(ellipse(0.06, 0, 0.3, 0.05), x, y, r), 0, 0, 0.03 * r, 0.5)
    for k, angle in enumerate(rng.uniform(-np.pi * 0.98, -np.pi * 0.02, count)):
        stem = np.array([0.25 * np.cos(angle), -0.4 + 0.35 * np.sin(angle)])
        c.line(
            place(smooth([[0, -0.36], stem * 0.6 + (0, -0.15), stem], closed=False), x, y, r),
            mix(green, (20, 30, 10), 0.4),
            0.015 * r,
        )
        blade = place(leaf(long * rng.uniform(0.5, 1), thin * long), *stem, turn=angle + rng.normal(0, 0.3))
        c.fill(
            place(blade, x, y, r),
            shaded(
                jitter(rng, mix(mix(green, (10, 30, 20), 0.5), mix(green, (226, 230, 140), 0.3), k / count), 8),
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
    return _still_life(plant, Canvas(rng, size, palette.light), palette, 3, 0.5)


def mugs(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Mugs, jugs and teapots."""
    palette = choose_palette(rng)

    def mug(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        glaze, flip, pot = (
            jitter(rng, palette.colours[rng.integers(1, 6)]),
            bool(rng.random() < 0.5),
            rng.random() < 0.4,
        )
        body = _turned_on_wheel(rng, 0.55) if pot else np.array([[-0.32, -0.8], [0.32, -0.8], [0.28, 0], [-0.28, 0]])

        def put(shape: Points, paint: Colour | Paint) -> None:
            c.fill(place(shape, x, y, r, flip=flip), paint)

        c.shadow(place(ellipse(0.1, 0, 0.45, 0.06), x, y, r), 0, 0, 0.03 * r, 0.5)
        handle = smooth([[0.24, -0.65], [0.55, -0.66], [0.56, -0.28], [0.24, -0.2]], closed=False)
        put(ribbon(handle, [0.08, 0.1, 0.08]), shaded(mix(glaze, palette.dark, 0.2)))
        if pot:
            put(
                ribbon(smooth([[-0.2, -0.3], [-0.45, -0.45], [-0.6, -0.85]], closed=False), [0.2, 0.12, 0.08]),
                shaded(glaze),
            )
            put(ellipse(0, -1.06, 0.06), shaded(mix(glaze, palette.dark, 0.3)))
        put(body, Paint(mix(glaze, (255, 255, 250), 0.4), mix(glaze, palette.dark, 0.5), "paper", 0.03, 0))
        ink = jitter(rng, palette.colours[rng.integers(6)])
        for row in np.linspace(-0.6, -0.2, rng.integers(1, 5)):
            for u in np.linspace(-0.2, 0.2, rng.integers(3, 8)):
                put(ellipse(u, row, 0.025, 0.03), ink)
        if not pot:
            put(ellipse(0, -0.8, 0.32, 0.06), mix(glaze, (255, 255, 250), 0.5))
            put(ellipse(0, -0.79, 0.28, 0.045), (70, 42, 30))
            for k in (-0.1, 0.08):
                steam = smooth([[k, -0.9], [k + 0.06, -1.05], [k - 0.04, -1.2], [k + 0.03, -1.35]], closed=False)
                put(ribbon(steam, [0.005, 0.03, 0.003]), mix(palette.light, (255, 255, 255), 0.4))

    return _still_life(mug, Canvas(rng, size, palette.light), palette, 5, 0.42)


def bottles(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Bottles and jars of coloured glass with labels."""
    palette = choose_palette(rng)

    def bottle(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        glass, half, shoulder = jitter(rng, palette.pick(rng), 20), rng.uniform(0.13, 0.24), rng.uniform(-0.75, -0.5)
        side = smooth(
            [[half, 0], [half, -0.1], [half, shoulder], [0.06, shoulder - 0.16], [0.055, -1.05]], closed=False
        )
        outline = np.concatenate([side, (side * (-1, 1))[::-1]])
        c.shadow(place(ellipse(0.1, 0, 1.6 * half, 0.05), x, y, r), 0, 0, 0.03 * r, 0.5)
        c.fill(
            place(outline, x, y, r),
            Paint(mix(glass, (255, 255, 255), 0.35), mix(glass, palette.dark, 0.65), "paper", 0.02, 0),
        )
        c.fill(
            place(rounded(-half * 0.75, shoulder, -half * 0.55, -0.08, 0.03), x, y, r), mix(glass, (255, 255, 255), 0.7)
        )
        c.fill(place(rectangle(-0.065, -1.12, 0.065, -1.02), x, y, r), shaded((176, 130, 88), "stone", 0.12))
        top, words = shoulder * 0.8, ("OLIO", "No 7", "TEA", "GIN", "MEL", "SALT", "RUM", "OAT")[rng.integers(8)]
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

    return _still_life(bottle, Canvas(rng, size, palette.light), palette, 5, 0.5)


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
        frame = rounded(-0.56, -1.12, 0.56, 0, 0.1) if rng.random() < 0.4 else ellipse(0, -0.56, 0.56)
        for side in (-1, 1):
            c.fill(place(ribbon([[0.3 * side, -0.15], [0.38 * side, 0]], 0.08), x, y, r), mix(case, (20, 10, 10), 0.5))
        c.fill(place(frame, x, y, r), shaded(case, "wood", 0.08, 0.4))
        c.fill(
            place(ellipse(0, -0.56, 0.47), x, y, r),
            Paint(palette.light, mix(palette.light, palette.colours[3], 0.3), "paper", 0.04),
        )
        for k in range(60):
            angle = k * np.pi / 30
            dial = np.array([np.sin(angle), -np.cos(angle)])
            c.line(
                place([dial * 0.45 + (0, -0.56), dial * (0.43 if k % 5 else 0.4) + (0, -0.56)], x, y, r),
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
                place([[0, -0.56], [reach * np.sin(angle), -0.56 - reach * np.cos(angle)]], x, y, r),
                palette.dark if width > 0.01 else (190, 50, 40),
                width * r,
            )
        c.fill(place(ellipse(0, -0.56, 0.025), x, y, r), palette.dark)

    return _still_life(clock, Canvas(rng, size, palette.light), palette, 2, 0.55)


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
                Paint(mix(cover, (255, 250, 240), 0.2), mix(cover, (14, 8, 14), 0.35), "weave", 0.06),
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
                    place([[off + side * half, -level - thick], [off + side * half, -level]], x, y, r), ink, 0.01 * r
                )
            level += thick

    return _still_life(pile, Canvas(rng, size, palette.light), palette, 3, 0.55)


def guitars(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Guitars and fiddles that lean on a wall."""
    palette = choose_palette(rng)

    def guitar(c: Canvas, x: float, y: float, r: float, palette: Palette) -> None:
        wood, turn = jitter(rng, mix(palette.pick(rng), (200, 130, 70), 0.6)), rng.normal(0, 0.15)

        def put(shape: Points, paint: Colour | Paint) -> None:
            c.fill(place(shape, x, y - 0.35 * r, r, turn=turn), paint)

        waist = rng.uniform(0.16, 0.22)
        side = [[0, 0.34], [0.24, 0.27], [0.3, 0.08], [waist, -0.1], [0.22, -0.28], [0.12, -0.38], [0, -0.4]]
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

    return _still_life(guitar, Canvas(rng, size, palette.light), palette, 2, 0.62)
