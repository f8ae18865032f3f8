"""Indoor scenes: living rooms, libraries, tiled bathrooms and kitchens, corridors."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import choose_palette, jitter, mix
from curate.demo.draw.furniture import WOODS, bed, bookcase, chair, chest, lamp, room, sofa, table
from curate.demo.draw.objects import plant
from curate.demo.draw.shapes import blob, ellipse, place, rectangle, ridge, rounded, xy

__all__ = ["corridors", "kitchens", "libraries", "living_rooms"]


def living_rooms(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A room with a window, pictures, a carpet and furniture."""
    palette, level = choose_palette(rng), rng.uniform(0.6, 0.7)
    c = Canvas(rng, size, palette.light)
    room(c, palette, level)
    x = c.wide * rng.uniform(0.08, 0.5)
    wide, tall = rng.uniform(0.22, 0.34) * c.unit, rng.uniform(0.25, 0.36)
    _window(c, x, 0.1, wide, tall)
    for _ in range(rng.integers(1, 4)):
        px, py, w, h = (
            rng.uniform(0.05, 0.9) * c.wide,
            rng.uniform(0.08, 0.25),
            rng.uniform(0.08, 0.18),
            rng.uniform(0.08, 0.18),
        )
        if x - w < px < x + wide:
            continue
        frame = rectangle(px, py, px + w, py + h)
        c.shadow(frame, 0.005, 0.01, 0.008)
        c.outlined(
            frame,
            Paint(palette.pick(rng), palette.pick(rng), "cloud", 0.06),
            WOODS[rng.integers(5)],
            0.012,
        )
        c.fill(blob(rng, px + w / 2, py + 0.55 * h, 0.25 * w, rough=0.4), palette.pick(rng))
    rug = place(ellipse(0, 0, 0.55 * c.wide * rng.uniform(0.6, 1), 0.11), c.wide / 2, 0.9)
    for share in (1, 0.85, 0.7, 0.4):
        c.fill(
            (rug - rug.mean(axis=0)) * share + rug.mean(axis=0),
            shaded(jitter(rng, palette.pick(rng)), "knit", 0.1),
        )
    scale = c.unit * rng.uniform(0.42, 0.52)
    (sofa, bed, sofa)[rng.integers(3)](
        c, c.wide * rng.uniform(0.35, 0.6), 0.86, scale * 0.95, palette
    )
    for piece in (lamp, chest, chair, bookcase, table, plant):
        if rng.random() < 0.45:
            piece(
                c,
                c.wide * rng.choice([0.08, 0.14, 0.86, 0.93]),
                rng.uniform(level + 0.08, 0.95),
                scale * rng.uniform(0.75, 1),
                palette,
            )
    return c.finish()


def _window(c: Canvas, x: float, y: float, wide: float, tall: float) -> None:
    rng = c.rng
    frame, pane = (246, 242, 234), rectangle(x, y, x + wide, y + tall)
    day = rng.random() < 0.7
    c.fill(
        pane,
        Paint((140, 190, 226), (226, 236, 236), "cloud", 0.03)
        if day
        else Paint((24, 28, 60), (70, 64, 110), "cloud", 0.02),
    )
    hills = ridge(rng, wide, 0.7 * tall, 0.06 * tall) + (x, y)
    hills = hills[(hills[:, 0] >= x) & (hills[:, 0] <= x + wide)]
    land = np.concatenate([hills, [[x + wide, y + tall], [x, y + tall]]])
    c.fill(land, shaded((100, 136, 84) if day else (30, 36, 50), "fur", 0.08))
    c.line(np.concatenate([pane, pane[:2]]), frame, 0.02)
    c.line([[x + wide / 2, y], [x + wide / 2, y + tall]], frame, 0.012)
    c.line([[x, y + tall / 2], [x + wide, y + tall / 2]], frame, 0.012)
    cloth = jitter(rng, (196, 120, 110) if rng.random() < 0.5 else (120, 140, 150), 30)
    for left in (x - 0.07, x + wide - 0.02):
        for fold in np.linspace(0, 0.07, 5):
            c.fill(
                rectangle(left + fold, y - 0.03, left + fold + 0.018, y + tall + 0.05),
                Paint(
                    mix(cloth, (255, 250, 240), 0.25),
                    mix(cloth, (20, 10, 30), 0.35),
                    "weave",
                    0.05,
                    0,
                ),
            )
    c.line([[x - 0.1, y - 0.03], [x + wide + 0.1, y - 0.03]], (90, 66, 50), 0.01)


