"""Scenes: pictures of every category, as layers from the back to the front."""

from __future__ import annotations

from curate.demo.draw.canvas import Layer
from curate.demo.draw.patterns import cells, clean, fractal, ridges, surface
from curate.demo.draw.placement import (
    closeup,
    floating,
    floor,
    framed,
    ground,
    horizon,
    in_row,
    page,
    panels,
    sheet,
    sides,
    standing,
    tiled,
    wall,
)  # fmt: skip

__all__ = ["SCENES", "Scene"]

Scene = tuple[Layer, ...]

_sky = wall("sky")
_hills = ridges("leaf", 3, high=0.14, low=0.05, rough=0.03)
_mountains = ridges("rock", 5, high=0.25, low=0.25, rough=0.08)
_meadow = (_sky, _hills, ground("meadow"))
_coast = (_sky, _hills, ground("sea"))
_low = (horizon(0.72, 0.86), _sky)
_street = in_row("block", 0.4, 0.62, uneven=0.4)
_square = (horizon(0.2, 0.3), _sky, in_row("block", 0.2, 0.62), floor("paving"))
_room = (horizon(0.6, 0.75), wall("dots papered plain"), floor("planks"))
_kitchen = (horizon(0.5, 0.6), wall("tiles"), in_row("bottle mug vase", 0.2, 0.7))
_desk = (horizon(0.62, 0.74), wall("plain dots"), ground("desk linen"))
_table = sheet("slab parquet checked")
_talk = (closeup("portrait portrait cat", 0.6), closeup("speech", 0.35, 0.16))
_backs: tuple[Scene, ...] = (_meadow, _room, (sheet("halftone"),), (sheet("light"),))
_panels = tuple(back + _talk for back in _backs)
_views = ((_sky, _mountains), _coast, (page("page"), _mountains))

