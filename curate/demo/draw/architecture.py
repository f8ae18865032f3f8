"""Architecture: skylines, streets of houses, façades of brick, temples and bridges."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, choose_palette, jitter, mix
from curate.demo.draw.nature import close, grass, sky, tree
from curate.demo.draw.shapes import Points, ellipse, place, rectangle, ribbon, ridge, smooth

__all__ = ["bricks", "bridges", "facades", "houses", "skylines", "temples"]

_LAMP = (255, 222, 146)


def skylines(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Towers behind towers, with lit windows at dusk."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, palette.light)
    high, low = sky(c)
    lit = 0.75 if sum(high) < 320 else 0.12
    for near in (0.25, 0.55, 1.0):
        x = rng.uniform(-0.1, 0)
        while x < c.wide:
            width, top = rng.uniform(0.07, 0.2), rng.uniform(0.12, 0.6) + 0.12 * near
            front = mix(
                low, jitter(rng, mix(palette.pick(rng), palette.dark, 0.3)), 0.25 + 0.7 * near
            )
            _tower(c, x, top, width, front, lit * (near > 0.3))
            x += width * rng.uniform(0.85, 1.3)
    return c.finish()


def _tower(c: Canvas, x: float, top: float, width: float, front: Colour, lit: float) -> None:
    rng, kind = c.rng, c.rng.integers(4)
    c.fill(
        rectangle(x, top, x + width, 1.01),
        Paint(front, mix(front, (20, 16, 30), 0.35), "stone", 0.04, 0),
    )
    if kind == 0:
        c.fill(rectangle(x + 0.25 * width, top - 0.04, x + 0.75 * width, top), front)
        c.line([[x + width / 2, top], [x + width / 2, top - 0.14]], front, 0.004)
    elif kind == 1:
        c.fill(
            [[x, top], [x + width / 2, top - 0.6 * width], [x + width, top]],
            mix(front, (20, 16, 30), 0.2),
        )
    step = rng.uniform(0.02, 0.04)
    pane = (0.6 * step, 0.55 * step) if kind < 3 else (width, 0.4 * step)
    dark = mix(front, (24, 26, 50), 0.5)
    for wy in np.arange(top + 0.6 * step, 1, step):
        for wx in np.arange(x + 0.4 * step, x + width - 0.7 * step, step if kind < 3 else 2):
            right = min(wx + pane[0], x + width - 0.3 * step)
            c.fill(
                rectangle(wx, wy, right, wy + pane[1]),
                jitter(rng, _LAMP, 16) if rng.random() < lit else dark,
            )


def houses(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A row of gabled houses, or one in a garden."""
    palette, level = choose_palette(rng), rng.uniform(0.76, 0.86)
    c = Canvas(rng, size, palette.light)
    sky(c, level)
    green, alone = jitter(rng, (104, 128, 74)), rng.random() < 0.35
    if alone:
        c.fill(close(c, ridge(rng, c.wide, level - 0.1, 0.03)), shaded(green, "fur", 0.08))
        for x in rng.uniform(0, c.wide, rng.integers(2, 6)):
            tree(c, x, level, rng.uniform(0.4, 0.7), jitter(rng, green), int(rng.integers(2)))
        grass(c, level, green, 250)
        _house(
            c,
            c.wide * rng.uniform(0.15, 0.3),
            level + 0.04,
            0.55 * c.wide,
            0.34,
            palette.pick(rng),
            palette.dark,
        )
        return c.finish()
    x = rng.uniform(-0.1, 0)
    while x < c.wide:
        width = rng.uniform(0.2, 0.32)
        _house(
            c,
            x,
            level,
            width,
            rng.uniform(0.32, 0.5),
            palette.colours[rng.integers(1, 6)],
            palette.colours[rng.integers(0, 2)],
        )
        x += width + (rng.random() < 0.2) * 0.05
    stone = jitter(rng, (168, 160, 150))
    c.fill(
        rectangle(0, level, c.wide, 1), Paint(stone, mix(stone, (30, 26, 40), 0.4), "stone", 0.09)
    )
    for y in level + (1 - level) * np.linspace(0.05, 1, 7) ** 1.5:
        for x in np.arange(rng.uniform(-0.05, 0), c.wide, 0.09 * (0.5 + y - level)):
            c.line([[x, y - 0.012], [x - 0.004, y]], mix(stone, (30, 26, 40), 0.5), 0.002)
        c.line([[0, y], [c.wide, y]], mix(stone, (30, 26, 40), 0.4), 0.002)
    return c.finish()


