"""Coded picture within a file: its bytes, its bit depth, and whether there is more than one.

Metadata, profiles, previews, gain maps and whatever lies behind the picture are no part of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from curate.errors import ImageError, Reason
from curate.images.boxes import (
    EndOfHead,
    HeadBits,
    HeadBytes,
    box,
    boxes,
    colour_table_nbytes,
    properties_of,
)
from curate.images.header import read_header

__all__ = ["CodedPicture", "coded_picture", "first_gif_frame"]


@dataclass(frozen=True)
class CodedPicture:
    """Facts of a picture as a file codes it; None where the file leaves one open."""

    nbytes: int
    bit_depth: int | None = None
    animated: bool | None = None


def coded_picture(data: bytes, format_: str) -> CodedPicture:
    """Return the facts of a file in one of the formats whose structure is read here.

    Where the structure breaks off, all bytes count.
    """
    file = HeadBytes(data)
    facts: dict[str, int] = {}
    # dict.update keeps the facts that it read before the end
    with suppress(EndOfHead):
        facts.update(_READERS[format_](file))
    animated = facts.get("animated")
    if animated is None:
        animated = read_header(data).animated
    nbytes = min(facts.get("nbytes") or len(data), len(data))
    return CodedPicture(
        nbytes, facts.get("bit_depth"), None if animated is None else bool(animated)
    )


Facts = Iterator[tuple[str, int]]
"""(name of a field of CodedPicture, value), each as soon as it is known."""


def _webp(file: HeadBytes) -> Facts:
    """RFC 9649: chunks of RIFF."""
    coded, at = 12, 12
    while at + 8 <= len(file.data):
        length = 8 + file.little(at + 4, 4)
        length += length % 2
        if file.at(at, 4) in (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"):
            coded += length
        at += length
    yield "nbytes", coded


def _bmp(file: HeadBytes) -> Facts:
    start, info = file.little(10, 4), file.little(14, 4)
    if info == 12:  # OS/2
        width, height, bits, packed = file.little(18, 2), file.little(20, 2), file.little(24, 2), 0
    else:
        width, height = file.little(18, 4), file.little(22, 4)
        bits, packed = file.little(28, 2), file.little(30, 4)
    # run lengths state their size; rows of others are padded to 4 bytes
    rows = (width * bits + 31) // 32 * 4 * min(height, (1 << 32) - height)
    nbytes = file.little(34, 4) if packed in (1, 2) else rows
    if nbytes:
        yield "nbytes", start + nbytes


def _pnm(file: HeadBytes) -> Facts:
    """Netpbm: behind the height, all kinds but bitmaps state the value of white."""
    found = _WHITE.match(file.data)
    yield "bit_depth", int(found[1]).bit_length() if found else 1


def _jpeg2000(file: HeadBytes) -> Facts:
    """ISO/IEC 15444-1: a bare codestream, or one in a box."""
    start, end = 0, len(file.data)
    if not file.data.startswith(b"\xff\x4f"):
        start, end = box(file, b"jp2c", 0, end)
    # SIZ: the depth of the first component, less 1, behind 38 bytes
    if file.at(start + 2, 2) == b"\xff\x51":
        yield "bit_depth", (file.big(start + 42, 1) & 0x7F) + 1
    last = file.data.rfind(b"\xff\xd9", start, end)
    yield "nbytes", (end if last < 0 else last + 2) - start


def _jxl(file: HeadBytes) -> Facts:
    """ISO/IEC 18181: a bare codestream, or pieces of one in boxes."""
    pieces = [(0, len(file.data))]
    if not file.data.startswith(b"\xff\x0a"):
        found = [part for part in boxes(file, 0, len(file.data)) if part[0] in (b"jxlc", b"jxlp")]
        pieces = [(start + 4 * (kind == b"jxlp"), end) for kind, start, end in found]
    if not pieces:
        return
    yield "nbytes", sum(end - start for start, end in pieces)
    yield from _jxl_metadata(HeadBits(file, pieces[0][0] + 2))


def _jxl_metadata(bits: HeadBits) -> Facts:
    """ISO/IEC 18181-1, annexes D and E: the size, then image metadata up to the bit depth."""
    _skip_size(bits)
    if bits.take(1):  # all by default
        yield "bit_depth", 8
        yield "animated", 0
        return
    animated = 0
    if bits.take(1):  # extra fields
        bits.take(3)
        if bits.take(1):  # intrinsic size
            _skip_size(bits)
        if bits.take(1):  # preview
            _skip_preview(bits)
        animated = bits.take(1)
    yield "animated", animated
    if animated:
        # ticks as a fraction, loops, timecodes
        _skip_choice(bits, 0, 0, 10, 30)
        _skip_choice(bits, 0, 0, 8, 10)
        _skip_choice(bits, 0, 3, 16, 32)
        bits.take(1)
    is_float, choice = bits.take(1), bits.take(2)
    common = (32, 16, 24) if is_float else (8, 10, 12)
    yield "bit_depth", bits.take(6) + 1 if choice == 3 else common[choice]


def _skip_size(bits: HeadBits) -> None:
    small = bits.take(1)
    bits.side(small)
    if not bits.take(3):
        bits.side(small)


def _skip_preview(bits: HeadBits) -> None:
    widths = (0, 0, 5, 9) if bits.take(1) else (6, 8, 10, 12)
    _skip_choice(bits, *widths)
    if not bits.take(3):
        _skip_choice(bits, *widths)


def _skip_choice(bits: HeadBits, *widths: int) -> None:
    """Skip a number of one of four widths, which the two bits before it choose."""
    bits.take(widths[bits.take(2)])


def _heif(file: HeadBytes) -> Facts:
    """ISO/IEC 23008-12: extents of the primary item, of its tiles, and of its alpha."""
    start, end = box(file, b"meta", 0, len(file.data))
    start += 4
    at, _ = box(file, b"pitm", start, end)
    primary = file.big(at + 4, 4 if file.big(at, 1) else 2)
    properties = box(file, b"iprp", start, end)
    association = box(file, b"ipma", *properties)
    listed = list(boxes(file, *box(file, b"ipco", *properties)))

    def own(item: int) -> list[tuple[bytes, int, int]]:
        numbers = properties_of(file, item, *association)
        return [listed[number - 1] for number in numbers if 0 < number <= len(listed)]

    tiles, owners = _references(file, start, end)
    for kind, first, _ in own((tiles.get(primary) or [primary])[0]):
        if kind == b"av1C":
            bits = file.big(first + 2, 1)
            yield "bit_depth", 12 if bits & 0x20 and bits & 0x40 else 10 if bits & 0x40 else 8
        elif kind == b"hvcC":
            yield "bit_depth", (file.big(first + 17, 1) & 7) + 8
    lengths = _extents(file, *box(file, b"iloc", start, end))
    wanted = {primary, *tiles.get(primary, ())}
    for item, owner in owners.items():
        names = [file.at(a, b - a) for kind, a, b in own(item) if kind == b"auxC"]
        if owner == primary and any(b"alpha" in name for name in names):
            wanted |= {item, *tiles.get(item, ())}
    yield "nbytes", sum(lengths.get(item, 0) for item in wanted)


def _references(
    file: HeadBytes, start: int, end: int
) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Return item -> items it is derived from, and auxiliary item -> item it belongs to."""
    tiles: dict[int, list[int]] = {}
    owners: dict[int, int] = {}
    for kind, at, stop in boxes(file, start, end):
        if kind != b"iref":
            continue
        size = 4 if file.big(at, 1) else 2
        for reference, first, _ in boxes(file, at + 4, stop):
            item, count = file.big(first, size), file.big(first + size, 2)
            places = range(first + size + 2, first + size + 2 + count * size, size)
            targets = [file.big(place, size) for place in places]
            if reference == b"dimg":
                tiles[item] = targets
            elif reference == b"auxl" and targets:
                owners[item] = targets[0]
    return tiles, owners


