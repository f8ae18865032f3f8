"""Writing of image files: the only place of the package that does it for pictures of users."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from curate.errors import CurateError
from curate.images.decode import installed, to_rgb
from curate.images.picture_facts import PictureFacts, fits_profile, new_exif

__all__ = ["encode_picture", "holds_alpha", "writable_format"]


@dataclass(frozen=True)
class _Container:
    """Properties of a format as it is written here."""

    modes: tuple[str, ...]
    """Modes that it stores; others are converted."""
    options: dict[str, Any] = field(default_factory=dict)
    """Pillow's options."""
    lossless: bool = False
    exif: bool = False
    xmp: bool = False
    profile: bool = False
    dpi: bool = False
    """Whether it holds the resolution outside of EXIF data."""


_GREY_TOO = ("L", "LA", "RGB", "RGBA")
_COLOURS = ("RGB", "RGBA")
_OPAQUE = ("L", "RGB")
_CONTAINERS = {
    "PNG": _Container(_GREY_TOO, {}, True, True, True, True, True),
    "TIFF": _Container(_GREY_TOO, {}, True, True, True, True, True),
    "JPEG": _Container(
        _OPAQUE, {"quality": 95, "subsampling": "4:4:4"}, False, True, True, True, True
    ),
    "WEBP": _Container(_COLOURS, {"quality": 95, "exact": True}, False, True, True, True),
    "AVIF": _Container(_COLOURS, {"quality": 90}, False, True, True, True),
    "HEIF": _Container(_COLOURS, {"quality": 90}, False, True, True, True),
    "JXL": _Container(_COLOURS, {"quality": 95}, False, True, False, True),
    "JPEG2000": _Container(_GREY_TOO, {}, True),
    "BMP": _Container(_OPAQUE, {}, True, dpi=True),
    "PPM": _Container(_OPAQUE, {}, True),
    "TGA": _Container(_GREY_TOO, {}, True),
}

_SEGMENT = 65_533
"""Bytes that a segment of a JPEG file can hold."""
_XMP, _ICC = b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_RESOLUTION = (0x011A, 0x011B, 0x0128)
"""EXIF tags of pixels across, pixels down, and their unit, of which 2 is an inch."""

_BLOCK, _FARTHEST = 8, 12.0
"""Means over blocks of that side may differ by so many levels on average after a lossy format.

JPEG at quality 1 stays below; samples in the wrong place or of the wrong meaning are far above.
"""


def writable_format(path: Path) -> str | None:
    """Return Pillow's name of the format that a file's ending stands for; None if not writable."""
    installed()  # registers the plugins' formats too
    format_ = Image.registered_extensions().get(path.suffix.lower())
    return format_ if format_ in _CONTAINERS and format_ in Image.SAVE else None


def holds_alpha(format_: str) -> bool:
    """Return whether a writable format stores transparency."""
    return "RGBA" in _CONTAINERS[format_].modes


def encode_picture(
    pixels: Image.Image, format_: str, facts: PictureFacts | None = None, **options: Any
) -> bytes:
    """Return pixels as a file that was opened again and compared with them.

    Nothing but the pixels and the given facts is written: what else the image knows about the file
    that it came from (`info`, TIFF tags) is left out. Facts that the format can't hold are left
    out too, and all of them rather than the picture if it can't be read back with them.

    Args:
        pixels: L, LA, RGB or RGBA, upright; converted where the format doesn't store its mode.
        format_: Pillow's name of a format; see `writable_format`.
        facts: facts that belong to the picture.
        options: Pillow's options, beyond or instead of the format's own.

    Raises:
        CurateError: if the format can't hold the picture, or gives back another one.
    """
    container = _CONTAINERS[format_]
    bare = _bare(pixels, container.modes)
    facts = facts or PictureFacts()
    fault = ""
    for kept in dict.fromkeys([facts, PictureFacts(profile=facts.profile), PictureFacts()]):
        try:
            data = _write(bare, format_, container, kept, options)
            fault = _fault(data, format_, container, bare)
        except (OSError, ValueError, TypeError, RuntimeError, struct.error) as error:
            fault = str(error) or type(error).__name__
        if not fault:
            return data
    raise CurateError(f"the picture can't be written as {format_}: {fault}; choose another format")