def _house(
    c: Canvas, x: float, y: float, width: float, tall: float, colour: Colour, roof: Colour
) -> None:
    rng, wall = c.rng, jitter(c.rng, mix(colour, (240, 230, 214), 0.25), 12)
    texture = ("stone", "stone", "brush", "weave")[rng.integers(4)]
    c.fill(rectangle(x, y - tall, x + width, y), shaded(wall, texture, 0.08))
    tile, peak = (
        jitter(rng, mix(roof, (150, 70, 52), 0.5)),
        rng.uniform(0.35, 0.7) * min(width, 0.36),
    )
    gable: Points = np.array(
        [[x - 0.015, y - tall], [x + width / 2, y - tall - peak], [x + width + 0.015, y - tall]]
    )
    if rng.random() < 0.5:
        gable = np.array(
            [
                [x - 0.02, y - tall],
                [x + 0.1 * width, y - tall - 0.7 * peak],
                [x + 0.9 * width, y - tall - 0.7 * peak],
                [x + width + 0.02, y - tall],
            ]
        )
    c.fill(
        rectangle(x + 0.68 * width, y - tall - 0.8 * peak, x + 0.78 * width, y - tall),
        shaded((140, 84, 68), "stone", 0.1),
    )
    c.fill(gable, shaded(tile, "knit", 0.1))
    floors, columns = max(2, round(tall / 0.17)), max(2, round(width / 0.11))
    door = rng.integers(columns)
    frame, glass = (250, 246, 236), mix(colour, (40, 56, 80), 0.75)
    for floor in range(floors):
        for column in range(columns):
            wx, wy = (
                x + (column + 0.25) * width / columns,
                y - tall + (floor + 0.25) * tall / floors,
            )
            right, bottom = wx + 0.5 * width / columns, wy + 0.58 * tall / floors
            if floor == floors - 1 and column == door:
                c.outlined(
                    rectangle(wx, wy, right, y),
                    shaded(jitter(rng, roof, 30), "wood", 0.09),
                    frame,
                    0.006,
                )
                continue
            pane = Paint(mix(glass, (210, 230, 240), 0.35), glass, "cloud", 0.03)
            c.outlined(rectangle(wx, wy, right, bottom), pane, frame, 0.006)
            c.line([[(wx + right) / 2, wy], [(wx + right) / 2, bottom]], frame, 0.004)
            c.line([[wx, (wy + bottom) / 2], [right, (wy + bottom) / 2]], frame, 0.004)
            c.fill(rectangle(wx - 0.008, bottom, right + 0.008, bottom + 0.01), shaded(frame))


