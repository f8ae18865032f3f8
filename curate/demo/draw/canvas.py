"""The canvas: shapes filled with plain or textured paint at twice the size, reduced at the end."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from curate.demo.draw import fields
from curate.demo.draw.colours import Colour, mix
from curate.demo.draw.shapes import Outline, Points, rectangle

__all__ = ["Canvas", "Paint", "finish", "font", "shaded"]

_TILE = (512, 512)
_VARIANTS = 8
"""Tiles of each texture: making one takes longer than drawing some pictures, so they are shared."""
_TEXTURES: dict[str, Callable[[np.random.Generator], fields.Field]] = {
    "paper": lambda rng: fields.noise(rng, _TILE, 0.4, 0.8),
    "cloud": lambda rng: fields.noise(rng, (1024, 1024), 1.6),
    "stone": lambda rng: fields.noise(rng, _TILE, 0.8),
    "fur": lambda rng: fields.hatching(rng, _TILE, rng.uniform(0.3, 0.9), 8, 1.2),
    "grass": lambda rng: fields.hatching(rng, _TILE, np.pi / 2 + rng.normal(0, 0.15), 10, 1.2),
    "water": lambda rng: fields.hatching(rng, _TILE, 0, 24, 2.2),
    "brush": lambda rng: fields.hatching(rng, _TILE, rng.uniform(-0.4, 0.4), 18, 1.4),
    "weave": lambda rng: fields.weave(rng, _TILE, 8),
    "knit": lambda rng: fields.knit(rng, _TILE, 16),
    "wood": lambda rng: fields.wood(rng, _TILE),
}
_FACES = {
    "sans": "DejaVuSans", "bold": "DejaVuSans-Bold", "oblique": "DejaVuSans-BoldOblique", "mono": "DejaVuSansMono",
    "serif": "DejaVuSerif", "serifbold": "DejaVuSerif-Bold", "italic": "DejaVuSerif-Italic",
    "book": "STIXGeneral", "bookbold": "STIXGeneralBol", "plain": "",
}  # fmt: skip


Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the double size."""


@dataclass(frozen=True)
class Paint:
    """What a shape is filled with.

    The colour runs to `to` along `angle` (radians; a quarter turn is downwards) over the shape's bounding box, and is
    made lighter and darker by a texture of `contrast` (standard deviation, as a share of full scale).
    """

    colour: Colour
    to: Colour | None = None
    texture: str = "paper"
    contrast: float = 0.05
    angle: float = np.pi / 2


def shaded(
    colour: Colour, texture: str = "paper", contrast: float = 0.06, shade: float = 0.25
) -> Paint:
    """A surface lit from the top left."""
    return Paint(
        mix(colour, (255, 250, 235), shade / 2),
        mix(colour, (20, 15, 40), shade),
        texture,
        contrast,
        1.1,
    )


