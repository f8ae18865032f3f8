"""Bytes -> the picture that a labeller looks at: upright, 8-bit RGB, no larger than it needs."""

from __future__ import annotations

import struct
import zlib
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from curate.errors import ImageError, Reason

__all__ = ["decode", "to_rgb"]

_DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, OverflowError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow's decoders raise for damaged images."""


def decode(source: IO[bytes] | str, side: int) -> Image.Image:
    """Read the first frame of an image, turned upright by its EXIF orientation.

    A JPEG is scaled down while it is decoded (by 2, 4 or 8 in the DCT domain), to no less than twice `side`: it is
    resized to `side` anyway, and decoding all of a 50 megapixel photograph would take most of the labelling time.

    Args:
        source: file or path.
        side: pixels of the shorter side that the labeller wants.

    Raises:
        ImageError: if the image is damaged.
    """
    try:
        with Image.open(source) as image:
            image.draft("RGB", (2 * side, 2 * side))
            return to_rgb(image)
    except _DAMAGED as error:
        raise ImageError(Reason.DECODE_FAILED, str(error)) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any Pillow mode as RGB: upright, transparency over white, 16-bit samples scaled to 8."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image, dtype=np.float32) / 257
        image = Image.fromarray(samples.clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
