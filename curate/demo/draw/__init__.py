"""Drawings of every category of the taxonomy, made from a seed: the same seed and size give the same picture."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from curate.demo.draw import (
    afloat,
    animals,
    architecture,
    bakery,
    comics,
    creatures,
    food,
    furniture,
    ground,
    interiors,
    maps,
    nature,
    objects,
    patterns,
    people,
    posters,
    surfaces,
    texts,
    transport,
    vessels,
)

__all__ = ["DRAWINGS", "Drawing", "draw"]

Drawing = Callable[[np.random.Generator, tuple[int, int]], Image.Image]
"""Draws an RGB picture of a size (width, height) in pixels."""

DRAWINGS: dict[str, tuple[Drawing, ...]] = {
    "Animals": (animals.herd, animals.birds, animals.faces, creatures.fish, creatures.butterflies),
    "People": (people.portrait, people.walkers, people.crowd),
    "Nature": (nature.mountains, nature.forest, nature.sea, nature.dunes, nature.flowers, nature.leaves),
    "Transportation": (
        transport.cars, transport.trains, transport.bicycles, afloat.boats, afloat.balloons, afloat.aeroplanes,
    ),
    "Architecture": (
        architecture.skylines, architecture.houses, architecture.facades, architecture.bricks, architecture.temples,
        architecture.bridges,
    ),
    "Outdoor others": (ground.gravel, ground.rubble, ground.bark, ground.clouds, ground.stars, ground.fireworks),
    "Indoor Scenes": (interiors.living_rooms, interiors.libraries, interiors.kitchens, interiors.corridors),
    "Furniture": tuple(
        furniture.exhibit(piece) for piece in (
            furniture.chair, furniture.sofa, furniture.table, furniture.bed, furniture.chest, furniture.bookcase,
        )
    ),
    "Food": (food.pizzas, food.fruit, food.soups, bakery.cakes, food.sushi, bakery.burgers),
    "Indoor Object": (
        vessels.vases, objects.plants, vessels.mugs, vessels.bottles, objects.clocks, objects.book_piles,
        objects.guitars,
    ),
    "Indoor others": (
        surfaces.cloth, surfaces.knitwear, surfaces.boards, surfaces.tiles, surfaces.carpets, surfaces.marble,
    ),
    "Comic": (comics.pages, comics.strips, comics.effects),
    "Poster": (posters.geometry, posters.typography, posters.travel, posters.concerts, posters.films),
    "Map": (maps.streets, maps.contours, maps.islands, maps.tramways),
    "Text Scene": (
        texts.book_pages, texts.newspapers, texts.signs, texts.code, texts.receipts, texts.blackboards,
    ),
    "Artificial others": (
        patterns.fractals, patterns.charts, patterns.mosaics, patterns.rosettes, patterns.circuits, patterns.washes,
        patterns.spectra,
    ),
}  # fmt: skip
"""Every category of the taxonomy with the drawings that belong to it; `others` carries its broad class's name."""


def draw(category: str, seed: int, size: tuple[int, int]) -> Image.Image:
    """Draw a picture of a category.

    Args:
        category: a key of `DRAWINGS`.
        seed: any non-negative integer; consecutive seeds go through the category's drawings in turn.
        size: width and height in pixels.

    Raises:
        KeyError: if there is no such category.
    """
    drawings = DRAWINGS[category]
    rng = np.random.default_rng([zlib.crc32(category.encode()), seed])
    return drawings[seed % len(drawings)](rng, size)
