"""Seeded copies of pictures as found on the web: resized, cropped, recompressed, mirrored."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path

import numpy as np
from PIL import Image

from curate.errors import ImageError
from curate.images.decode import open_image, to_rgb

__all__ = ["COPIES", "pictures"]

Copy = Callable[[Image.Image, np.random.Generator], Image.Image]


def pictures(folders: list[Path]) -> Iterator[tuple[Path, Image.Image]]:
    """Every picture below some folders, in colours; what is none is passed over."""
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        try:
            with path.open("rb") as file, open_image(io.BytesIO(file.read())) as image:
                yield path, to_rgb(image)
        except ImageError:
            continue


def _saved(quality: int) -> Copy:
    def copy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return copy


def _resized(scale: float) -> Copy:
    def copy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        size = round(picture.width * scale), round(picture.height * scale)
        return picture.resize(size, Image.Resampling.BICUBIC)

    return copy


def _cropped(share: float) -> Copy:
    """Crop a part with this share of the area, of similar proportions, anywhere."""

    def copy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        stretch = min(max(np.exp(rng.uniform(-0.1, 0.1)), sqrt(share)), 1 / sqrt(share))
        width, height = (
            int(picture.width * sqrt(share) * stretch),
            int(picture.height * sqrt(share) / stretch),
        )
        x, y = (
            int(rng.integers(picture.width - width + 1)),
            int(rng.integers(picture.height - height + 1)),
        )
        return picture.crop((x, y, x + width, y + height))

    return copy


def _all_at_once(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    part = _cropped(rng.uniform(0.5, 0.9))(picture, rng)
    resized = _resized(float(rng.uniform(0.5, 2)))(part, rng)
    return _saved(int(rng.integers(30, 96)))(resized, rng)


COPIES: dict[str, Copy] = {
    **{f"JPEG, quality {quality}": _saved(quality) for quality in (95, 75, 50, 30)},
    **{f"resized x {scale:g}": _resized(scale) for scale in (0.5, 0.7, 1.5, 2)},
    "mirrored": lambda picture, rng: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda picture, rng: picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    **{
        f"cropped to {share:.0%}": _cropped(share)
        for share in (0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25)
    },
    "cropped to 50-90 %, resized x 0.5-2, JPEG 30-95": _all_at_once,
}
"""Name -> (picture, generator) -> copy. Crops are shares of the area."""
