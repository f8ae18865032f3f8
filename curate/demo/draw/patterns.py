"""Patterns: layers that are computed, such as ridges of hills, cells of stone, and fractals."""

from __future__ import annotations

import numpy as np

from curate.demo.draw import textures
from curate.demo.draw.canvas import Canvas, Layer
from curate.demo.draw.colours import BLACK, Paint, gradient, mix
from curate.demo.draw.shapes import ridge

__all__ = ["cells", "clean", "fractal", "ridges", "surface"]


def clean(c: Canvas) -> None:
    """Leave the picture without grain."""
    c.clean = True


def ridges(material: str, most: int, high: float, low: float, rough: float) -> Layer:
    """Ridges behind ridges, the farther the paler, with snow on the highest.

    They begin `high` above the horizon and end `low` below it, with a standard deviation `rough`.
    """

    def layer(c: Canvas) -> None:
        haze, near, count = c.seen(c.level), c.ink(material), c.whole(most // 2 + 1, most)
        texture = c.paint(material).texture
        for share in np.arange(1, count + 1) / count:
            line = ridge(c.rng, c.wide, c.level - high + (high + low) * share, rough)
            tone = mix(haze, near, 0.2 + 0.8 * share)
            paint = Paint(tone, mix(tone, BLACK, 0.3), texture, 0.11, np.pi / 2)
            c.fill([*line, [c.wide + 0.02, 1.1], [-0.02, 1.1]], paint)
            deep = np.clip(c.level - 0.6 * high - 0.05 - line[:, 1:], 0, None) * c.rng.random(
                (160, 1)
            )
            c.fill(np.concatenate([line, (line + deep * (0, 1))[::-1]]), "white")

    return layer


def surface(texture: str, colours: str, bands: int = 0) -> Layer:
    """Cover the picture with a texture that is mapped onto colours, or on bands with borders.

    Alternative lists of colours are separated by `|`.
    """

    def layer(c: Canvas) -> None:
        field = textures.tile(texture, c.whole(0, textures.VARIANTS - 1))
        zoom = c.uniform(0.5, 1.2) * len(field) / max(c.shape)
        rows, columns = ((np.arange(n) * zoom).astype(int) % len(field) for n in c.shape)
        share = np.clip(field[rows[:, None], columns] / 4 + 0.5 + c.uniform(-0.15, 0.15), 0, 1)
        stops = tuple(c.ink(name) for name in c.pick(colours.split("|")).split())
        if bands:
            share = np.floor(share * bands) / bands
        pixels = gradient(share, stops)
        if bands:
            pixels[_edges(share)] = c.ink("saddlebrown")
        c.cover(pixels)

    return layer


def cells(kind: str) -> Layer:
    """Cover the picture with cells: domed `stones`, leaded `glass`, or `countries` of a map."""

    def layer(c: Canvas) -> None:
        spacing = (
            c.unit * c.shape[0] * 2 ** c.uniform(*{"countries": (-3, -2)}.get(kind, (-6, -2.5)))
        )
        number, distance, border = textures.cells(c.rng, c.shape, spacing, c.uniform(1, 1.8))
        material = {"stones": "stone~", "glass": "hue~", "countries": "any~"}[kind]
        inks = np.array([c.ink(material) for _ in range(number.max() + 1)])
        if kind == "stones":
            dome = np.clip(border / spacing * 4, 0, 1) ** 0.5 * (1.1 - 0.5 * distance / spacing)
            light = 0.25 + 0.8 * dome + 0.25 * np.gradient(dome, axis=0) * spacing / 6
            rough = textures.noise(c.rng, c.shape, 0.6)[..., None] * c.uniform(2, 14)
            c.cover(inks[number] * light[..., None] + rough)
        elif kind == "glass":
            lead = np.clip(border - c.uniform(0, 1.6), 0, 1)[..., None]
            c.cover(inks[number] * lead + np.array(c.ink("dark")) * (1 - lead))
        else:
            land = textures.noise(c.rng, c.shape, 2, 1) > c.uniform(-1, 0.2)
            pixels = np.where(land[..., None], inks[number], c.ink(c.pick(("white", "#a0c8fa"))))
            pixels[_edges(np.where(land, number, -1))] = 0
            c.cover(pixels)

    return layer


def fractal(c: Canvas) -> None:
    """Draw a Julia set."""
    start = c.pick((-0.8 + 0.156j, -0.4 + 0.6j, 0.285 + 0.01j, -0.70176 - 0.3842j, -0.1 + 0.651j))
    y, x = np.indices(c.shape) / c.shape[0] - 0.5
    z = (x - 0.5 * (c.wide - 1) + 1j * y) * c.uniform(0.8, 3.4) * np.exp(2j * c.uniform(0, np.pi))
    count = np.full(c.shape, 90.0)
    for step in range(90):
        z = z**2 + start
        gone = np.abs(z) > 8
        count[gone] = step + 1 - np.log2(np.log2(np.abs(z[gone])) / 3)
        z[gone] = np.nan  # compares as False from now on
    share = np.log1p(np.clip(count, 0, 90)) / np.log(91) * c.uniform(1, 3)
    c.cover(gradient(share % 1.0001, tuple(c.palette[k] for k in c.rng.permutation(6))))


def _edges(zones: np.ndarray) -> np.ndarray:
    """Return True for pixels whose upper or left neighbour lies in another zone."""
    edges: np.ndarray = (zones != np.roll(zones, 1, 0)) | (zones != np.roll(zones, 1, 1))
    return edges
