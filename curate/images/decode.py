"""Decoding of image files: the only place of the package that does it."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from curate.errors import ImageError, Reason
from curate.images.file_format import HEAD, sniff
from curate.images.header import read_header

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "decode_luma",
    "decode_small",
    "installed",
    "open_image",
    "orientation",
    "to_luma",
    "to_rgb",
    "upright",
]

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)
"""Pillow's own limit on what it opens."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "HEIF", "JXL")
"""Formats of the web, decoded where Pillow or a plugin can; none is as dangerous as PostScript.
HEIF and JXL need plugins, `pip install 'curate[formats]'`."""

_MAX_SCANS = 500
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""Markers of JPEG except those between coded bytes."""

_DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError, EOFError,
    OverflowError, ArithmeticError, AssertionError, NotImplementedError, RuntimeError, struct.error,
    zlib.error,
)  # fmt: skip
"""Errors that Pillow's decoders were seen to raise for damaged or hostile files."""

_TURNS = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
_UPRIGHT = {value: Image.Transpose[turn] for value, turn in enumerate(_TURNS.split(), start=2)}
"""EXIF orientation -> turn that makes pixels upright."""


@contextmanager
def open_image(source: IO[bytes]) -> Iterator[Image.Image]:
    """Open an image file; pixels are decoded on their first use within the block.

    Raises:
        ImageError: if it is no image, damaged, over MAX_PIXELS, or its format isn't installed.
    """
    with warnings.catch_warnings():
        # the caller judges the size; odd EXIF or TIFF tags don't make an image unusable
        warnings.simplefilter("ignore")
        try:
            with Image.open(source, formats=[_format(source)]) as image:
                yield image
        except UnidentifiedImageError as error:
            raise ImageError(Reason.DECODE_FAILED, "its header is damaged") from error
        except Image.DecompressionBombError as error:
            raise ImageError(Reason.TOO_MANY_PIXELS, str(error)) from error
        except _DAMAGED as error:
            raise ImageError(Reason.DECODE_FAILED, str(error) or type(error).__name__) from error


def _format(source: IO[bytes]) -> str:
    """Return the format by the first bytes; Pillow then tries no other.

    Raises:
        ImageError: if there is no decoder for it, or decoding would take too long.
    """
    source.seek(0)
    found = sniff(source.read(HEAD))
    if found is None:
        raise ImageError(Reason.FORMAT_UNSUPPORTED, "it begins like no image")
    if found not in installed():
        extra = ": run  pip install 'curate[formats]'" if found in ("HEIF", "JXL") else ""
        raise ImageError(Reason.FORMAT_UNSUPPORTED, f"no decoder for {found} is installed{extra}")
    source.seek(0)
    if found in ("JXL", "JPEG"):
        data = source.read()
        source.seek(0)
        _refuse_bomb(data) if found == "JXL" else _refuse_scans(data)
    return found


@cache
def installed() -> frozenset[str]:
    """Return the FORMATS that this process can open, after registering the plugins found."""
    Image.init()
    with suppress(ImportError):
        import pillow_heif

        # a worker has one thread; and only the image itself is measured, never its thumbnail
        parts = {"thumbnails": False, "depth_images": False, "aux_images": False}
        pillow_heif.register_heif_opener(decode_threads=1, **parts)
    with suppress(ImportError):
        from pillow_jxl import JpegXLImagePlugin

        JpegXLImagePlugin.DECODE_THREADS = 0
    return frozenset(name for name in FORMATS if name in Image.OPEN)


def _refuse_bomb(data: bytes) -> None:
    """Raise ImageError for a JPEG XL of too many pixels, as its plugin decodes it on opening."""
    header = read_header(data)
    if header.width is None or header.height is None:
        raise ImageError(Reason.DECODE_FAILED, "its header is damaged")
    if header.width * header.height > MAX_PIXELS:
        raise ImageError(Reason.TOO_MANY_PIXELS, f"{header.width} x {header.height}")


def _refuse_scans(data: bytes) -> None:
    """Raise ImageError for a JPEG of too many scans.

    Each scan of a progressive JPEG is decoded over all of its pixels, and empty scans take no
    bytes. So a small file can take hours. Encoders write some ten scans; the format has a use for
    hundreds at most.
    """
    at, scans = 2, 0
    # jump from segment to segment by their lengths, and over coded bytes by the search
    while (marker := _MARKER.search(data, at)) and marker[0][1] != _EOI:
        at = marker.end()
        scans += marker[0][1] == _SOS
        if scans > _MAX_SCANS:
            raise ImageError(Reason.DECODE_FAILED, f"it has more than {_MAX_SCANS} scans")
        if marker[0][1] != _SOI:
            at += int.from_bytes(data[at : at + 2])


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none, or a senseless one.

    Decoders of HEIF and JPEG XL apply the formats' own turns, which EXIF only repeats (ISO/IEC
    18181-2, 23008-12). Only a JPEG within a JPEG XL file still needs EXIF's turn.
    """
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1
    value = image.getexif().get(0x0112, 1)
    return int(value) if value in _UPRIGHT else 1  # a damaged header can hold a fraction


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB: upright, over white, 16-bit samples over 257.

    Colours are the encoded values: an ICC profile is not applied, as in the field's datasets.
    """
    return upright(_in_colours(_flat(image)), image)


def decode_small(source: IO[bytes], side: int) -> Image.Image:
    """Return the first frame as `to_rgb` does, for a use of `side` pixels of its shorter side.

    A JPEG is scaled down while it is decoded (by 2, 4 or 8 in the DCT domain), to no less than
    twice `side`: decoding all of a 50 megapixel photograph would take most of the time.

    Raises:
        ImageError: if the image can't be decoded.
    """
    with open_image(source) as image:
        image.draft("RGB", (2 * side, 2 * side))
        return to_rgb(image)


def to_luma(image: Image.Image) -> NDArray[np.uint8]:
    """Return the ITU-R 601 luma (Pillow's `L`) of `to_rgb`, shape (height, width)."""
    flat = _flat(image)
    luma = flat if flat.mode == "L" else _in_colours(flat).convert("L")
    # turned last, when it is a third of the work
    return np.asarray(upright(luma, image))


def decode_luma(data: bytes) -> NDArray[np.uint8]:
    """Return the luma of an image file's bytes; see `to_luma`.

    Raises:
        ImageError: if they can't be decoded.
    """
    with open_image(io.BytesIO(data)) as image:
        return to_luma(image)


def _in_colours(flat: Image.Image) -> Image.Image:
    # converting an RGB image would copy it
    return flat if flat.mode == "RGB" else flat.convert("RGB")


def upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """Return the image's pixels turned by its orientation.

    ImageOps.exif_transpose fails where it can't write the EXIF back.
    """
    turn = _UPRIGHT.get(orientation(image))
    return pixels if turn is None else pixels.transpose(turn)


def _flat(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits a sample, and without transparency."""
    image.load()  # now a TIFF turns itself, and drops its orientation
    # 16 bits to 8
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image, dtype=np.float32) / 257
        return Image.fromarray(samples.clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        # paste over white
        colours = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(colours, mask=colours)
        return white
    return image