def _bare(pixels: Image.Image, modes: Sequence[str]) -> Image.Image:
    """Return the pixels in a mode of the format, without anything that Pillow would add to them."""
    if pixels.mode not in modes:
        wanted = f"RGB{'A' if pixels.has_transparency_data and 'RGBA' in modes else ''}"
        pixels = pixels.convert("RGBA") if wanted == "RGBA" else to_rgb(pixels)
    bare = pixels.copy()  # of no file's class, whose tags Pillow would write
    bare.info = {}
    return bare


def _write(
    bare: Image.Image,
    format_: str,
    container: _Container,
    facts: PictureFacts,
    options: dict[str, Any],
) -> bytes:
    settings = container.options | options
    exif = new_exif(facts.exif if container.exif else b"")
    if facts.dpi and container.dpi:
        settings["dpi"] = facts.dpi
    if facts.dpi and container.exif and (len(exif) or not container.dpi):
        exif.update(zip(_RESOLUTION, (*facts.dpi, 2), strict=True))
    profile = facts.profile if fits_profile(facts.profile, bare.mode) else b""
    profile = profile if container.profile else b""
    xmp = facts.xmp if container.xmp else b""
    if format_ == "TIFF" and xmp:
        exif[0x02BC] = xmp
    elif format_ == "PNG" and xmp:
        settings["pnginfo"] = PngImagePlugin.PngInfo()
        settings["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif xmp and format_ != "JPEG":
        settings["xmp"] = xmp
    if profile and format_ != "JPEG":
        settings["icc_profile"] = profile
    if len(exif) and format_ != "JPEG":
        # as it is for a TIFF, whose tags it joins
        settings["exif"] = exif if format_ == "TIFF" else exif.tobytes()
    buffer = io.BytesIO()
    bare.save(buffer, format_, **settings)
    if format_ == "JPEG":
        return _with_segments(buffer.getvalue(), exif.tobytes() if len(exif) else b"", xmp, profile)
    return buffer.getvalue()


def _with_segments(jpeg: bytes, exif: bytes, xmp: bytes, profile: bytes) -> bytes:
    """Insert facts behind the JFIF header of a JPEG file; what no segment can hold is left out.

    Pillow hands libjpeg a buffer that is too small for profiles of over 64 kB.
    """
    segments = []
    if 0 < len(exif) <= _SEGMENT:
        segments.append((0xE1, exif))
    if 0 < len(xmp) <= _SEGMENT - len(_XMP):
        segments.append((0xE1, _XMP + xmp))
    room = _SEGMENT - len(_ICC) - 2  # for the number of the part, and that of all parts
    parts = [profile[start : start + room] for start in range(0, len(profile), room)]
    if len(parts) < 256:
        for number, part in enumerate(parts, 1):
            segments.append((0xE2, _ICC + bytes([number, len(parts)]) + part))
    # SOI, then the JFIF segment with its length in bytes 4 and 5
    end = 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:4] == b"\xff\xe0" else 2
    inserted = [struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body for kind, body in segments]
    return b"".join([jpeg[:end], *inserted, jpeg[end:]])


def _fault(data: bytes, format_: str, container: _Container, bare: Image.Image) -> str:
    """Return what is wrong with a file of these pixels; nothing if it gives them back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its size, which is that of the input
        with Image.open(io.BytesIO(data), formats=[format_]) as opened:
            shown = to_rgb(opened)
            if shown.size != bare.size:
                return f"it is {shown.width}x{shown.height} when it is read again"
            pairs = [(shown, to_rgb(bare))]
            if bare.mode in ("LA", "RGBA"):
                pairs.append((opened.convert("RGBA").getchannel("A"), bare.getchannel("A")))
    for read, written in pairs:
        if container.lossless and read.tobytes() != written.tobytes():
            return "its pixels are others when it is read again"
        if not container.lossless and _distance(read, written) > _FARTHEST:
            return "it shows another picture when it is read again"
    return ""


def _distance(a: Image.Image, b: Image.Image) -> float:
    """Return the mean difference of two pictures' blocks, in levels."""
    blocks = [np.asarray(image.reduce(_BLOCK), np.float32) for image in (a, b)]
    return float(np.abs(blocks[0] - blocks[1]).mean())
