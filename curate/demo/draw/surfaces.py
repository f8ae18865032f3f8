"""Indoor, others: cloth, knitwear, wood, tiles, carpets and marble filling the picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw import fields
from curate.demo.draw.canvas import Canvas, Paint, finish, shaded
from curate.demo.draw.colours import choose_palette, jitter, mix
from curate.demo.draw.furniture import WOODS
from curate.demo.draw.ground import tinted
from curate.demo.draw.shapes import ellipse, place, rectangle, smooth, star, xy

__all__ = ["boards", "carpets", "cloth", "knitwear", "marble", "tiles"]


def cloth(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Woven cloth, plain or tartan, in folds."""
    palette, (width, height) = choose_palette(rng), size
    weave = fields.weave(rng, (height, width), int(rng.integers(2, 9)))
    ground = np.asarray(palette.pick(rng), dtype=np.float32)
    pixels = np.broadcast_to(ground, (height, width, 3)).copy()
    if rng.random() < 0.6:
        sett = int(rng.integers(40, 140))
        for _ in range(rng.integers(2, 6)):
            colour, start, band = (
                np.asarray(palette.colours[rng.integers(6)]),
                rng.integers(sett),
                rng.integers(2, sett // 3),
            )
            columns, rows = ((np.arange(n) - start) % sett < band for n in (width, height))
            share = 0.45 * (columns[None, :, None].astype(np.float32) + rows[:, None, None])
            pixels += share * (colour - pixels)
    folds = fields.hatching(
        rng, (height, width), rng.uniform(0, np.pi), height / 3, height / 14
    ) * rng.uniform(0, 0.16)
    pixels *= 1 + folds[..., None] + weave[..., None] * rng.uniform(0.04, 0.2)
    return finish(rng, Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))


