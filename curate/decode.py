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
from PIL import Image, UnidentifiedImageError

from curate.errors import ImageError, Reason

__all__ = ["FORMATS", "MAX_PIXELS", "decode_small", "open_image", "orientation", "to_luma", "to_rgb"]

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)
"""Pillow's own limit on what it opens."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "HEIF", "JXL")
"""What is decoded, where Pillow or a plugin can: what the web uses, and nothing as dangerous as PostScript."""

_DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError, EOFError, OverflowError,
    ArithmeticError, AssertionError, NotImplementedError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders were seen to raise for damaged or hostile files."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
            Image.init()
            with Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                yield image
        except UnidentifiedImageError as error:
            if _begins_like_an_image(source):
                raise ImageError(Reason.DECODE_FAILED, "its header is damaged") from error
            raise ImageError(Reason.FORMAT_UNSUPPORTED, "no installed decoder knows it") from error
        except Image.DecompressionBombError as error:
            raise ImageError(Reason.TOO_MANY_PIXELS, str(error)) from error
        except _DAMAGED as error:
            raise ImageError(Reason.DECODE_FAILED, str(error) or type(error).__name__) from error


def _begins_like_an_image(source: IO[bytes]) -> bool:
    """Whether an installed decoder takes the first bytes for its own."""
    source.seek(0)
    prefix = source.read(16)
    accepts = (Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN)
    return any(accept is not None and accept(prefix) is True for accept in accepts)


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none, or none that makes sense."""
    value = image.getexif().get(0x0112, 1)
    return int(value) if value in _UPRIGHT else 1  # int, since a damaged header gives it as a fraction


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any Pillow mode as 8-bit RGB: upright by EXIF, transparency over white, 16-bit samples over 257.

    Colours are the encoded values: an ICC profile is not applied, as in the field's datasets.
    """
    return _upright(_flat(image).convert("RGB"), image)


def decode_small(source: IO[bytes], side: int) -> Image.Image:
    """The first frame of an image as `to_rgb` gives it, for whoever wants `side` pixels of its shorter side at most.

    A JPEG is scaled down while it is decoded (by 2, 4 or 8 in the DCT domain), to no less than twice `side`: it is
    resized to `side` anyway, and decoding all of a 50 megapixel photograph would take most of the time.

    Args:
        source: file.
        side: pixels of the shorter side that are wanted.

    Raises:
        ImageError: if the image can't be decoded.
    """
    with open_image(source) as image:
        image.draft("RGB", (2 * side, 2 * side))
        return to_rgb(image)


def to_luma(image: Image.Image) -> NDArray[np.uint8]:
    """ITU-R 601 luma (Pillow's `L`) of an image of any mode, shape (height, width), upright by EXIF; see `to_rgb`."""
    flat = _flat(image)
    luma = flat if flat.mode == "L" else flat.convert("RGB").convert("L")
    return np.asarray(_upright(luma, image))  # turned last, when it is a third of the work


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """The image's pixels, turned as it says. ImageOps.exif_transpose fails where it can't write the EXIF back."""
    turn = _UPRIGHT.get(orientation(image))
    return pixels if turn is None else pixels.transpose(turn)


def _flat(image: Image.Image) -> Image.Image:
    """8 bits a sample, no transparency."""
    image.load()  # a TIFF turns itself then, and drops its orientation
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image, dtype=np.float32) / 257
        return Image.fromarray(samples.clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image
