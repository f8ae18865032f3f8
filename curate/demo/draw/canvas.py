"""The canvas that everything is drawn on, at twice the picture's size, and reduced at the end."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from curate.demo.draw import colours, textures
from curate.demo.draw.colours import BLACK, MATERIALS, Colour, Paint
from curate.demo.draw.shapes import Outline, Points

__all__ = ["FACES", "Canvas", "Layer"]

FACES = ("DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSans", "STIXGeneral", "STIXGeneralBol")
"""Fonts of matplotlib, by the names of their files."""
SMALL = 80
"""Area in pixels of the double size below which a shape is drawn without its texture."""

Box = tuple[int, int, int, int]
T = TypeVar("T")


class Canvas:
    """A picture that is being drawn, or a view of it with coordinates of its own.

    The picture's origin is its top left corner, its height is 1 and its width is `wide`.

    Attributes:
        rng: decides everything that is left to chance.
        palette: six colours from the darkest to the lightest.
        shape: height and width of the finished picture in pixels.
        wide: width of the picture in units of its height.
        unit: the shorter side.
        level: height of the horizon, or of the line where a wall meets the floor.
        paints: paints that names mean here.
        words: texts that kinds of text mean here, and the font.
        outline: None paints textures; a number paints flat colours, with ink lines of that width.
        clean: True for a picture without the grain and softness of a camera.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        """Prepare an empty picture of a size (width, height) in pixels."""
        self.rng = rng
        self.palette = colours.choose_palette(rng)
        self.shape = (size[1], size[0])
        self.wide = size[0] / size[1]
        self.unit = min(1.0, self.wide)
        self.level = self.uniform(0.42, 0.6)
        self.paints: dict[str, Paint] = {}
        self.words: dict[str, str] = {}
        self.outline: float | None = None
        self.clean = False
        # some pictures are smooth and some are rough
        self._detail = float(np.clip(rng.lognormal(0, 0.5), 0.4, 2.2))
        self._image = Image.new("RGB", (2 * size[0], 2 * size[1]), self.palette[5])
        self._tiles: dict[str, textures.Texture] = {}
        self._matrix = np.diag([2.0 * size[1], 2.0 * size[1], 1])

    # chance

    def uniform(self, low: float, high: float) -> float:
        """Return a number between two bounds."""
        return float(self.rng.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        """Return a whole number between two bounds, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """Return True in a share of cases."""
        return bool(self.rng.random() < share)

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[int(self.rng.integers(len(options)))]

    # colours

    def colour(self, name: str) -> Colour:
        """Return a colour: `hue`, `any`, `dark` or `light` of the palette, or a CSS colour."""
        parts = {"hue": slice(1, 5), "any": slice(6), "dark": slice(1), "light": slice(5, 6)}
        chosen = self.pick(self.palette[parts[name]]) if name in parts else colours.rgb(name)
        return colours.jitter(self.rng, chosen, 8)

    def paint(self, name: str) -> Paint:
        """Return the paint of a material or colour.

        Within a motif a name always means the same paint, and `wood2` another wood than `wood`.
        Each `+` or `-` at the end makes it lighter or darker, `~` a little different every time.
        """
        base = name.rstrip("+-~")
        if base not in self.paints:
            kind = base if base.startswith("#") else base.rstrip("0123456789")
            choices, texture, contrast = MATERIALS.get(kind, (kind, "paper", 0.04))
            ends = [self.colour(word) for word in self.pick(choices.split()).split("/")]
            self.paints[base] = colours.lit(*ends, texture=texture, contrast=contrast)
        paint = self.paints[base]
        if "~" in name:
            new = self.colour(base) if base in ("any", "hue") else paint.plain
            new = colours.jitter(self.rng, new, 14)
            paint = colours.lit(new, texture=paint.texture, contrast=paint.contrast)
        return paint.toned(0.22 * (name.count("+") - name.count("-")))

    def ink(self, name: str) -> Colour:
        """Return the plain colour of a paint."""
        return self.paint(name).plain

    def seen(self, height: float) -> Colour:
        """Return the mean colour of what is drawn at a height of the picture."""
        top = int(height * self._image.height)
        row = np.asarray(self._image.crop((0, top, self._image.width, top + 2)))
        red, green, blue = row.mean(axis=(0, 1)).astype(int).tolist()
        return red, green, blue

    # views

    def at(self, x: float, y: float, scale: float = 1, turn: float = 0, stretch: float = 1) -> Self:
        """Return a view with its origin at (x, y), scaled, and turned clockwise by radians.

        `stretch` is along x; a negative one mirrors the view.
        """
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        return self._view([[cos * stretch, -sin, x], [sin * stretch, cos, y], [0, 0, 1]])

    def floor(self) -> Self:
        """Return a view of the ground in perspective: x sideways from the middle, y distance."""
        middle = self.wide / 2
        return self._view([[1, middle, middle], [0, self.level, 1], [0, 1, 1]])

    def side(self, sign: int) -> Self:
        """Return a view of the left (-1) or right (1) wall in perspective: x the distance, y down.

        The origin lies on the picture's edge at the height of the horizon.
        """
        edge, middle = self.wide / 2 * (1 + sign), self.wide / 2
        return self._view([[middle, 0, edge], [self.level, 1, self.level], [1, 0, 1]])

    def renamed(self) -> Self:
        """Return a view in which every name of a paint or text means something new."""
        view = copy.copy(self)
        view.paints, view.words = {}, {"face": self.pick(FACES)}
        return view

    def inset(self, corners: Points, *layers: Layer, outline: float | None = None) -> None:
        """Draw layers as a picture of its own between the first and the third corner of a box."""
        left, top, right, bottom = (
            self._pixels(corners[[0, 2]]).round().ravel().astype(int).tolist()
        )
        inner = Canvas(self.rng, (max(4, (right - left) // 2), max(4, (bottom - top) // 2)))
        inner.palette, inner.outline = self.palette, outline
        for layer in layers:
            layer(inner)
        self._image.paste(inner._image, (left, top))

    # drawing

    def fill(self, shape: Outline, paint: str | Colour | Paint) -> None:
        """Fill a closed shape (n, 2) with a paint, or with a plain colour."""
        points = self._pixels(shape)
        paint = self.paint(paint) if isinstance(paint, str) else paint
        plain = self.outline is not None or np.ptp(points, axis=0).prod() < SMALL
        if isinstance(paint, Paint) and not plain:
            if cut := self._cut(points, 0, 255):
                mask, area = cut
                self._image.paste(Image.fromarray(self._patch(paint, *area)), area[:2], mask)
            return
        pen, corners = ImageDraw.Draw(self._image), points.ravel().tolist()
        pen.polygon(corners, paint.plain if isinstance(paint, Paint) else paint)
        if self.outline:
            width = max(1, round(self.outline * self._image.height))
            pen.line(corners + corners[:4], BLACK, width, "curve")

    def shadow(self, shape: Outline, drop: float, strength: float = 0.4) -> None:
        """Darken softly what lies under a shape, moved down by `drop`."""
        radius = drop * self._scales[1]
        points = self._pixels(np.asarray(shape) + (drop / 2, drop))
        if self.outline is None and (cut := self._cut(points, 3 * radius, round(255 * strength))):
            mask, area = cut
            self._image.paste(BLACK, area[:2], mask.filter(ImageFilter.BoxBlur(radius)))

    def glow(self, x: float, y: float, radius: float, paint: str, strength: float = 0.55) -> None:
        """Lay light around (x, y) that fades with the distance."""
        radius *= self._scales[1]
        ramp = np.linspace(-1, 1, max(2, round(2 * radius)), dtype=np.float32) ** 2
        fade = np.clip(1 - np.sqrt(ramp[:, None] + ramp), 0, 1) ** 2 * 255 * strength
        left, top = (self._pixels([[x, y]])[0] - radius).round().astype(int).tolist()
        if self.outline is None:
            mask = Image.fromarray(fade.astype(np.uint8))
            self._image.paste(self.ink(paint), (left, top), mask)

    def text(
        self, x: float, y: float, words: str, height: float, paint: str, *,
        face: str, anchor: str = "mm", fit: float = np.inf,
    ) -> None:  # fmt: skip
        """Write words with their anchor at (x, y).

        `height` is the font's size, smaller where the words would be wider than `fit`.
        """
        across, down = self._scales
        width = _font(face, 100).getlength(words) / 100 * height * down
        letters = _font(face, max(6, round(height * down * min(1, fit * across / max(width, 1)))))
        at = self._pixels([[x, y]])[0].tolist()
        ImageDraw.Draw(self._image).text(at, words, self.ink(paint), letters, anchor)

    def cover(self, pixels: ArrayLike) -> None:
        """Replace everything drawn so far by pixels (height, width, 3) from 0 to 255."""
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        self._image.paste(picture.resize(self._image.size, Image.Resampling.NEAREST))

    def finish(self) -> Image.Image:
        """Return the picture with the softness and grain of a camera, unless it is clean."""
        picture = self._image.reduce(2)
        if self.clean:
            return picture
        if self.chance(0.3):
            picture = picture.filter(ImageFilter.GaussianBlur(self.uniform(0.4, 1.0)))
        sigma = float(np.clip(self.rng.lognormal(1.2, 0.7), 0.8, 14))
        grain = self.rng.standard_normal((*self.shape, 1), dtype=np.float32)
        pixels = np.asarray(picture, dtype=np.float32) + sigma * grain + 0.5
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    # pixels of the double size

    def _view(self, matrix: Any) -> Self:
        view = copy.copy(self)
        view._matrix = self._matrix @ np.asarray(matrix)
        return view

    def _pixels(self, shape: Outline) -> Points:
        points = np.asarray(shape, dtype=float) @ self._matrix[:, :2].T + self._matrix[:, 2]
        return points[:, :2] / points[:, 2:]

    @property
    def _scales(self) -> tuple[float, float]:
        """Pixels in a unit of width and of height, at the origin."""
        matrix = self._matrix
        along = (matrix[:2, :2] - matrix[:2, 2:] / matrix[2, 2] * matrix[2, :2]) / matrix[2, 2]
        across, down = np.hypot(*along).tolist()
        return across, down

    def _cut(self, points: Points, margin: float, level: int) -> tuple[Image.Image, Box] | None:
        """Return a polygon as a mask of its bounding box and margin; None outside the picture."""
        low = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
        high = np.ceil(points.max(axis=0) + margin).astype(int) + 1
        (left, top), (right, bottom) = low.tolist(), np.minimum(high, self._image.size).tolist()
        if right <= left or bottom <= top:
            return None
        mask = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).polygon((points - low).ravel().tolist(), fill=level)
        return mask, (left, top, right, bottom)

    def _patch(
        self, paint: Paint, left: int, top: int, right: int, bottom: int
    ) -> NDArray[np.uint8]:
        """Return the pixels of a box that is filled with a paint."""
        if paint.texture not in self._tiles:
            variant = self.whole(0, textures.VARIANTS - 1)
            self._tiles[paint.texture] = textures.tile(paint.texture, variant)
        rows, columns = np.arange(top, bottom), np.arange(left, right)
        grain = self._tiles[paint.texture].take(rows, 0, mode="wrap").take(columns, 1, mode="wrap")
        grain *= 255 * paint.contrast * self._detail
        # the colour changes by a step a row and a step a column
        down, across = np.sin(paint.angle), np.cos(paint.angle)
        change = np.subtract(paint.to, paint.colour, dtype=np.float32) / (down + across)
        rows, columns = (rows - top) * down / len(rows), (columns - left) * across / len(columns)
        pixels = (
            np.asarray(paint.colour, dtype=np.float32)
            + rows[:, None, None].astype(np.float32) * change
        )
        pixels = pixels + columns[:, None].astype(np.float32) * change + grain[..., None]
        return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


Layer = Callable[[Canvas], None]
"""Function that draws on a canvas: a backdrop, a pattern, motifs on the ground."""


@lru_cache(maxsize=256)
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a font that needs no installation, since matplotlib ships it."""
    # find_spec doesn't run matplotlib, whose import takes longer than a picture
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None, "matplotlib is a core dependency"
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data/fonts/ttf" / f"{face}.ttf", size)
