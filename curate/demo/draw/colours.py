"""Colours, palettes of colours that go together, and materials of painted surfaces."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from curate.demo.draw.textures import Texture

__all__ = ["MATERIALS", "Colour", "Paint", "Palette", "choose_palette", "gradient", "mix", "rgb"]

Colour = tuple[int, int, int]
Palette = tuple[Colour, ...]
"""Six colours from the darkest to the lightest."""

WHITE, BLACK = (255, 252, 244), (20, 15, 32)
_PALETTES = (
    "22223b 4a4e69 9a6b7c c98c70 e8c39e f2e9e4", "0b2545 13415f 3d7a80 8da9a4 d9b46c eef4ed",
    "2b2118 6b3e26 b5542f e28f41 f3c77b fbf0d9", "132a13 31572c 5a8f3c 9dbf5b dcd277 f6f3d4",
    "1b1b3a 693668 a74482 f2637e fca08b fde8d0", "102a2e 1f5c5c 2a9d8f e9a44a e76f51 f7ead2",
    "261447 ad2e5c e4572e f2a541 76b5c5 f3f1e0", "1d2d2a 3c5a4c 7a8f69 bfa98a dcc7a1 f4efe3",
    "0d1b2a 274060 4f7cac 9ec5d8 f2b5a7 fbf3ee", "33272a 7d3c4b c2595b df9a7b 8fb9a8 f1f2d0",
    "20242c 4b5563 8a94a3 d1495b edae49 f4f1ea", "1e3d2f 4f772d c1666b d4b483 e4dfda fdfbf5",
)  # fmt: skip
MATERIALS: dict[str, tuple[str, str, float]] = {
    "bark": ("#523a2c #6e5a48", "brush", 0.1),
    "brick": ("#a0543e #ba7452 #804e46 #c4aa8a", "stone", 0.08),
    "cloth": ("hue", "weave", 0.09),
    "coat": ("#784e30 #3c2e2a #ceb084 #e8e2d6 #a86234 #6e6c70", "fur", 0.11),
    "crumb": ("#ce9654 #b9803f #dcae6c", "stone", 0.08),
    "deep": ("#4a9a9c/#0e3c56 #3c7a9c/#14344e", "water", 0.06),
    "eye": ("#503624 #466e82 #566e46", "paper", 0.02),
    "glass": ("#a8c4d2/#5a7486", "cloud", 0.03),
    "glaze": ("hue", "paper", 0.03),
    "grass": ("#60803c #8c8846 #50704c #809c50", "grass", 0.1),
    "hair": ("#241c1c #4e3222 #8c5c32 #cea460 #969494 #923e24", "fur", 0.14),
    "leaf": ("#3a5e34 #5c7a36 #2c5242 #808a3e #4c6c54", "fur", 0.09),
    "metal": ("#cecccc #8a8c94", "brush", 0.06),
    "mist": ("#96b496/#3c5a46 #aac4d6/#5a7486 #c4aa8c/#6e5a4a hue", "cloud", 0.04),
    "night": ("#0c1028/#2c2450 #101428/#142a3c", "cloud", 0.03),
    "road": ("#605e62 #76706c", "stone", 0.08),
    "rock": ("#4a4e60 #604c4a #3c565c", "stone", 0.1),
    "roof": ("#96463a #5a4a4a #7a5a46", "knit", 0.1),
    "sea": ("#8aa8b4/#0e3c56 #9ab4b0/#145a6e #7a8a9a/#24464e", "water", 0.09),
    "skin": ("#f6d6bc #e8bc96 #ce966e #a06c4c #704a36 #52362a", "paper", 0.03),
    "sky": (
        "#5c96cd/#dee8e6 #406eaa/#fad6b4 #242c5c/#ec8c70 #78a0aa/#eee8d2 #96aabe/#e2e2dc",
        "cloud", 0.03,
    ),
    "slate": ("#28362f #2c2e36 #223a3e", "cloud", 0.06),
    "stone": ("#beb4a4 #aa9078 #dcd0bc #9c9694", "stone", 0.08),
    "tin": ("hue", "paper", 0.02),
    "wall": ("hue", "stone", 0.05),
    "wood": ("#966842 #6c462e #c49e6c #543628 #a4825c", "wood", 0.08),
    "wool": ("hue", "knit", 0.1),
}  # fmt: skip
"""Material -> the colours it comes in, its texture, and the contrast of that texture."""


@dataclass(frozen=True)
class Paint:
    """Content of a shape: a colour that runs to another one, lighter and darker by a texture.

    The colour runs along `angle` (radians; a quarter turn is downwards) over the shape's bounding
    box. `contrast` is the texture's standard deviation, as a share of full scale.
    """

    colour: Colour
    to: Colour
    texture: str = "paper"
    contrast: float = 0.05
    angle: float = 1.1

    @property
    def plain(self) -> Colour:
        """The colour without texture."""
        return mix(self.colour, self.to, 0.3)

    def toned(self, share: float) -> Paint:
        """Return the paint mixed with white (share > 0) or near-black (share < 0)."""
        if not share:
            return self
        colour, to = (
            mix(end, WHITE if share > 0 else BLACK, abs(share)) for end in (self.colour, self.to)
        )
        return replace(self, colour=colour, to=to)


def lit(colour: Colour, to: Colour | None = None, *, texture: str, contrast: float) -> Paint:
    """Return the paint of a surface lit from the top left, or running down to a colour."""
    if to is not None:
        return Paint(colour, to, texture, contrast, np.pi / 2)
    return Paint(mix(colour, WHITE, 0.12), mix(colour, BLACK, 0.25), texture, contrast)


def rgb(name: str) -> Colour:
    """Return a CSS colour, by its name or as #rrggbb."""
    red, green, blue = ImageColor.getrgb(name)[:3]
    return red, green, blue


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return a colour between `one` (share 0) and `other` (share 1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def jitter(rng: np.random.Generator, colour: Colour, spread: float = 12) -> Colour:
    """Return the colour with another brightness and slightly another hue.

    `spread` is the standard deviation of the brightness in 8-bit levels.
    """
    shift = rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    red, green, blue = np.clip(np.asarray(colour) + shift, 0, 255).astype(int).tolist()
    return red, green, blue


def choose_palette(rng: np.random.Generator) -> Palette:
    """Return a palette whose hues and saturation differ slightly from one seed to the next."""
    words = _PALETTES[rng.integers(len(_PALETTES))].split()
    turn, strength = rng.normal(0, 0.03), rng.uniform(0.75, 1.15)
    return tuple(_shifted(rgb(f"#{word}"), turn, strength) for word in words)


def gradient(share: Texture, stops: Palette) -> NDArray[np.uint8]:
    """Return pixels (h, w, 3): values from 0 to 1 mapped onto evenly spaced colours."""
    places, table = np.linspace(0, 1, len(stops)), np.asarray(stops, dtype=np.float32)
    channels = [np.interp(share, places, table[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _shifted(colour: Colour, turn: float, strength: float) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    shifted = colorsys.hsv_to_rgb((hue + turn) % 1, min(1, saturation * strength), value)
    red, green, blue = (round(channel * 255) for channel in shifted)
    return red, green, blue