def libraries(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Shelves of books from wall to wall, perhaps with a chair before them."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, palette.light)
    room(c, palette, 0.8)
    scale, x = rng.uniform(0.72, 0.95), 0.0
    while x < c.wide + 0.3:
        bookcase(c, x, 0.86, scale, palette)
        x += 0.84 * scale
    for piece in (chair, lamp, table):
        if rng.random() < 0.5:
            piece(c, rng.uniform(0.2, 0.8) * c.wide, 0.96, 0.42 * c.unit, palette)
    return c.finish()


def kitchens(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A tiled wall, a worktop with cupboards, jars and pans."""
    palette, level = choose_palette(rng), rng.uniform(0.52, 0.62)
    c = Canvas(rng, size, palette.light)
    tile, grout = (
        jitter(rng, mix(palette.pick(rng), (250, 250, 244), 0.5)),
        mix(palette.light, (120, 120, 120), 0.3),
    )
    c.fill(rectangle(0, 0, c.wide, level), grout)
    step, second = rng.uniform(0.04, 0.08), jitter(rng, palette.pick(rng))
    for row, y in enumerate(np.arange(0, level, step)):
        for column, x in enumerate(np.arange(0, c.wide, step)):
            colour = second if (row + column) % 4 == 0 and rng.random() < 0.6 else tile
            c.fill(
                rectangle(x + 0.003, y + 0.003, x + step, y + step),
                shaded(jitter(rng, colour, 6), "paper", 0.03),
            )
    shelf, wood = rng.uniform(0.2, 0.3), jitter(rng, WOODS[rng.integers(5)])
    c.shadow(rectangle(0, shelf, c.wide, shelf + 0.03), 0, 0.02, 0.015)
    c.fill(rectangle(0, shelf, c.wide, shelf + 0.03), shaded(wood, "wood", 0.08))
    for base, chance in ((shelf, 0.8), (level, 0.5)):
        for x in np.arange(0.06, c.wide, 0.12):
            if rng.random() < chance:
                half, tall = rng.uniform(0.025, 0.045), rng.uniform(0.06, 0.13)
                jar = rounded(x - half, base - tall, x + half, base, 0.02)
                c.shadow(jar, 0.01, 0.005, 0.01)
                c.fill(
                    jar,
                    Paint(
                        mix(palette.pick(rng), (255, 255, 255), 0.3),
                        mix(palette.pick(rng), palette.dark, 0.3),
                        "paper",
                        0.05,
                        0,
                    ),
                )
                c.fill(
                    rectangle(x - half, base - tall - 0.008, x + half, base - tall + 0.012),
                    shaded(palette.dark),
                )
    for x in np.arange(rng.uniform(0.1, 0.3), c.wide, 0.25):
        c.line([[x, shelf + 0.03], [x, shelf + 0.1]], (60, 56, 60), 0.006)
        c.fill(ellipse(x, shelf + 0.15, 0.055), shaded((70, 66, 72), "brush", 0.08, 0.5))
        c.fill(ellipse(x, shelf + 0.15, 0.042), shaded((110, 106, 110), "brush", 0.06, 0.5))
    c.fill(rectangle(0, level, c.wide, level + 0.04), shaded((206, 200, 192), "stone", 0.1))
    front, wide = jitter(rng, palette.pick(rng)), rng.uniform(0.2, 0.34)
    c.fill(rectangle(0, level + 0.04, c.wide, 0.93), shaded(front, "wood", 0.04))
    for x in np.arange(rng.uniform(-0.2, 0), c.wide, wide):
        door = rectangle(x + 0.012, level + 0.06, x + wide - 0.012, 0.91)
        c.outlined(
            door,
            shaded(mix(front, (255, 250, 240), 0.15), "wood", 0.05),
            mix(front, palette.dark, 0.5),
            0.005,
        )
        c.outlined(
            (door - door.mean(0)) * (0.7, 0.8) + door.mean(0),
            shaded(front, "wood", 0.05),
            mix(front, palette.dark, 0.35),
            0.004,
        )
        c.fill(ellipse(x + wide - 0.035, (level + 0.98) / 2 - 0.05, 0.009), (220, 206, 170))
    c.fill(rectangle(0, 0.93, c.wide, 1), mix(palette.dark, (40, 30, 30), 0.5))
    return c.finish()


def corridors(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A corridor or hall in one-point perspective, with doors and a chequered floor."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, palette.light)
    vanish = np.array([c.wide * rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.5)])
    wall, far = jitter(rng, mix(palette.pick(rng), palette.light, 0.4)), rng.uniform(0.14, 0.25)

    def at(x: float, y: float, depth: float) -> np.ndarray:
        """A point of the near frame (x and y from 0 to 1), moved back; depth 0 is the frame and 1 the end wall."""
        scale = 1 / (1 + depth * (1 / far - 1))
        return vanish + (np.array([x * c.wide, y]) - vanish) * scale

    def quad(*corners: tuple[float, float, float]) -> list[np.ndarray]:
        return [at(*corner) for corner in corners]

    c.fill(
        quad((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)),
        Paint(mix(wall, (255, 255, 250), 0.5), mix(wall, (255, 255, 250), 0.2)),
    )
    c.fill(
        quad((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0)),
        Paint(wall, mix(wall, palette.dark, 0.35), "paper", 0.04, 0),
    )
    c.fill(
        quad((1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)),
        Paint(mix(wall, palette.dark, 0.45), mix(wall, palette.dark, 0.15), "paper", 0.04, 0),
    )
    c.fill(quad((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)), mix(wall, (255, 244, 210), 0.5))
    dark, light, tiles, rows = (
        jitter(rng, palette.colours[1]),
        jitter(rng, palette.colours[5]),
        int(rng.integers(4, 10)),
        int(rng.integers(8, 18)),
    )
    for row in range(rows):
        for tile in range(tiles):
            corners = ((tile, row), (tile + 1, row), (tile + 1, row + 1), (tile, row + 1))
            floor = quad(*((u / tiles, 1.0, v / rows) for u, v in corners))
            c.fill(
                floor, Paint(dark if (row + tile) % 2 else light, texture="stone", contrast=0.05)
            )
    doors, colour = int(rng.integers(2, 6)), jitter(rng, palette.pick(rng))
    for k in range(doors):
        for side in (0, 1):
            near, back = (k + 0.25) / doors, (k + 0.7) / doors
            door = np.array(
                quad((side, 0.3, near), (side, 0.3, back), (side, 1, back), (side, 1, near))
            )
            c.outlined(
                door,
                Paint(mix(colour, palette.dark, 0.25 * side), texture="wood", contrast=0.08),
                mix(palette.light, wall, 0.3),
                0.008,
            )
        lamp_ = quad(
            (0.42, 0, (k + 0.4) / doors),
            (0.58, 0, (k + 0.4) / doors),
            (0.58, 0, (k + 0.6) / doors),
            (0.42, 0, (k + 0.6) / doors),
        )
        c.fill(lamp_, (255, 250, 226))
    middle = at(0.5, 0.5, 1)
    c.glow(*xy(middle), 0.25, (255, 244, 210), 0.5)
    c.outlined(
        np.array(quad((0.35, 0.25, 1), (0.65, 0.25, 1), (0.65, 1, 1), (0.35, 1, 1))),
        Paint((200, 226, 240), (236, 236, 220), "cloud"),
        palette.dark,
        0.006,
    )
    return c.finish()
