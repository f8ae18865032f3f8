"""Drawings of every category of the taxonomy, made from a seed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Layer
from curate.demo.draw.scenes import SCENES

__all__ = ["SCENES", "draw", "paint", "scene_name"]


def draw(category: str, seed: int, size: tuple[int, int]) -> Image.Image:
    """Draw a picture of a category; the same seed and size give the same picture.

    Args:
        category: a key of `SCENES`.
        seed: any non-negative integer; consecutive seeds go through the category's scenes in turn.
        size: width and height in pixels.

    Raises:
        KeyError: if there is no such category.
    """
    rng = np.random.default_rng([zlib.crc32(category.encode()), seed])
    return paint(SCENES[category][scene_name(category, seed)], rng, size)


def scene_name(category: str, seed: int) -> str:
    """Return the name of the scene that a seed draws."""
    names = list(SCENES[category])
    return names[seed % len(names)]


def paint(layers: Iterable[Layer], rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw layers from the back to the front on a canvas of a size (width, height) in pixels."""
    canvas = Canvas(rng, size)
    for layer in layers:
        layer(canvas)
    return canvas.finish()
