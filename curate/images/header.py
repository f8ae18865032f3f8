"""Header of an image file: format, size, and whether it has more than one frame.

The bytes may come from anybody on the web. So the parser never reads beyond them, trusts no field,
and leaves out facts that are uncertain. Sizes are those of stored pixels, before EXIF orientation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from curate.images.boxes import (
    EndOfHead,
    HeadBits,
    HeadBytes,
    box,
    boxes,
    colour_table_nbytes,
    properties_of,
)
from curate.images.file_format import sniff

__all__ = ["Header", "read_header"]


@dataclass(frozen=True)
class Header:
    """Facts of an image file; None if its first bytes leave one open."""

    format: str | None = None
    width: int | None = None
    height: int | None = None
    animated: bool | None = None


def read_header(head: bytes) -> Header:
    """Return the facts of a file that begins with `head`. Never raises, for any bytes."""
    format_ = sniff(head)
    facts: dict[str, int] = {}
    if format_ in _READERS:
        # dict.update keeps the facts that it read before the end
        with suppress(EndOfHead):
            facts.update(_READERS[format_](HeadBytes(head)))
    width, height, animated = map(facts.get, ("width", "height", "animated"))
    # no image has a side of 0: it is damaged, or means "see below"
    if not width or not height:
        width = height = None
    return Header(format_, width, height, None if animated is None else bool(animated))


Facts = Iterator[tuple[str, int]]
"""(name of a field of Header, value), each as soon as it is known."""


def _size(width: int, height: int) -> Facts:
    yield "width", width
    yield "height", height


def _jpeg(head: HeadBytes) -> Facts:
    """ITU-T T.81, annex B: marker segments up to the start of a frame."""
    yield "animated", False
    at = 2
    while head.big(at, 1) == 0xFF:
        marker = head.big(at + 1, 1)
        if marker == 0xFF:  # fill
            at += 1
        elif marker in (0xDA, 0xD9):  # the scan begins, or the file ends, without a frame
            return
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            yield from _size(head.big(at + 7, 2), head.big(at + 5, 2))
            return
        else:
            at += 2 + max(2, head.big(at + 2, 2))


def _png(head: HeadBytes) -> Facts:
    """W3C PNG, third edition: IHDR comes first, acTL before the first IDAT."""
    if head.at(12, 4) != b"IHDR":
        return
    yield from _size(head.big(16, 4), head.big(20, 4))
    at = 33
    while (kind := head.at(at + 4, 4)) not in (b"IDAT", b"IEND"):
        if kind == b"acTL":
            if 1 < head.big(at + 8, 4) <= 0x80000000:  # if 1, it depends on the default image
                yield "animated", True
            return
        at += 12 + head.big(at, 4)
    yield "animated", False


def _webp(head: HeadBytes) -> Facts:
    """RFC 9649."""
    match head.at(12, 4):
        case b"VP8 " if head.at(23, 3) == b"\x9d\x01\x2a":
            yield from _size(head.little(26, 2) & 0x3FFF, head.little(28, 2) & 0x3FFF)
        case b"VP8L" if head.at(20, 1) == b"\x2f":
            bits = head.little(21, 4)
            yield from _size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8X":
            yield from _size(head.little(24, 3) + 1, head.little(27, 3) + 1)
            if head.at(20, 1)[0] & 2:  # it has the form of an animation: count its frames up to 2
                frames, at = 0, 12
                while frames < 2:
                    frames += head.at(at, 4) == b"ANMF"
                    at += 8 + head.little(at + 4, 4) + head.little(at + 4, 4) % 2
                yield "animated", True
                return
        case _:
            return
    yield "animated", False


def _gif(head: HeadBytes) -> Facts:
    """GIF89a: the first frame may be larger than the screen that it is on."""
    width, height = head.little(6, 2), head.little(8, 2)
    at, frames = 13 + colour_table_nbytes(head.big(10, 1)), 0
    while (kind := head.at(at, 1)) != b"\x3b":
        if kind == b"\x2c":
            frames += 1
            if frames == 2:
                yield "animated", True
                return
            left, top, across, down = (head.little(at + 1 + 2 * i, 2) for i in range(4))
            yield from _size(max(width, left + across), max(height, top + down))
            at += 11 + colour_table_nbytes(head.big(at + 9, 1))
        elif kind == b"\x21":
            at += 2
        else:
            return
        while length := head.big(at, 1):  # sub-blocks
            at += 1 + length
        at += 1
    yield "animated", False


_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")


def _bmp(head: HeadBytes) -> Facts:
    yield "animated", False
    if head.little(14, 4) == 12:  # OS/2
        yield from _size(head.little(18, 2), head.little(20, 2))
        return
    width, height = head.little(18, 4), head.little(22, 4)
    if width < 1 << 31:  # the height of rows from the top is negative
        yield from _size(width, min(height, (1 << 32) - height))


def _pnm(head: HeadBytes) -> Facts:
    """Netpbm: the kind, width and height as text, with comments between."""
    yield "animated", False
    if found := _PNM.match(head.data):
        yield from _size(int(found[1]), int(found[2]))


def _tiff(head: HeadBytes) -> Facts:
    """TIFF 6.0 and BigTIFF: the first directory, if it is within the head."""
    number = head.little if head.data.startswith(b"II") else head.big
    big = number(2, 2) == 43
    count_of, entry, offset = (8, 20, 8) if big else (2, 12, 4)
    directory = number(8 if big else 4, offset)
    first = directory + count_of
    end = first + number(directory, count_of) * entry
    sides = {}
    for at in range(first, min(end, len(head.data)), entry):
        tag, type_ = number(at, 2), number(at + 2, 2)
        if tag in (256, 257) and type_ in (3, 4, 16):  # SHORT, LONG, LONG8
            sides[tag] = number(at + entry - offset, {3: 2, 4: 4, 16: offset}[type_])
    if len(sides) == 2:
        yield from _size(sides[256], sides[257])
    following = number(end, offset)
    if following != directory:
        yield "animated", following != 0


def _heif(head: HeadBytes) -> Facts:
    """ISO/IEC 23008-12: the ispe property of the primary item."""
    brands = head.at(8, min(head.big(0, 4), len(head.data)) - 8) if head.big(0, 4) > 8 else b""
    if sniff(head.data) == "AVIF" and b"avis" not in brands:
        yield "animated", False
    start, end = box(head, b"meta", 0, len(head.data))
    at, _ = box(head, b"pitm", start + 4, end)
    item = head.big(at + 4, 4 if head.big(at, 1) else 2)
    properties = box(head, b"iprp", start + 4, end)
    own = properties_of(head, item, *box(head, b"ipma", *properties))
    listed = list(boxes(head, *box(head, b"ipco", *properties)))
    wanted = [listed[i - 1] for i in own if 0 < i <= len(listed)]
    if any(kind == b"clap" for kind, *_ in wanted):  # cropped by fractions
        return
    for kind, start, _ in wanted:
        if kind == b"ispe":
            yield from _size(head.big(start + 4, 4), head.big(start + 8, 4))


def _jxl(head: HeadBytes) -> Facts:
    """ISO/IEC 18181-1: a bare codestream, or the first piece of one in boxes."""
    start = 0
    if head.at(0, 2) != b"\xff\x0a":
        for kind, start, _ in boxes(head, 0, len(head.data)):
            if kind in (b"jxlc", b"jxlp"):
                start += 4 * (kind == b"jxlp")
                break
        else:
            return
        if head.at(start, 2) != b"\xff\x0a":
            return
    bits = HeadBits(head, start + 2)
    small = bits.take(1)
    height = bits.side(small)
    ratio = bits.take(3)
    times, over = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    yield from _size(height * times // over if ratio else bits.side(small), height)
    if bits.take(1) or not bits.take(1):  # metadata by default, or no extra fields
        yield "animated", False


_READERS: dict[str | None, Callable[[HeadBytes], Facts]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "BMP": _bmp,
    "PPM": _pnm,
    "TIFF": _tiff,
    "AVIF": _heif,
    "HEIF": _heif,
    "JXL": _jxl,
}
