"""Errors of decoders: damage, or a layout that they don't read."""

from __future__ import annotations

import re
import struct
import zlib

from PIL import Image

from curate.errors import ImageError, Reason

__all__ = ["DECODER_ERRORS", "as_image_error"]

DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError,
    ArithmeticError, AssertionError, RuntimeError, MemoryError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""Errors that decoders were seen to raise for damaged, hostile or unusual files."""

_CANNOT = re.compile(
    r"unsupported|not supported|not implemented|not available|cannot handle|cannot find loader"
    r"|unable to determine|unknown (pixel mode|data organization|raw mode|compression)"
    r"|conversion from|unrecognized",
    re.IGNORECASE,
)
"""Words of decoders for sound files that they don't read."""


def as_image_error(error: BaseException) -> ImageError:
    """Return a decoder's error with the reason that its kind and its words stand for."""
    detail = str(error) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(Reason.TOO_MANY_PIXELS, detail)
    if isinstance(error, MemoryError):
        return ImageError(Reason.TOO_COSTLY, "decoding it takes too much memory")
    if isinstance(error, NotImplementedError) or _CANNOT.search(detail):
        return ImageError(Reason.FORMAT_UNSUPPORTED, detail)
    return ImageError(Reason.DECODE_FAILED, detail)
