"""Fields of a file's first bytes, and structures that several readers of them share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "EndOfHead",
    "HeadBits",
    "HeadBytes",
    "box",
    "boxes",
    "colour_table_nbytes",
    "properties_of",
]


class EndOfHead(Exception):  # noqa: N818 - no error
    """The head ends, or stops making sense, before the next fact."""


@dataclass
class HeadBytes:
    """First bytes of a file; reading beyond them by a method raises EndOfHead."""

    data: bytes

    def at(self, start: int, length: int) -> bytes:
        if start + length > len(self.data):
            raise EndOfHead
        return self.data[start : start + length]

    def big(self, start: int, length: int) -> int:
        return int.from_bytes(self.at(start, length), "big")

    def little(self, start: int, length: int) -> int:
        return int.from_bytes(self.at(start, length), "little")


class HeadBits:
    """Bits of a JPEG XL codestream; the lowest of a byte comes first."""

    def __init__(self, head: HeadBytes, start: int) -> None:
        self._head, self._at = head, 8 * start

    def take(self, count: int) -> int:
        start, shift = divmod(self._at, 8)
        self._at += count
        return self._head.little(start, (shift + count + 7) // 8) >> shift & ((1 << count) - 1)

    def side(self, small: int) -> int:
        return 8 * (self.take(5) + 1) if small else self.take((9, 13, 18, 30)[self.take(2)]) + 1


def colour_table_nbytes(flags: int) -> int:
    """Return the bytes of the table that flags of a GIF announce: three for each colour."""
    return 6 << (flags & 7) if flags & 0x80 else 0


def properties_of(head: HeadBytes, item: int, start: int, end: int) -> list[int]:
    """Return the numbers of an item's properties, from 1, by an ipma box."""
    id_length, wide = 4 if head.big(start, 1) else 2, head.big(start + 3, 1) & 1
    size, mask = (2, 0x7FFF) if wide else (1, 0x7F)
    at = start + 8
    while at < end:
        id_, count = head.big(at, id_length), head.big(at + id_length, 1)
        at += id_length + 1
        if id_ == item:
            return [head.big(at + i * size, size) & mask for i in range(count)]
        at += count * size
    return []


def boxes(head: HeadBytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the contents of each box (ISO/IEC 14496-12).

    The last box may reach beyond the head.
    """
    while at + 8 <= min(end, len(head.data)):
        length, kind, start = head.big(at, 4), head.at(at + 4, 4), at + 8
        if length == 1:
            length, start = head.big(at + 8, 8), at + 16
        after = end if length == 0 else at + length
        if after < start:
            raise EndOfHead
        yield kind, start, min(after, end)
        at = after


def box(head: HeadBytes, kind: bytes, at: int, end: int) -> tuple[int, int]:
    """Return start and end of the contents of the first box of a kind."""
    for found, start, stop in boxes(head, at, end):
        if found == kind:
            return start, stop
    raise EndOfHead
