"""JPEG as a stream of segments: the coded picture in it, and whether all of it is there."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from curate.errors import ImageError, Reason
from curate.images.decoder_errors import DECODER_ERRORS

__all__ = ["JpegStream", "check_jpeg", "open_jpeg"]

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""Markers of JPEG except those between coded bytes."""
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers of frames; 0xF7 is JPEG-LS."""
_DECODABLE = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
"""Frames in DCT blocks: sequential and progressive, with Huffman's codes or arithmetic ones."""
_PROGRESSIVE = {0xC2, 0xCA}
_COLOUR_MODELS = (b"JFIF\0", b"Adobe")
"""Application data that decide how samples become colours."""

_MAX_SEGMENTS = 10_000
_MAX_SCANS = 100
_MAX_SCANNED = 2**30
"""Pixels times scans. Each scan is decoded over all pixels, so a small file could take hours."""

_COLOURS = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_PADDING = b"\0\r\n \xff"
_FOREIGN = b"\x2d\xb4" * 32
"""Bytes that no scan is padded with."""
_READ_AHEAD = 12
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


@dataclass(frozen=True)
class _Scan:
    """Part of the coefficients: those `first` to `last` of some components, without `low` bits."""

    components: bytes
    first: int
    last: int
    low: int


@dataclass(frozen=True)
class JpegStream:
    """Facts of a JPEG's segments, and its coded picture."""

    marker: int
    """Kind of the frame, 0 if there is none."""
    precision: int
    size: tuple[int, int]
    components: bytes
    """Their identifiers."""
    scans: tuple[_Scan, ...]
    coded: bytes
    """Segments that make up the picture, ended with EOI: the file without metadata, without
    whatever lies between segments or behind the picture."""

    @classmethod
    def read(cls, data: bytes) -> JpegStream:
        """Read the segments of a file up to the end of its picture.

        Raises:
            ImageError: if there are absurdly many.
        """
        marker, precision, size, components = 0, 0, (0, 0), b""
        scans: list[_Scan] = []
        parts = [data[:2]]
        for count, (kind, start, end) in enumerate(_segments(data)):
            if count > _MAX_SEGMENTS:
                raise ImageError(Reason.DECODE_FAILED, f"it has over {_MAX_SEGMENTS} segments")
            body = data[start + 4 : end]
            if kind in _FRAMES and not marker and len(body) >= 6:
                marker, precision, components = kind, body[0], body[6::3]
                size = int.from_bytes(body[3:5]), int.from_bytes(body[1:3])
            elif kind == _SOS:
                scans.append(_scan(body))
            if kind < 0xE0 or kind == 0xF7 or body.startswith(_COLOUR_MODELS):
                parts.append(data[start:end])
        return cls(marker, precision, size, components, tuple(scans), b"".join([*parts, _END]))

    def check(self) -> None:
        """Raise ImageError if no decoder here reads it, or decoding it would take too long."""
        if not self.marker:
            raise ImageError(Reason.DECODE_FAILED, "it has no frame")
        if self.marker not in _DECODABLE or self.precision != 8:
            detail = f"JPEG of kind 0x{self.marker:X}, {self.precision} bits a sample"
            raise ImageError(Reason.FORMAT_UNSUPPORTED, detail)
        if len(self.components) not in (1, 3, 4):
            detail = f"JPEG of {len(self.components)} components"
            raise ImageError(Reason.FORMAT_UNSUPPORTED, detail)
        width, height = self.size
        if not width or not height:
            raise ImageError(Reason.FORMAT_UNSUPPORTED, "JPEG whose header leaves out its size")
        scanned = width * height * len(self.scans)
        if len(self.scans) > _MAX_SCANS or (len(self.scans) > 12 and scanned > _MAX_SCANNED):
            detail = f"{len(self.scans)} scans of {width} x {height} pixels take too long"
            raise ImageError(Reason.TOO_COSTLY, detail)

    @property
    def missing(self) -> str:
        """Scans that aren't there, in words; empty for a whole picture."""
        for component in self.components:
            low = _lowest_bits(component, self.scans)
            if self.marker not in _PROGRESSIVE:
                low = low[:1] * 64
            # a picture without detail may leave out coefficients of its colours
            needed = low if component == self.components[0] else low[:1]
            if None in needed or any(low):
                return "it ends before its last scan"
        return ""


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, start and end of each segment up to EOI; scans include their coded bytes."""
    at = 2
    while (found := _MARKER.search(data, at)) and found[0][1] != _EOI:
        at, kind = found.end(), found[0][1]
        if kind == _SOI:
            continue
        at += max(2, int.from_bytes(data[at : at + 2]))
        if kind == _SOS:
            following = _MARKER.search(data, at)
            at = following.start() if following else len(data)
        yield kind, found.start(), min(at, len(data))


def _scan(body: bytes) -> _Scan:
    count = body[0] if body else 0
    end = 1 + 2 * count
    first, last, bits = body[end : end + 3].ljust(3, b"\0")
    return _Scan(body[1:end:2], first, last, bits & 15)


def _lowest_bits(component: int, scans: tuple[_Scan, ...]) -> list[int | None]:
    """Return how many low bits of each coefficient are missing, None for coefficients never sent.

    Coefficients are in zigzag order.
    """
    low: list[int | None] = [None] * 64
    for scan in scans:
        if component in scan.components and scan.last < 64:
            for k in range(scan.first, scan.last + 1):
                low[k] = scan.low
    return low


class _JpegFile(JpegImageFile):
    """Pillow's JPEG whose pixels come from a decoder that reports missing and damaged blocks."""

    stream: JpegStream

    def load(self) -> Any:
        # a draft, decoded in smaller blocks, is for small uses only
        scale = self.decoderconfig[0] if self.decoderconfig else 1
        if self.tile and scale == 1 and self.mode in _COLOURS:
            pixels = _decode(self.stream, self.mode)
            if pixels is None:
                self._load_by_pillow()
            else:
                self.im = Image.fromarray(pixels, self.mode).im
                self.tile = []
        return super().load()

    def _load_by_pillow(self) -> None:
        """Decode the pixels without a report, and find out whether the last blocks are there.

        If they are, bytes behind them change no pixel. If not, the bytes are taken for blocks.
        """
        super().load()
        padded = self.stream.coded.removesuffix(_END) + _FOREIGN + _END
        with JpegImageFile(io.BytesIO(padded)) as other:
            if other.tobytes() != self.tobytes():
                raise ImageError(Reason.DECODE_FAILED, "its last blocks are missing")