SCENES: dict[str, dict[str, Scene]] = {
    "Animals": {
        "herd": (*_meadow, standing("horse cow", 1, 6, 0.6)),
        "fish": (sheet("deep"), floating("fish", 3, 12, 0.3)),
        "butterflies": (sheet("mist"), floating("butterfly", 1, 6, 0.35)),
        "cat": (sheet("mist"), closeup("cat", 0.8)),
    },
    "People": {
        "portrait": (sheet("mist"), closeup("portrait", 0.9)),
        "walkers": (*_meadow, in_row("oak fir", 0.4, 0.8), standing("person", 1, 5, 0.75)),
        "crowd": (*_square, standing("person", 14, 45, 1)),
    },
    "Nature": {
        "mountains": (_sky, _mountains, standing("fir", 3, 20, 0.5)),
        "forest": (*_meadow, standing("fir oak", 5, 14, 1)),
        "sea": (_sky, ground("sea")),
        "flowers": (*_meadow, standing("flower", 8, 30, 0.5)),
    },
    "Transportation": {
        "cars": (_sky, _street, ground("road"), standing("car bus", 1, 5, 0.7)),
        "boats": (*_coast, standing("boat", 1, 5, 0.5)),
        "balloons": (*_low, _hills, floating("balloon", 1, 6, 0.35)),
        "bicycles": (wall("bricks tiles plain"), floor("paving"), standing("bicycle", 1, 3, 0.6)),
    },
    "Architecture": {
        "towers": (*_low, in_row("block", 0.55, 0.62, uneven=0.3), _street, floor("paving")),
        "houses": (*_low, in_row("house", 0.45, 0.73), floor("paving")),
        "facade": (horizon(1, 1), wall("plain"), tiled("bay", 2, 5)),
        "temple": (*_low, _hills, ground("meadow"), closeup("temple", 0.55, 0.87)),
    },
    "Outdoor others": {
        "stones": (cells("stones"),),
        "clouds": (surface("cloud", "#3468b0 #8fb4d8 #e8eef2 white | #42506a #8a94a4 #c8ccd0"),),
        "bark": (surface("grass", "bark--- bark bark++"),),
        "fireworks": (sheet("night"), floating("spark", 2, 6, 0.3)),
    },
    "Indoor Scenes": {
        "living room": (
            *_room,
            in_row("bookcase lamp window plant chest", 0.5, 0.9),
            floor("rug"),
            standing("sofa bed table chair", 1, 3, 0.7),
        ),
        "library": (*_room, in_row("bookcase", 0.7, 0.86), standing("chair table lamp", 1, 2)),
        "corridor": (horizon(0.5, 0.5), page("page"), floor("chequers"), sides("doors")),
        "kitchen": (*_kitchen, floor("chequers planks"), in_row("chest", 0.45, 0.9, 0.36)),
    },
    "Furniture": {
        f"{name}s": (*_room, standing(name, 1, 2, 0.75))
        for name in ("chair", "sofa", "table", "bed", "chest", "bookcase")
    },
    "Food": {
        "pizzas": (_table, tiled("pizza", 1, 2, 0.92)),
        "fruit": (_table, tiled("apples oranges", 1, 2, 0.92)),
        "cakes": (*_desk, standing("cake", 1, 3, 0.6)),
        "burgers": (*_desk, standing("burger", 1, 3, 0.6)),
        "sushi": (_table, tiled("sushi", 3, 5, 0.8)),
    },
    "Indoor Object": {
        f"{name}s": (*_desk, standing(name, 1, 4, 0.6))
        for name in ("vase", "mug", "bottle", "clock", "plant", "guitar")
    },
    "Indoor others": {
        "cloth": (sheet("tartan checked"),),
        "knitting": (sheet("knitting"),),
        "parquet": (sheet("parquet"),),
        "tiling": (tiled("tile", 2, 8),),
        "marble": (surface("veins", "hue light light+ | light hue dark"),),
    },
    "Comic": {
        "page": (page("page"), panels(3, 3, *_panels)),
        "strip": (page("page"), panels(1, 4, *_panels)),
        "effect": (sheet("halftone light"), closeup("burst", 0.45, 0.5)),
    },
    "Poster": {
        "geometry": (tiled("rings quarter stripes spikes wedge", 2, 5, turns=4), page("caption")),
        "lettering": (page("page"), page("letter word"), page("caption")),
        "travel": (page("page"), framed(0.05, 0.04, 0.95, 0.8, *_views), page("caption")),
        "concert": (sheet("night"), tiled("coil rosette", 1, 3), page("caption")),
    },
    "Map": {
        "streets": (sheet("streets"), page("legend")),
        "contours": (
            surface(
                "relief", "#5a8cba #a8d0dc #c8dca0 #e8d8a0 #b88458 | #fafaf4 #e0e8d0", bands=20
            ),
            page("legend"),
        ),
        "islands": (sheet("sea_chart"), page("legend")),
        "network": (sheet("network"),),
        "countries": (cells("countries"), page("legend")),
    },
    "Text Scene": {
        "book": (page("page"), page("book pages")),
        "newspaper": (page("page"), page("newspaper"), framed(0.28, 0.4, 0.75, 0.7, *_views)),
        "signs": (sheet("bricks slab parquet"), tiled("board", 1, 3)),
        "code": (page("screen"), clean),
        "receipt": (_table, closeup("receipt", 0.9, 0.96)),
        "blackboard": (page("slate"),),
    },
    "Artificial others": {
        "fractal": (fractal, clean),
        "chart": (page("chart"), clean),
        "glass": (cells("glass"),),
        "rosettes": (sheet("paper night"), tiled("rosette coil", 1, 3)),
        "dialogs": (surface("relief", "hue hue2"), floating("dialog", 1, 3, 0.5, tilt=0), clean),
        "wash": (surface("relief", "hue hue2 hue3 hue4"), clean),
    },
}
"""Scenes by category and name."""
