"""Content codings of a body, gzip and deflate: undone where its bytes have them.

The bytes decide, not the header: servers name codings that they didn't apply, or none. We ask for
none, so the usual body has none.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from curate.errors import Reason
from curate.images.file_format import HEAD, sniff
from curate.stages.fetch.outcome import Failure

__all__ = ["Decoder"]

_LAYERS = 3
"""Codings that are undone, one inside the other."""
_MEMBERS = 10_000
"""Members of one gzip stream, each of which costs time."""
_STEP = 1 << 12
"""Bytes that are decoded at once: zlib copies the rest behind each member."""
_CHUNK = 1 << 18
"""Most bytes that decoding yields at once, so that a bomb is caught at the limit."""

_GZIP = b"\x1f\x8b"
_ZLIB = tuple(b"\x78" + bytes([second]) for second in (0x01, 0x5E, 0x9C, 0xDA))


class Decoder:
    """Decoder of one body.

    Args:
        declared: the Content-Encoding header, which only tells whether a body that begins like
            nothing known may be bare deflate.
        limit: most bytes, before and after each coding.

    Raises:
        Failure: TOO_LARGE, NOT_IMAGE for broken codings, or TRUNCATED, from any method.
    """

    def __init__(self, declared: str, limit: int, layers: int = _LAYERS) -> None:
        self._declared, self._limit, self._layers = declared.lower(), limit, layers
        self._received = 0
        self._head: bytearray | None = bytearray()
        """First bytes, until there are enough to decide."""
        self._inflate: zlib._Decompress | None = None
        self._inner: Decoder | None = None
        """Decoder of the decoded bytes, which may be encoded once more."""
        self._members = 0
        self._behind = b""
        """Bytes behind the end of a member."""

    @property
    def is_encoded(self) -> bool:
        """Whether the bytes so far were encoded."""
        return self._inner is not None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes that the next ones complete."""
        self._received += len(data)
        if self._received > self._limit:
            detail = f"more than {self._limit} bytes"
            raise Failure(Reason.TOO_LARGE, detail, nbytes=self._received)
        if self._head is not None:
            self._head += data
            if len(self._head) < HEAD:
                return
            data = self._decide()
        yield from self._decode(data)

    def finish(self) -> Iterator[bytes]:
        """Yield the last decoded bytes, after the last encoded ones."""
        if self._head is not None:
            yield from self._decode(self._decide())
        if self._inflate is None or self._inner is None:
            return
        yield from self._inner.feed(self._inflate.flush())
        if not self._inflate.eof:
            raise Failure(Reason.TRUNCATED, "its gzip or deflate coding breaks off")
        yield from self._inner.finish()

    def _decide(self) -> bytes:
        """Choose the coding by the first bytes, and return them."""
        head, self._head = bytes(self._head or b""), None
        if sniff(head[:HEAD]) is None and head and self._layers:
            is_bare = "deflate" in self._declared and not head.startswith((_GZIP, *_ZLIB))
            if is_bare or head.startswith((_GZIP, *_ZLIB)):
                self._inflate = zlib.decompressobj(-15 if is_bare else 47)  # 47: gzip or zlib
                self._inner = Decoder("", self._limit, self._layers - 1)
        return head

    def _decode(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            yield data
            return
        for start in range(0, len(data), _STEP):
            for piece in self._decode_step(data[start : start + _STEP]):
                yield from self._inner.feed(piece)

    def _decode_step(self, data: bytes) -> Iterator[bytes]:
        assert self._inflate
        data = self._behind + data
        self._behind = b""
        while data:
            if self._inflate.eof:
                if len(data) < len(_GZIP):
                    self._behind = data
                    return
                if not data.startswith(_GZIP):  # padding, or anything else that isn't read
                    return
                self._begin_member()
            try:
                yield self._inflate.decompress(data, _CHUNK)
            except zlib.error as error:
                raise Failure(Reason.NOT_IMAGE, f"broken gzip or deflate: {error}") from error
            data = self._inflate.unused_data or self._inflate.unconsumed_tail

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > _MEMBERS:
            raise Failure(Reason.NOT_IMAGE, f"gzip of more than {_MEMBERS} members")
        self._inflate = zlib.decompressobj(47)
