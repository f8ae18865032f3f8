"""Colours: palettes that go together, and mixing."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

__all__ = ["Colour", "Palette", "choose_palette", "jitter", "mix"]

Colour = tuple[int, int, int]

# six colours each, from the darkest to the lightest
_PALETTES = (
    "22223b 4a4e69 9a6b7c c98c70 e8c39e f2e9e4",
    "0b2545 13415f 3d7a80 8da9a4 d9b46c eef4ed",
    "2b2118 6b3e26 b5542f e28f41 f3c77b fbf0d9",
    "132a13 31572c 5a8f3c 9dbf5b dcd277 f6f3d4",
    "1b1b3a 693668 a74482 f2637e fca08b fde8d0",
    "102a2e 1f5c5c 2a9d8f e9a44a e76f51 f7ead2",
    "261447 ad2e5c e4572e f2a541 76b5c5 f3f1e0",
    "1d2d2a 3c5a4c 7a8f69 bfa98a dcc7a1 f4efe3",
    "0d1b2a 274060 4f7cac 9ec5d8 f2b5a7 fbf3ee",
    "33272a 7d3c4b c2595b df9a7b 8fb9a8 f1f2d0",
    "20242c 4b5563 8a94a3 d1495b edae49 f4f1ea",
    "1e3d2f 4f772d c1666b d4b483 e4dfda fdfbf5",
)


@dataclass(frozen=True)
class Palette:
    """Six colours from the darkest to the lightest."""

    colours: tuple[Colour, ...]

    @property
    def dark(self) -> Colour:
        return self.colours[0]

    @property
    def light(self) -> Colour:
        return self.colours[-1]

    @property
    def middle(self) -> tuple[Colour, ...]:
        return self.colours[1:-1]

    def pick(self, rng: np.random.Generator) -> Colour:
        """One of the four colours between the extremes."""
        return self.middle[rng.integers(4)]


def choose_palette(rng: np.random.Generator) -> Palette:
    """A palette, its hues turned and its saturation changed a little, so that no two seeds print with the same inks."""
    text = _PALETTES[rng.integers(len(_PALETTES))]
    turn, strength = rng.normal(0, 0.03), rng.uniform(0.75, 1.15)
    return Palette(tuple(_turned(_from_hex(word), turn, strength) for word in text.split()))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """A colour on the way from `one` (share 0) to `other` (share 1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def jitter(rng: np.random.Generator, colour: Colour, spread: float = 12) -> Colour:
    """The colour with its brightness, and a little of its hue, drawn anew; `spread` in 8-bit levels."""
    shift = rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    red, green, blue = np.clip(np.asarray(colour) + shift, 0, 255).astype(int).tolist()
    return red, green, blue


def _from_hex(word: str) -> Colour:
    return int(word[:2], 16), int(word[2:4], 16), int(word[4:], 16)


def _turned(colour: Colour, turn: float, strength: float) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    red, green, blue = colorsys.hsv_to_rgb((hue + turn) % 1, min(1, saturation * strength), value)
    return round(red * 255), round(green * 255), round(blue * 255)