def _extents(file: HeadBytes, at: int, end: int) -> dict[int, int]:
    """Return each item's length by an iloc box."""
    version, sizes = file.big(at, 1), file.big(at + 4, 2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index = index if version else 0
    wide = 4 if version == 2 else 2
    count = file.big(at + 6, wide)
    at += 6 + wide
    lengths: dict[int, int] = {}
    for _ in range(count):
        item = file.big(at, wide)
        at += wide + (2 if version else 0) + 2 + base
        extents = file.big(at, 2) if length else 0
        at += 2
        lengths[item] = 0
        for _ in range(extents):
            lengths[item] += file.big(at + index + offset, length)
            at += index + offset + length
        if at > end:
            raise EndOfHead
    return lengths


_READERS: dict[str, Callable[[HeadBytes], Facts]] = {
    "WEBP": _webp,
    "BMP": _bmp,
    "PPM": _pnm,
    "JPEG2000": _jpeg2000,
    "JXL": _jxl,
    "AVIF": _heif,
    "HEIF": _heif,
}

_WHITE = re.compile(rb"P[2356](?:(?:\s|#[^\n]*\n)+(?:\d{1,9})){2}(?:\s|#[^\n]*\n)+(\d{1,5})\s")
_MAX_BLOCKS = 1_000_000


def first_gif_frame(data: bytes) -> tuple[bytes, bool]:
    """Return a GIF of the first frame alone, and whether there are more.

    Comments and further frames, which a decoder would keep in memory, are left out.

    Raises:
        ImageError: if it consists of absurdly many blocks.
    """
    file = HeadBytes(data)
    parts, control = [data[: 13 + _colour_table(data, 10)]], b""
    at = len(parts[0])
    budget = iter(range(_MAX_BLOCKS))
    while at < len(data):
        kind, start = data[at : at + 1], at
        if kind == b"\x2c":
            if len(parts) > 1:
                return b"".join([*parts, b";"]), True
            at = _after_blocks(file, at + 11 + _colour_table(data, at + 9), budget)
            parts += [control, data[start:at]]
        elif kind == b"\x21":
            at = _after_blocks(file, at + 2, budget)
            control = data[start:at] if data[start + 1 : start + 2] == b"\xf9" else control
        else:
            break
    return b"".join([*parts, data[at : at + 1]]), False


def _colour_table(data: bytes, flags_at: int) -> int:
    """Return the bytes of the table that a GIF's flags announce; 0 where the file breaks off."""
    return colour_table_nbytes(data[flags_at]) if flags_at < len(data) else 0


def _after_blocks(file: HeadBytes, at: int, budget: Iterator[int]) -> int:
    """Return the place behind a chain of sub-blocks, or the end of the file."""
    while at < len(file.data) and (length := file.data[at]):
        at += 1 + length
        if next(budget, None) is None:
            raise ImageError(Reason.TOO_COSTLY, f"GIF of more than {_MAX_BLOCKS} blocks")
    return min(at + 1, len(file.data))