def facades(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """The front of a large building: bay after bay, storey after storey, with arches or balconies."""
    palette = choose_palette(rng)
    wall = jitter(rng, mix(palette.pick(rng), (226, 212, 190), 0.5))
    c = Canvas(rng, size, shaded(wall, "stone", 0.06))
    bays, storeys = rng.integers(3, 9), rng.integers(2, 8)
    wide, tall, arched, balcony = c.wide / bays, 1 / storeys, rng.random() < 0.5, rng.random() < 0.5
    trim, glass = mix(wall, (255, 252, 244), 0.6), mix(palette.dark, (60, 80, 110), 0.5)
    for storey in range(storeys):
        y = storey * tall
        c.shadow(rectangle(0, y, c.wide, y + 0.06 * tall), 0, 0.04 * tall, 0.01)
        c.fill(rectangle(0, y, c.wide, y + 0.06 * tall), shaded(trim, "stone", 0.05))
        for bay in range(bays):
            x0, x1, y0, y1 = (
                (bay + 0.27) * wide,
                (bay + 0.73) * wide,
                y + 0.25 * tall,
                y + 0.88 * tall,
            )
            window = rectangle(x0, y0, x1, y1)
            if arched:
                window = np.concatenate(
                    [
                        ellipse(
                            (x0 + x1) / 2,
                            y0 + 0.06 * tall,
                            (x1 - x0) / 2,
                            0.14 * tall,
                            start=0.5,
                            end=1,
                        ),
                        [[x1, y1], [x0, y1]],
                    ]
                )
            c.shadow(window, 0.008, 0.008, 0.006)
            pane = Paint(
                mix(glass, (200, 222, 236), 0.2 + 0.5 * rng.random()), glass, "cloud", 0.04
            )
            c.outlined(window, pane, trim, 0.05 * wide)
            for part in (0.33, 0.66):
                c.line(
                    [[x0 + part * (x1 - x0), y0], [x0 + part * (x1 - x0), y1]], trim, 0.015 * wide
                )
            c.line([[x0, (y0 + y1) / 2], [x1, (y0 + y1) / 2]], trim, 0.015 * wide)
            if balcony:
                for rail in np.linspace(x0 - 0.1 * wide, x1 + 0.1 * wide, 12):
                    c.line([[rail, y1 - 0.16 * tall], [rail, y1]], palette.dark, 0.012 * wide)
                c.line(
                    [[x0 - 0.1 * wide, y1 - 0.16 * tall], [x1 + 0.1 * wide, y1 - 0.16 * tall]],
                    palette.dark,
                    0.03 * wide,
                )
            elif rng.random() < 0.4:
                for side, root in ((-1, x0), (1, x1)):
                    shutter = rectangle(root, y0, root + side * 0.2 * wide, y1)
                    c.fill(shutter, shaded(palette.colours[2], "water", 0.12))
    return c.finish()


def bricks(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A brick wall with its mortar, sometimes with a window."""
    brick = jitter(
        rng, ((160, 84, 62), (186, 116, 82), (128, 78, 70), (196, 170, 138))[rng.integers(4)], 14
    )
    mortar = jitter(rng, ((206, 196, 180), (120, 112, 106))[rng.integers(2)])
    c = Canvas(rng, size, Paint(mortar, texture="stone", contrast=0.08))
    tall, spread = rng.uniform(0.03, 0.09) * c.unit, rng.uniform(6, 26)
    wide, gap = tall * rng.uniform(2, 3), tall * rng.uniform(0.08, 0.18)
    for row, y in enumerate(np.arange(0, 1, tall)):
        for x in np.arange(-wide * (0.5 * (row % 2) + 0.5), c.wide, wide):
            block = rectangle(x + gap, y + gap, x + wide, y + tall) + rng.normal(
                0, 0.02 * tall, (4, 2)
            )
            c.fill(block, shaded(jitter(rng, brick, spread), "stone", 0.08))
    if rng.random() < 0.5:
        x0, y0 = c.wide * rng.uniform(0.2, 0.35), rng.uniform(0.15, 0.3)
        x1, y1 = x0 + 0.4 * c.wide, y0 + 0.5
        c.outlined(
            rectangle(x0, y0, x1, y1),
            Paint((190, 214, 226), (60, 76, 96), "cloud", 0.08),
            (246, 242, 234),
            0.03,
        )
        c.line([[(x0 + x1) / 2, y0], [(x0 + x1) / 2, y1]], (246, 242, 234), 0.02)
        c.line([[x0, (y0 + y1) / 2], [x1, (y0 + y1) / 2]], (246, 242, 234), 0.02)
        c.fill(
            rectangle(x0 - 0.04, y1 + 0.01, x1 + 0.04, y1 + 0.05),
            shaded((200, 194, 184), "stone", 0.08),
        )
    else:
        c.shadow(
            [
                [-0.1, -0.1],
                [c.wide * rng.uniform(0.3, 1.2), -0.1],
                [c.wide * rng.uniform(-0.2, 0.6), 1.1],
                [-0.1, 1.1],
            ],
            0,
            0,
            0.01,
            0.4,
        )
    return c.finish()


def temples(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A columned temple or a domed hall."""
    palette, level = choose_palette(rng), 0.84
    c = Canvas(rng, size, palette.light)
    sky(c, level)
    green = jitter(rng, (120, 128, 84))
    c.fill(close(c, ridge(rng, c.wide, level - 0.06, 0.03)), shaded(green, "fur", 0.08))
    grass(c, level, green, 200)
    stone = jitter(rng, mix((232, 220, 196), palette.pick(rng), 0.12))
    half, top, mid = 0.4 * c.wide, rng.uniform(0.38, 0.5), c.wide / 2
    for step in range(4):
        y = level + 0.02 * step - 0.03
        c.fill(
            rectangle(mid - half * (1 + 0.03 * step), y, mid + half * (1 + 0.03 * step), y + 0.03),
            shaded(mix(stone, palette.dark, 0.05 * step), "stone", 0.07),
        )
    c.fill(
        rectangle(mid - 0.93 * half, top, mid + 0.93 * half, level - 0.02),
        Paint(mix(stone, palette.dark, 0.6), mix(stone, palette.dark, 0.4), "stone", 0.06),
    )
    columns = int(rng.integers(4, 10))
    for x in np.linspace(mid - 0.9 * half, mid + 0.9 * half, columns):
        r = 0.42 * half / columns
        shaft = ribbon([[x, top], [x, level - 0.03]], [1.7 * r, 2 * r])
        c.fill(
            shaft,
            Paint(
                mix(stone, (255, 255, 250), 0.4), mix(stone, palette.dark, 0.4), "stone", 0.05, 0
            ),
        )
        for groove in (-0.5, -0.15, 0.2, 0.55):
            c.line(
                [[x + groove * r, top + 0.02], [x + groove * r, level - 0.05]],
                mix(stone, palette.dark, 0.35),
                0.12 * r,
            )
        for y in (top - 0.005, level - 0.045):
            c.fill(rectangle(x - 1.3 * r, y, x + 1.3 * r, y + 0.02), shaded(stone, "stone"))
    c.fill(rectangle(mid - half, top - 0.06, mid + half, top), shaded(stone, "stone", 0.07))
    if rng.random() < 0.5:
        c.fill(
            [
                [mid - 1.05 * half, top - 0.06],
                [mid, top - 0.06 - 0.34 * half],
                [mid + 1.05 * half, top - 0.06],
            ],
            shaded(stone, "stone", 0.07),
        )
        c.fill(
            [
                [mid - 0.8 * half, top - 0.08],
                [mid, top - 0.07 - 0.24 * half],
                [mid + 0.8 * half, top - 0.08],
            ],
            shaded(mix(stone, palette.dark, 0.3), "stone", 0.1),
        )
    else:
        dome = ellipse(mid, top - 0.06, 0.6 * half, min(0.55 * half, 0.28), start=0.5, end=1)
        c.fill(
            dome,
            Paint(mix(palette.pick(rng), (250, 250, 240), 0.3), palette.dark, "stone", 0.06, 0.3),
        )
        for k in np.linspace(-0.9, 0.9, 9):
            arc = ellipse(
                mid, top - 0.06, 0.6 * half * k, min(0.55 * half, 0.28), start=0.5, end=0.75
            )
            c.line(arc, mix(stone, palette.dark, 0.5), 0.004)
        peak = top - 0.06 - min(0.55 * half, 0.28)
        c.fill(
            [[mid - 0.012, peak + 0.01], [mid, peak - 0.08], [mid + 0.012, peak + 0.01]],
            palette.dark,
        )
    return c.finish()


def bridges(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A suspension bridge, or one of stone arches, over water."""
    palette, level = choose_palette(rng), rng.uniform(0.68, 0.78)
    c = Canvas(rng, size, palette.light)
    high, low = sky(c, level)
    c.fill(
        close(c, ridge(rng, c.wide, level - 0.06, 0.03)),
        Paint(mix(low, (80, 96, 96), 0.6), texture="fur", contrast=0.06),
    )
    deep = mix(high, (24, 70, 90), 0.5)
    c.fill(rectangle(0, level, c.wide, 1), Paint(mix(low, deep, 0.4), deep, "water", 0.09))
    deck = level - rng.uniform(0.08, 0.18)
    if rng.random() < 0.5:
        iron, towers = mix(palette.pick(rng), (160, 60, 44), 0.5), (0.22 * c.wide, 0.78 * c.wide)
        top = rng.uniform(0.12, 0.28)
        c.fill(rectangle(0, deck, c.wide, deck + 0.025), shaded(iron, "paper"))
        for x in np.linspace(0, c.wide, 60):
            edge = min(abs(x - t) for t in towers)
            sag = top + (deck - top) * (1 - (1 - min(edge / (0.29 * c.wide), 1)) ** 2) * 0.95
            c.line([[x, sag], [x, deck]], iron, 0.003)
        for left, right in ((-0.34 * c.wide, towers[0]), towers, (towers[1], 1.34 * c.wide)):
            t = np.linspace(0, 1, 40)
            sag = top + (deck - top) * 0.95 * (1 - (2 * t - 1) ** 2)
            c.line(np.stack([left + (right - left) * t, sag], 1), iron, 0.008)
        for x in towers:
            for side in (-0.02, 0.02):
                c.fill(
                    rectangle(x + side - 0.008, top - 0.02, x + side + 0.008, level + 0.05),
                    shaded(iron, "paper"),
                )
            for y in np.arange(top, level, 0.08):
                c.line([[x - 0.02, y], [x + 0.02, y + 0.04]], iron, 0.006)
        return c.finish()
    stone, step = jitter(rng, (182, 160, 132)), c.wide / rng.integers(2, 5)
    c.fill(rectangle(0, deck - 0.03, c.wide, level + 0.03), shaded(stone, "stone", 0.11))
    for x in np.arange(0, c.wide, step):
        arch = np.concatenate(
            [
                ellipse(
                    x + step / 2,
                    level,
                    0.41 * step,
                    min(0.38 * step, level - deck - 0.02),
                    start=0.5,
                    end=1,
                ),
                [[x + 0.91 * step, level + 0.04], [x + 0.09 * step, level + 0.04]],
            ]
        )
        c.fill(arch, Paint(mix(low, deep, 0.2), mix(deep, (10, 20, 30), 0.4), "water", 0.07))
        c.line(arch[:-2], mix(stone, palette.dark, 0.5), 0.01)
        c.fill(
            place(
                smooth(arch[:-2] - (x + step / 2, level)) * (1, -0.5), x + step / 2, level + 0.04
            ),
            Paint(mix(deep, (10, 20, 30), 0.3), texture="water", contrast=0.08),
        )
    for x in np.arange(0, c.wide, 0.03):
        c.fill(rectangle(x, deck - 0.055, x + 0.018, deck - 0.03), shaded(stone, "stone", 0.1))
    return c.finish()
