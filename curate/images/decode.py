"""Bytes of an image file -> pixels: the one way this package decodes."""

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
"""What is decoded, where Pillow or a plugin can: what the web uses, and nothing as dangerous as PostScript. HEIF and
JXL need plugins, `pip install 'curate[formats]'`."""

_MOST_SCANS = 500
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""Markers of JPEG but those that stand between coded bytes."""

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
            with Image.open(source, formats=[_format(source)]) as image:
                yield image
        except UnidentifiedImageError as error:
            raise ImageError(Reason.DECODE_FAILED, "its header is damaged") from error
        except Image.DecompressionBombError as error:
            raise ImageError(Reason.TOO_MANY_PIXELS, str(error)) from error
        except _DAMAGED as error:
            raise ImageError(Reason.DECODE_FAILED, str(error) or type(error).__name__) from error


def _format(source: IO[bytes]) -> str:
    """What a file is by its first bytes, if there is a decoder for it; Pillow is asked for that one only."""
    source.seek(0)
    found = sniff(source.read(HEAD))
    if found is None:
        raise ImageError(Reason.FORMAT_UNSUPPORTED, "it begins like no image")
    if found not in installed():
        extra = ": run  pip install 'curate[formats]'" if found in ("HEIF", "JXL") else ""
        raise ImageError(Reason.FORMAT_UNSUPPORTED, f"no decoder for {found} is installed{extra}")
    source.seek(0)
    if found == "JXL":
        _refuse_bomb(source)
    if found == "JPEG":
        _refuse_scans(source)
    return found


@cache
def installed() -> frozenset[str]:
    """Those of FORMATS that Pillow can open, once the plugins that are there are registered: in whichever process."""
    Image.init()
    with suppress(ImportError):
        import pillow_heif

        # a worker has one thread; and what is measured is the image, never the thumbnail that came with it
        pillow_heif.register_heif_opener(
            decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
        )
    with suppress(ImportError):
        from pillow_jxl import JpegXLImagePlugin

        JpegXLImagePlugin.DECODE_THREADS = 0
    return frozenset(name for name in FORMATS if name in Image.OPEN)


def _refuse_bomb(source: IO[bytes]) -> None:
    """The plugin for JPEG XL decodes all when it opens, before anybody can look at the size."""
    header = read_header(source.read())
    source.seek(0)
    if header.width is None or header.height is None:
        raise ImageError(Reason.DECODE_FAILED, "its header is damaged")
    if header.width * header.height > MAX_PIXELS:
        raise ImageError(Reason.TOO_MANY_PIXELS, f"{header.width} x {header.height}")


def _refuse_scans(source: IO[bytes]) -> None:
    """A progressive JPEG is decoded scan by scan, over all of its pixels each time, and scans of nothing cost nothing.

    Hence a small file can take hours. Encoders make some ten, and the most that the format has a use for is hundreds.
    """
    data = source.read()
    source.seek(0)
    at, scans = 2, 0
    while (marker := _MARKER.search(data, at)) and marker[0][1] != _EOI:
        at = marker.end()
        scans += marker[0][1] == _SOS
        if scans > _MOST_SCANS:
            raise ImageError(Reason.DECODE_FAILED, f"it has more than {_MOST_SCANS} scans")
        if marker[0][1] != _SOI:
            at += int.from_bytes(data[at : at + 2])


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none, or none that makes sense.

    HEIF and JPEG XL have turns of their own, which their decoders make; what EXIF repeats of them is not to be made
    again (ISO/IEC 18181-2, 23008-12). Only a JPEG within a JPEG XL file is still as EXIF says.
    """
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1
    value = image.getexif().get(0x0112, 1)
    return (
        int(value) if value in _UPRIGHT else 1
    )  # int, since a damaged header gives it as a fraction


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any Pillow mode as 8-bit RGB: upright by EXIF, transparency over white, 16-bit samples over 257.

    Colours are the encoded values: an ICC profile is not applied, as in the field's datasets.
    """
    return upright(_in_colours(_flat(image)), image)


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
    luma = flat if flat.mode == "L" else _in_colours(flat).convert("L")
    return np.asarray(upright(luma, image))  # turned last, when it is a third of the work


def decode_luma(data: bytes) -> NDArray[np.uint8]:
    """Return the luma of an image file's bytes; see `to_luma`.

    Raises:
        ImageError: if they can't be decoded.
    """
    with open_image(io.BytesIO(data)) as image:
        return to_luma(image)


def _in_colours(flat: Image.Image) -> Image.Image:
    return flat if flat.mode == "RGB" else flat.convert("RGB")  # which would copy it


def upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
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
        colours = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(colours, mask=colours)
        return white
    return image