def knitwear(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Knitting with a coloured pattern."""
    palette, (width, height) = choose_palette(rng), size
    stitch = int(rng.integers(6, 22))
    stitches = fields.knit(rng, (height, width), stitch)
    rows, columns = int(height / (0.8 * stitch)) + 2, width // stitch + 2
    unit = rng.integers(0, 3, (int(rng.integers(3, 9)), int(rng.integers(3, 9))))
    unit = np.concatenate([unit, unit[:, ::-1]], axis=1)
    chart = np.tile(unit, (rows // len(unit) + 1, columns // unit.shape[1] + 1))
    chart[(np.arange(len(chart)) // len(unit)) % 2 == rng.integers(2)] = 0
    inks = np.asarray(
        [jitter(rng, palette.colours[k]) for k in rng.permutation(6)[:3]], dtype=np.float32
    )
    y, x = np.indices((height, width))
    pixels = inks[chart[(y / (0.8 * stitch)).astype(int), x // stitch]]
    pixels *= 1 + rng.uniform(0.12, 0.3) * stitches[..., None]
    return finish(rng, Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))


def boards(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Boards or parquet."""
    wood = jitter(rng, WOODS[rng.integers(5)], 14)
    c = Canvas(rng, size, mix(wood, (20, 10, 10), 0.7))
    plank, long = rng.uniform(0.06, 0.22), rng.uniform(0.5, 1.6)
    if rng.random() < 0.35:
        step = plank * 2
        for row, y in enumerate(np.arange(-step, 1, step)):
            for column, x in enumerate(np.arange(0, c.wide, step)):
                for k in range(3):
                    a, b = k * step / 3, (k + 0.97) * step / 3
                    strip = (
                        rectangle(x + a, y, x + b, y + step)
                        if (row + column) % 2
                        else rectangle(x, y + a, x + step, y + b)
                    )
                    c.fill(
                        strip,
                        shaded(
                            jitter(rng, wood, 12),
                            "wood" if (row + column) % 2 == 0 else "grass",
                            0.07,
                        ),
                    )
        return c.finish()
    for y in np.arange(0, 1, plank):
        for x in np.arange(-rng.uniform(0, long), c.wide, long):
            c.fill(
                rectangle(x, y, x + long - 0.004, y + plank - 0.004),
                shaded(jitter(rng, wood, 10), "wood", 0.08, 0.1),
            )
            for end in (x + 0.02, x + long - 0.03):
                for nail in (0.25, 0.75):
                    c.fill(ellipse(end, y + nail * plank, 0.004), (50, 40, 40))
    return c.finish()


def tiles(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Painted tiles: one motif, turned and repeated."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, mix(palette.light, (130, 124, 120), 0.35))
    step, turn = rng.uniform(0.1, 0.32) * c.unit, rng.random() < 0.5
    inks = [jitter(rng, palette.colours[k]) for k in rng.permutation(6)]
    petals, kind = int(rng.choice([4, 8])), int(rng.integers(3))
    petal = smooth([[0, 0], [0.22, -0.12], [0.42, 0], [0.22, 0.12]])
    for row, y in enumerate(np.arange(step / 2, 1 + step, step)):
        for column, x in enumerate(np.arange(step / 2, c.wide + step, step)):
            angle = (row + column) % 2 * np.pi / petals if turn else 0.0
            c.fill(
                place(rectangle(-0.49, -0.49, 0.49, 0.49), x, y, step),
                shaded(jitter(rng, inks[0], 3), "paper", 0.03),
            )
            for corner in ((-0.49, -0.49), (0.49, -0.49), (0.49, 0.49), (-0.49, 0.49)):
                quarter = np.arctan2(-corner[1], -corner[0]) / (2 * np.pi)
                c.fill(
                    place(
                        [
                            corner,
                            *ellipse(*corner, 0.24, start=quarter - 0.125, end=quarter + 0.125),
                        ],
                        x,
                        y,
                        step,
                    ),
                    inks[1],
                )
            if kind == 0:
                c.fill(place(star(0, 0, 0.44, 0.18, petals, angle), x, y, step), inks[2])
            elif kind == 1:
                c.line(place(ellipse(0, 0, 0.36), x, y, step), inks[2], 0.07 * step)
            for k in range(petals):
                c.fill(place(petal, x, y, step, turn=angle + 2 * np.pi * k / petals), inks[3])
                c.line(
                    place([[0.08, 0], [0.32, 0]], x, y, step, turn=angle + 2 * np.pi * k / petals),
                    inks[0],
                    0.02 * step,
                )
            c.fill(place(ellipse(0, 0, 0.09), x, y, step), inks[4])
    return c.finish()


def carpets(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A carpet with borders and medallions in pile."""
    palette = choose_palette(rng)
    inks = [jitter(rng, palette.colours[k]) for k in rng.permutation(6)]
    c = Canvas(rng, size, Paint(inks[0], texture="paper"))
    margin = 0.0
    for k in range(rng.integers(2, 5)):
        c.fill(rectangle(margin, margin, c.wide - margin, 1 - margin), inks[(k + 1) % 6])
        band = rng.uniform(0.03, 0.09) * c.unit
        step = band * rng.uniform(0.6, 1.2)
        for t in np.arange(margin + step, max(c.wide, 1) - margin, step):
            for at in (
                (t, margin + band / 2),
                (t, 1 - margin - band / 2),
                (margin + band / 2, t),
                (c.wide - margin - band / 2, t),
            ):
                if at[0] < c.wide - margin and at[1] < 1 - margin:
                    c.fill(star(*xy(at), 0.42 * band, 0.18 * band, 4), inks[(k + 3) % 6])
        margin += band
    c.fill(rectangle(margin, margin, c.wide - margin, 1 - margin), inks[5])
    rows = int(rng.integers(1, 5))
    columns = max(1, round(rows * c.wide))
    for row in range(rows):
        for column in range(columns):
            x, y = (
                margin + (column + 0.5) * (c.wide - 2 * margin) / columns,
                margin + (row + 0.5) * (1 - 2 * margin) / rows,
            )
            r = 0.46 * (1 - 2 * margin) / rows
            for k, spikes in enumerate(rng.choice([4, 6, 8, 12, 16], 5)):
                share = 1 - 0.19 * k
                c.fill(
                    star(x, y, r * share, r * share * 0.75, int(spikes)), inks[(k + column % 2) % 5]
                )
    c.roughen("paper" if rng.random() < 0.5 else "weave", rng.uniform(0.04, 0.12))
    return c.finish()


def marble(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Veined stone."""
    palette, shape = choose_palette(rng), (size[1], size[0])
    base = fields.noise(rng, shape, rng.uniform(1.3, 1.9))
    veins = sum(
        np.exp(-np.abs(fields.noise(rng, shape, 1.7) + 0.4 * base) * rng.uniform(6, 30))
        for _ in range(rng.integers(1, 4))
    )
    field = 0.6 * base + 0.1 * fields.noise(rng, shape, 0.3) - 2.2 * np.asarray(veins)
    light = rng.random() < 0.6
    return finish(
        rng,
        tinted(
            field.astype(np.float32),
            palette.colours[1] if light else palette.light,
            palette.light if light else palette.dark,
        ),
    )