class Canvas:
    """A picture under way. Its height is 1 and its width `wide`, the origin is the top left corner.

    `detail` multiplies the contrast of every texture: some pictures are smooth and some are rough.
    """

    def __init__(
        self, rng: np.random.Generator, size: tuple[int, int], ground: Colour | Paint
    ) -> None:
        self.rng = rng
        self.wide = size[0] / size[1]
        self.detail = float(np.clip(rng.lognormal(0, 0.55), 0.3, 2.2))
        self._scale = 2 * size[1]
        self._image = Image.new("RGB", (2 * size[0], 2 * size[1]))
        self._draw = ImageDraw.Draw(self._image)
        self._tiles: dict[str, fields.Field] = {}
        self.fill(self.whole, ground)

    @property
    def whole(self) -> Points:
        """The whole picture as a shape."""
        return rectangle(0, 0, self.wide, 1)

    @property
    def unit(self) -> float:
        """The shorter side."""
        return min(1.0, self.wide)

    def fill(self, shape: Outline, paint: Colour | Paint) -> None:
        """Fill a closed shape, (n, 2) in units."""
        points = np.asarray(shape, dtype=np.float64) * self._scale
        if not isinstance(paint, Paint):
            self._draw.polygon(points.ravel().tolist(), fill=paint)
            return
        if cut := self._cut(points, 0, 255):
            mask, box = cut
            self._image.paste(Image.fromarray(self._patch(paint, *box)), box[:2], mask)

    def line(self, path: Outline, colour: Colour, width: float) -> None:
        """A line of even width through the points."""
        points = np.asarray(path, dtype=np.float64) * self._scale
        self._draw.line(
            points.ravel().tolist(),
            fill=colour,
            width=max(1, round(width * self._scale)),
            joint="curve",
        )

    def outlined(self, shape: Points, paint: Colour | Paint, ink: Colour, width: float) -> None:
        """A filled shape with an outline."""
        self.fill(shape, paint)
        self.line(np.concatenate([shape, shape[:2]]), ink, width)

    def shadow(
        self, shape: Outline, dx: float, dy: float, blur: float, strength: float = 0.35
    ) -> None:
        """Darken what lies under a shape moved by (dx, dy); `blur` in units."""
        points = (np.asarray(shape, dtype=np.float64) + (dx, dy)) * self._scale
        radius = float(blur * self._scale)
        if cut := self._cut(points, 3 * radius, round(255 * strength)):
            mask, box = cut
            self._image.paste((25, 18, 40), box[:2], mask.filter(ImageFilter.BoxBlur(radius)))

    def glow(
        self, x: float, y: float, radius: float, colour: Colour, strength: float = 0.6
    ) -> None:
        """Light that fades with the distance from (x, y)."""
        side = max(2, round(2 * radius * self._scale))
        ramp = np.linspace(-1, 1, side, dtype=np.float32) ** 2
        fade = np.clip(1 - np.sqrt(ramp[:, None] + ramp[None, :]), 0, 1) ** 2 * 255 * strength
        corner = (round((x - radius) * self._scale), round((y - radius) * self._scale))
        self._image.paste(colour, corner, Image.fromarray(fade.astype(np.uint8)))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        height: float,
        colour: Colour,
        face: str = "sans",
        *,
        anchor: str = "mm",
        turn: float = 0,
    ) -> None:
        """Write words with the anchor point at (x, y); `height` is the font's size in units, `turn` in degrees."""
        size = max(6, round(height * self._scale))
        if not turn:
            at = (x * self._scale, y * self._scale)
            self._draw.text(at, words, fill=colour, font=font(face, size), anchor=anchor)
            return
        box = font(face, size).getbbox(words, anchor="mm")
        reach = round(2 * max(abs(v) for v in box)) + 4
        mask = Image.new("L", (reach, reach))
        ImageDraw.Draw(mask).text(
            (reach / 2, reach / 2), words, fill=255, font=font(face, size), anchor="mm"
        )
        mask = mask.rotate(turn, Image.Resampling.BICUBIC)
        self._image.paste(
            colour, (round(x * self._scale - reach / 2), round(y * self._scale - reach / 2)), mask
        )

    def text_width(self, words: str, height: float, face: str = "sans") -> float:
        """The width of the words in units."""
        return float(font(face, max(6, round(height * self._scale))).getlength(words)) / self._scale

    def cover(self, picture: Image.Image) -> None:
        """Replace all that was drawn so far by another picture."""
        self._image.paste(picture.resize(self._image.size, Image.Resampling.BICUBIC))

    def roughen(self, texture: str, contrast: float) -> None:
        """Lay a texture over all that was drawn so far."""
        height, width = self._image.height, self._image.width
        field = self._field(texture, 0, 0, width, height) * (255 * contrast * self.detail)
        pixels = np.asarray(self._image, dtype=np.float32) + field[..., None]
        self._image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        self._draw = ImageDraw.Draw(self._image)

    def finish(self, *, clean: bool = False) -> Image.Image:
        """The picture at its size, with the grain and softness of a camera or press; `clean` pictures have neither."""
        reduced = self._image.reduce(2)
        return reduced if clean else finish(self.rng, reduced)

    def _cut(self, points: Points, margin: float, level: int) -> tuple[Image.Image, Box] | None:
        """A polygon in pixels as a mask of its bounding box and a margin; None where that lies outside the picture."""
        left, top = np.maximum(np.floor(points.min(axis=0) - margin).astype(int), 0).tolist()
        right, bottom = np.minimum(
            np.ceil(points.max(axis=0) + margin).astype(int) + 1, self._image.size
        ).tolist()
        if right <= left or bottom <= top:
            return None
        mask = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).polygon((points - (left, top)).ravel().tolist(), fill=level)
        return mask, (left, top, right, bottom)

    def _patch(
        self, paint: Paint, left: int, top: int, right: int, bottom: int
    ) -> NDArray[np.uint8]:
        tone = self._field(paint.texture, left, top, right, bottom) * (
            255 * paint.contrast * self.detail
        )
        patch = tone[..., None] + np.asarray(paint.colour, dtype=np.float32)
        if paint.to is not None:
            down, across = np.sin(paint.angle), np.cos(paint.angle)
            y, x = np.linspace(0, 1, bottom - top), np.linspace(0, 1, right - left)
            share = y[:, None] * down + x[None, :] * across - min(down, 0) - min(across, 0)
            share /= abs(down) + abs(across)
            patch += share.astype(np.float32)[..., None] * (
                np.asarray(paint.to, dtype=np.float32) - paint.colour
            )
        return np.clip(patch, 0, 255).astype(np.uint8)

    def _field(self, texture: str, left: int, top: int, right: int, bottom: int) -> fields.Field:
        if texture not in self._tiles:
            self._tiles[texture] = _tile(texture, int(self.rng.integers(_VARIANTS)))
        tile = self._tiles[texture]
        rows, columns = (
            np.arange(top, bottom) % tile.shape[0],
            np.arange(left, right) % tile.shape[1],
        )
        return tile[rows[:, None], columns[None, :]]


def finish(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Softness and grain, different for every picture, as lenses, sensors and presses give them."""
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0)))
    sigma = float(np.clip(rng.lognormal(0.9, 0.8), 0.5, 14))
    pixels = np.asarray(picture, dtype=np.float32)
    grain = rng.standard_normal((*pixels.shape[:2], 1), dtype=np.float32)
    return Image.fromarray(np.clip(pixels + sigma * grain + 0.5, 0, 255).astype(np.uint8))


@cache
def _tile(texture: str, variant: int) -> fields.Field:
    return _TEXTURES[texture](np.random.default_rng([zlib.crc32(texture.encode()), variant]))


@lru_cache(maxsize=256)
def font(face: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font that needs no installation: matplotlib's bundled ones, or Pillow's own ("plain")."""
    if face == "plain":
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(_font_folder() / f"{_FACES[face]}.ttf"), size)


@lru_cache(maxsize=1)
def _font_folder() -> Path:
    # find_spec doesn't run matplotlib, whose import takes longer than a picture
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None, "matplotlib is a core dependency"
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
