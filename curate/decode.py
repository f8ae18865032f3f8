"""Bytes of an image file -> pixels: the one way this package decodes."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from curate.errors import ImageError, Reason

__all__ = ["MAX_PIXELS", "open_image", "to_luma", "to_rgb"]

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)
"""Pillow's own limit on what it opens."""

_DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError, EOFError, OverflowError,
    ArithmeticError, AssertionError, NotImplementedError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders were seen to raise for damaged or hostile files."""


@contextmanager
def open_image(source: IO[bytes]) -> Iterator[Image.Image]:
    """Open an image file; pixels are decoded when they are first asked for, within the block.

    Raises:
        ImageError: if it is no image, one in a format that isn't installed, a damaged one, or one of over MAX_PIXELS.
    """
    with warnings.catch_warnings():
        # size is judged by the caller; odd EXIF or TIFF tags don't make an image unusable
        warnings.simplefilter("ignore")
        try:
            with Image.open(source) as image:
                yield image
        except UnidentifiedImageError as error:
            raise ImageError(Reason.FORMAT_UNSUPPORTED, "no installed decoder knows it") from error
        except Image.DecompressionBombError as error:
            raise ImageError(Reason.TOO_MANY_PIXELS, str(error)) from error
        except _DAMAGED as error:
            raise ImageError(Reason.DECODE_FAILED, str(error) or type(error).__name__) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any Pillow mode as 8-bit RGB: upright by EXIF, transparency over white, 16-bit samples over 257.

    Colours are the encoded values: an ICC profile is not applied, as in the field's datasets.
    """
    return _flat(ImageOps.exif_transpose(image)).convert("RGB")


def to_luma(image: Image.Image) -> NDArray[np.uint8]:
    """ITU-R 601 luma (Pillow's `L`) of an image of any mode, shape (height, width), upright by EXIF; see `to_rgb`."""
    flat = _flat(image)
    luma = flat if flat.mode == "L" else flat.convert("RGB").convert("L")
    # turned last, when it is a third of the work
    if (exif := image.getexif()).get(0x0112, 1) != 1:
        luma.getexif()[0x0112] = exif[0x0112]
        ImageOps.exif_transpose(luma, in_place=True)
    return np.asarray(luma)


def _flat(image: Image.Image) -> Image.Image:
    """8 bits a sample, no transparency."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image, dtype=np.float32) / 257
        return Image.fromarray(samples.clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image