def open_jpeg(data: bytes, stream: JpegStream) -> Image.Image:
    """Open a JPEG; decoding its pixels later raises ImageError if any block is missing.

    A file that lacks only EOI is whole. Metadata that can't be parsed are left out.
    """
    stream.check()
    try:
        image = _JpegFile(io.BytesIO(data + _END))
    except DECODER_ERRORS:
        image = _JpegFile(io.BytesIO(stream.coded))
    image.stream = stream
    return image


def check_jpeg(data: bytes) -> None:
    """Raise ImageError if blocks of a JPEG within another file are missing, or no decoder reads it.

    Layouts of chroma that the decoder can't read aren't checked.
    """
    stream = JpegStream.read(data)
    stream.check()
    _decode(stream, "CMYK" if len(stream.components) == 4 else "L")


def _decode(stream: JpegStream, mode: str) -> NDArray[np.uint8] | None:
    """Return all pixels; None where the decoder can't read the layout, which Pillow may.

    Raises:
        ImageError: if blocks are missing or damaged.
    """
    if stream.missing:
        raise ImageError(Reason.DECODE_FAILED, stream.missing)
    try:
        return _pixels(stream.coded, mode, strict=True)
    except ValueError as error:
        warning = str(error)
    if warning.startswith("Corrupt JPEG data") and not _is_padded(stream.coded, warning):
        raise ImageError(Reason.DECODE_FAILED, warning)
    # the header is odd, which is no damage, or can't be read
    with suppress(ValueError):
        return _pixels(stream.coded, mode, strict=False)
    return None


def _is_padded(coded: bytes, warning: str) -> bool:
    """Return whether the decoder only warns of bytes that pad the last scan.

    They are alike, and the decoder has needed none of them but the few that it read ahead.
    """
    found = _EXTRANEOUS.search(warning)
    unused = int(found[1]) if found else 0
    scan = coded[: -len(_END)]
    padding = len(scan) - len(scan.rstrip(_PADDING))
    return 0 < unused <= padding <= unused + _READ_AHEAD


def _pixels(coded: bytes, mode: str, *, strict: bool) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(coded, _COLOURS[mode], strict=strict)
    if mode == "CMYK":  # stored inverted, as Adobe does
        return 255 - pixels
    return pixels[..., 0] if mode == "L" else pixels
