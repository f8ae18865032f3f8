"""Bytes -> the picture that a labeller looks at: upright, 8-bit RGB, no larger than it needs."""

from __future__ import annotations

from typing import IO

from PIL import Image

from curate.decode import open_image, to_rgb

__all__ = ["decode"]


def decode(source: IO[bytes], side: int) -> Image.Image:
    """Read the first frame of an image.

    A JPEG is scaled down while it is decoded (by 2, 4 or 8 in the DCT domain), to no less than twice `side`: it is
    resized to `side` anyway, and decoding all of a 50 megapixel photograph would take most of the labelling time.

    Args:
        source: file.
        side: pixels of the shorter side that the labeller wants.

    Raises:
        ImageError: if the image can't be decoded.
    """
    with open_image(source) as image:
        image.draft("RGB", (2 * side, 2 * side))
        return to_rgb(image)
