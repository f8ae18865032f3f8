"""Drawings that only the bundled labeller is trained on: screens, diagrams and political maps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

__all__ = ["MORE_DRAWINGS"]

Colour = tuple[int, ...]
SIZE = (256, 256)
WORDS = (
    "File",
    "Edit",
    "View",
    "Help",
    "Settings",
    "Search",
    "Name",
    "Type",
    "Cancel",
    "Apply",
    "Open",
    "Save",
    "Map",
)


def windows(rng: np.random.Generator) -> Image.Image:
    """Draw a desktop with windows on it, or one window that fills the picture."""
    picture = _gradient(rng)
    if rng.random() < 0.6:
        _window(rng, picture, (0, 0, *SIZE))
    for _ in range(int(rng.integers(0, 4))):
        left, top = rng.integers(0, 140, size=2)
        _window(
            rng,
            picture,
            (left, top, left + int(rng.integers(80, 200)), top + int(rng.integers(60, 180))),
        )
    return picture


def diagrams(rng: np.random.Generator) -> Image.Image:
    """Boxes with words, and arrows between them."""
    picture = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(picture)
    places = rng.permutation([(x, y) for x in (45, 128, 210) for y in (35, 100, 165, 225)])[
        : rng.integers(3, 9)
    ]
    for (x0, y0), (x1, y1) in pairwise(places):
        pen.line((x0, y0, x1, y1), fill="black", width=int(rng.integers(1, 3)))
        pen.regular_polygon(
            (int(0.35 * x0 + 0.65 * x1), int(0.35 * y0 + 0.65 * y1), 5), 3, fill="black"
        )
    for x, y in places:
        shape = pen.ellipse if rng.random() < 0.3 else pen.rectangle
        shape((x - 32, y - 14, x + 32, y + 14), fill=_pastel(rng), outline="black")
        pen.text((x, y), str(rng.choice(WORDS)), fill="black", font=_font(11), anchor="mm")
    return picture


def sprites(rng: np.random.Generator) -> Image.Image:
    """Draw a sheet of small figures on one colour."""
    picture = Image.new("RGB", SIZE, "black" if rng.random() < 0.6 else _pastel(rng))
    pen = ImageDraw.Draw(picture)
    count = int(rng.integers(4, 11))
    step = SIZE[0] // count
    outline = rng.uniform(-0.45, 0.45, size=(7, 2)) * step
    colour = _bold(rng)
    for k in range(count * count):
        x, y = (k % count + 0.5) * step, (k // count + 0.5) * step
        turn = rng.uniform(0, 6.3)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        shape = outline if rng.random() < 0.7 else rng.uniform(-0.45, 0.45, size=(5, 2)) * step
        pen.polygon(
            [(x + u, y + v) for u, v in shape @ rotation],
            fill=colour if rng.random() < 0.8 else _bold(rng),
        )
    return picture


def logos(rng: np.random.Generator) -> Image.Image:
    """One plain mark, with or without a word, on a plain ground."""
    picture = (
        _gradient(rng)
        if rng.random() < 0.4
        else Image.new("RGB", SIZE, tuple(rng.integers(0, 2, 1) * 255) * 3)
    )
    pen = ImageDraw.Draw(picture)
    x, y, r = (int(v) for v in rng.integers((90, 80, 20), (166, 150, 70)))
    colour = _bold(rng)
    if rng.random() < 0.5:
        pen.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=max(3, r // 4))
    else:
        pen.regular_polygon(
            (x, y, r), int(rng.integers(3, 9)), rotation=int(rng.integers(90)), fill=colour
        )
    if rng.random() < 0.6:
        pen.text(
            (x, y + r + 24),
            str(rng.choice(WORDS)).lower(),
            fill=colour,
            font=_font(26),
            anchor="mm",
        )
    return picture


def waves(rng: np.random.Generator) -> Image.Image:
    """Flat bands or facets of related colours, as wallpapers have."""
    colours = np.array([_bold(rng), _bold(rng)])
    if rng.random() < 0.5:
        field = gaussian_filter(rng.standard_normal(SIZE), rng.uniform(20, 50), mode="wrap")
        share = np.floor((field - field.min()) / np.ptp(field) * rng.integers(3, 7)) / 6
    else:
        _, nearest = cKDTree(rng.uniform(0, SIZE[0], size=(int(rng.integers(10, 90)), 2))).query(
            _grid()
        )
        share = (
            rng.uniform(0, 0.5, size=nearest.max() + 1)[nearest] + _grid()[:, 0] / 512
        ).reshape(SIZE)
    return Image.fromarray(
        (colours[0] + share[..., None] * (colours[1] - colours[0])).clip(0, 255).astype(np.uint8)
    )


def political_maps(rng: np.random.Generator) -> Image.Image:
    """Countries in flat colours within a coast, often in a window."""
    bend = 48 * gaussian_filter(rng.standard_normal((*SIZE, 2)), (4, 4, 0)).reshape(-1, 2)
    _, country = cKDTree(rng.uniform(0, 256, size=(int(rng.integers(8, 60)), 2))).query(
        _grid() + bend
    )
    country = country.reshape(SIZE)
    land = gaussian_filter(rng.standard_normal(SIZE), rng.uniform(10, 30)) + rng.normal(0, 0.01) > 0
    palette = rng.integers(0, 256, size=(country.max() + 1, 3))
    if rng.random() < 0.2:
        palette[:] = palette[0]
    water = [(255, 255, 255), (160, 200, 250), (225, 225, 220), (0, 0, 0), (20, 30, 90)][
        rng.integers(5)
    ]
    pixels = np.where(land[..., None], palette[country], water).astype(np.uint8)
    zones = np.where(land, country, -1)
    border = (zones != np.roll(zones, 1, 0)) | (zones != np.roll(zones, 1, 1))
    if rng.random() < 0.8:
        pixels[border] = 0
    picture = Image.fromarray(pixels)
    if rng.random() < 0.4:
        framed = Image.new("RGB", SIZE, (225, 225, 225))
        _window(rng, framed, (0, 0, *SIZE))
        framed.paste(picture.crop((0, 0, 190, 220)), (66, 24))
        return framed
    return picture


MORE_DRAWINGS: dict[str, tuple[Callable[[np.random.Generator], Image.Image], ...]] = {
    "Artificial others": (windows, diagrams, sprites, logos, waves),
    "Map": (political_maps,),
}
"""Category -> drawings of it."""


def _window(rng: np.random.Generator, picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    pen = ImageDraw.Draw(picture)
    dark = rng.random() < 0.25
    ground, ink = ((40, 42, 48), (220, 220, 220)) if dark else ((238, 238, 236), (30, 30, 30))
    pen.rectangle(box, fill=ground, outline="grey")
    pen.rectangle((left, top, right, top + 12), fill=_pastel(rng) if not dark else (25, 25, 30))
    pen.text((left + 6, top + 1), str(rng.choice(WORDS)), fill=ink, font=_font(9))
    side = left + (right - left) // int(rng.integers(3, 6)) if rng.random() < 0.7 else left
    pane = (side + 3, top + 20, right - 5, bottom - 20)
    if pane[2] > pane[0] and pane[3] > pane[1]:
        pen.rectangle(pane, fill="white" if not dark else (55, 57, 62), outline="grey")
    pitch = int(rng.integers(9, 18))
    for y in range(top + 22, bottom - 24, pitch):
        if rng.random() < 0.1:
            pen.rectangle((side + 4, y, right - 6, y + pitch - 2), fill=_bold(rng))
        if rng.random() < 0.8:
            pen.text(
                (side + 8, y),
                " ".join(rng.choice(WORDS, size=rng.integers(1, 5))),
                fill=ink,
                font=_font(8),
            )
        if side > left and rng.random() < 0.5:
            pen.rectangle((left + 4, y, left + 9, y + 5), fill=_bold(rng))
    for k in range(int(rng.integers(0, 3))):
        pen.rectangle(
            (right - 50 * (k + 1), bottom - 16, right - 50 * k - 8, bottom - 4),
            fill=ground,
            outline="grey",
        )


def _gradient(rng: np.random.Generator) -> Image.Image:
    ends = np.array([_bold(rng), _bold(rng)], dtype=float)
    share = (_grid() @ rng.uniform(0, 1, size=2) / 512).reshape(*SIZE, 1)
    return Image.fromarray((ends[0] + share * (ends[1] - ends[0])).astype(np.uint8))


def _grid() -> np.ndarray:
    return np.moveaxis(np.mgrid[: SIZE[1], : SIZE[0]], 0, -1).reshape(-1, 2).astype(float)


def _bold(rng: np.random.Generator) -> Colour:
    return tuple(int(v) for v in rng.integers(0, 256, size=3))


def _pastel(rng: np.random.Generator) -> Colour:
    return tuple(int(v) for v in rng.integers(190, 256, size=3))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
