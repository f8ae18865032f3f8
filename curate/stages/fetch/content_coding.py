"""Content codings of a body (gzip, deflate, zstd, br): undone where its bytes have them.

The bytes decide, not the header: servers name codings that they didn't apply, or none. We ask for
none, so the usual body has none.
"""

from __future__ import annotations

import re
import weakref
import zlib
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile

import pyarrow as pa

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

_IN_MEMORY = 1 << 20
"""Bytes of a body in zstd or br that are kept in memory; more are on a disk until its end."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZLIB = tuple(b"\x78" + bytes([second]) for second in (0x01, 0x5E, 0x9C, 0xDA))


class Decoder:
    """Decoder of one body.

    Args:
        declared: the Content-Encoding header, which only tells whether a body that begins like
            nothing known may be bare deflate or br.
        limit: most bytes, before and after each coding.

    Raises:
        Failure: TOO_LARGE, NOT_IMAGE for broken codings, or TRUNCATED, from any method.
    """

    def __init__(self, declared: str, limit: int, layers: int = _LAYERS) -> None:
        self._declared = re.findall(r"[\w-]+", declared.lower())
        self._limit, self._layers = limit, layers
        self._received = 0
        self._head: bytearray | None = bytearray()
        """First bytes, until there are enough to decide."""
        self._inflate: zlib._Decompress | None = None
        self._spooled: _Spooled | None = None
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
        if self._inner is None:
            return
        if self._spooled is not None:
            for piece in self._spooled.decode():
                yield from self._inner.feed(piece)
        if self._inflate is not None:
            yield from self._inner.feed(self._inflate.flush())
            if not self._inflate.eof:
                raise Failure(Reason.TRUNCATED, "its gzip or deflate coding breaks off")
        yield from self._inner.finish()

    def _decide(self) -> bytes:
        """Choose the coding by the first bytes, and return them."""
        head, self._head = bytes(self._head or b""), None
        if sniff(head[:HEAD]) is None and head and self._layers:
            coding = self._coding(head)
            if coding in ("zstd", "br"):
                self._spooled = _Spooled(coding)
            elif coding:
                self._inflate = zlib.decompressobj(-15 if coding == "bare" else 47)
            if coding:
                name = "deflate" if coding == "bare" else coding
                inner = [other for other in self._declared if other != name]
                self._inner = Decoder(",".join(inner), self._limit, self._layers - 1)
        return head

    def _coding(self, head: bytes) -> str | None:
        """Return the coding by the first bytes; by the header, where they have no mark."""
        if head.startswith((_GZIP, *_ZLIB)):
            return "gzip" if head.startswith(_GZIP) else "deflate"
        if head.startswith(_ZSTD):
            return "zstd"
        if "deflate" in self._declared:
            return "bare"
        return "br" if "br" in self._declared else None

    def _decode(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            yield data
            return
        if self._spooled is not None:
            self._spooled.add(data)
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


class _Spooled:
    """Body in zstd or br, decoded at its end: their decoder here takes whole bodies only."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._file.close)

    def add(self, data: bytes) -> None:
        self._file.write(data)

    def decode(self) -> Iterator[bytes]:
        """Yield the decoded bytes, a chunk at a time."""
        self._file.seek(0)
        codec = "brotli" if self._coding == "br" else self._coding
        try:
            with pa.CompressedInputStream(pa.PythonFile(self._file, "r"), codec) as stream:
                while piece := stream.read(_CHUNK):
                    yield piece
        except OSError as error:
            is_cut = "truncated" in str(error).lower()
            reason = Reason.TRUNCATED if is_cut else Reason.NOT_IMAGE
            raise Failure(reason, f"broken {self._coding}: {error}") from error
