"""Framing of HTTP/1 responses: where headers and body end, by rules as lenient as a browser's.

aiohttp's parser is strict: it was built for servers, where a doubtful message is an attack on the
next one. A crawler reads each response for its own sake, so only bytes that have no meaning at all
are malformed. `ResponseCleaner` rewrites a response as strict HTTP before the parser sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["MAX_HEADER_LINES", "MAX_HEAD_BYTES", "MalformedResponse", "ResponseCleaner"]

MAX_HEAD_BYTES = 256 * 1024
"""Bytes of the status line and all headers, those of interim responses (1xx) included."""
MAX_HEADER_LINES = 5000
"""Header lines of one response."""

_MAX_SIZE_LINE = 16 * 1024
"""Bytes of the line before a chunk, with its extensions."""

_MAX_INDENT = 16
_FREE_CHUNKS = 10_000
_MIN_CHUNK = 256
"""Bytes that chunks have on average at least, after so many of them: each chunk costs time."""

_HEAD_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"http/(\d(?:\.\d)?)[ \t]+([1-9]\d\d)(?!\d)", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]+")
_HEX_DIGITS = b"0123456789ABCDEFabcdef"
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)

_READ = {
    b"connection",
    b"content-encoding",
    b"content-type",
    b"keep-alive",
    b"location",
    b"retry-after",
    b"x-robots-tag",
}
"""Headers that somebody reads. Cookies and all others are dropped."""

_FRAMING = {b"content-length", b"transfer-encoding"}

_NO_BODY = {101, 204, 304}

_Header = tuple[bytes, bytes]
"""Name in lower case, and value."""


class MalformedResponse(ValueError):  # noqa: N818 - names the response, as ForbiddenAddress does
    """Bytes that are no HTTP response, or one over the limits."""


class ResponseCleaner:
    """Cleaner of one response, fed with its bytes as they arrive.

    Its results depend on the bytes alone, not on how they are split.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._step: Callable[[], bytes | None] = self._read_head
        self._searched = 0
        """Bytes of the buffer in which the head doesn't end."""
        self._head_bytes = 0
        self._body_bytes = 0
        self._chunks = 0
        self._left = 0
        """Bytes of the body, or of its current chunk, that are still to come."""
        self.fault: MalformedResponse | None = None
        """Why the bytes behind the clean ones can't be understood."""
        self.has_excess = False
        """Whether bytes came behind the response's end, so that its connection must close."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return the clean bytes that they complete, up to a fault."""
        if len(data) < self._left and not self._buffer:  # inside a body: nothing to look for
            self._left -= len(data)
            self._body_bytes += len(data)
            return data
        self._buffer += data
        clean = []
        try:
            while self._buffer and (piece := self._step()) is not None:
                clean.append(piece)
        except MalformedResponse as error:
            self.fault, self._step = error, self._drop
        return b"".join(clean)

    # Each step takes bytes from the buffer. It returns None if it needs more of them.

    def _read_head(self) -> bytes | None:
        if self._buffer.startswith((b"\r", b"\n")):  # blank lines before the status line
            blank = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
            self._head_bytes += self._check_head(blank)
            return self._take(blank)[blank:]
        start = bytes(self._buffer[:5]).lower()
        if start != b"http/"[: len(start)]:
            raise MalformedResponse(f"begins with {bytes(self._buffer[:16])!r}")
        end = _HEAD_END.search(self._buffer, self._searched)
        if end is None:
            self._searched = max(0, len(self._buffer) - 2)
            self._check_head(len(self._buffer))
            return None
        self._searched = 0
        self._head_bytes += self._check_head(end.end())
        return self._begin(self._take(end.end()))

    def _check_head(self, nbytes: int) -> int:
        """Return the number of further bytes of heads, if the limit allows them."""
        if self._head_bytes + nbytes > MAX_HEAD_BYTES:
            raise MalformedResponse(f"headers of more than {MAX_HEAD_BYTES} bytes")
        return nbytes

    def _begin(self, head: bytes) -> bytes:
        """Return a clean head, and choose the step that reads the body behind it."""
        status_line, *lines = [line.rstrip(b"\r") for line in head.rstrip(b"\r\n").split(b"\n")]
        match = _STATUS_LINE.match(status_line)
        if match is None:
            raise MalformedResponse(f"status line {status_line[:40]!r}")
        status, headers = int(match[2]), _headers(lines)
        if status < 200 and status not in _NO_BODY:
            return b""  # an interim response, with the real one behind it
        clean = [(name, value) for name, value in headers if name in _READ]
        if status in _NO_BODY:
            self._step = self._drop
        elif b"chunked" in _tokens(headers, b"transfer-encoding"):
            clean.append((b"transfer-encoding", b"chunked"))
            self._step = self._read_chunk_size
        elif (length := _content_length(headers)) is not None:
            clean.append((b"content-length", b"%d" % length))
            self._left = length
            self._step = self._read_body if length else self._drop
        else:
            self._step = self._read_to_close
        # connections of HTTP/1.0 close, unless the headers say otherwise
        version = b"1.0" if match[1] == b"1.0" else b"1.1"
        fields = b"".join(b"%b: %b\r\n" % header for header in clean)
        return b"HTTP/%b %d \r\n%b\r\n" % (version, status, fields)

    def _read_body(self) -> bytes:
        return self._read_up_to(self._drop)

    def _read_to_close(self) -> bytes:
        return self._take(len(self._buffer))

    def _read_chunk_size(self) -> bytes | None:
        first = self._buffer[:_MAX_INDENT].lstrip(b" \t")[:1]
        if bytes(first) not in _HEX_DIGITS:
            raise MalformedResponse(f"chunk size {bytes(self._buffer[:20])!r}")
        end = self._buffer.find(b"\n", 0, _MAX_SIZE_LINE)
        if end < 0 and len(self._buffer) < _MAX_SIZE_LINE:
            return None
        match = _CHUNK_SIZE.fullmatch(bytes(self._buffer[: max(end, 0)]).rstrip(b"\r"))
        if match is None:
            raise MalformedResponse(f"chunk size {bytes(self._buffer[:20])!r}")
        self._chunks += 1
        if self._chunks > _FREE_CHUNKS + self._body_bytes // _MIN_CHUNK:
            raise MalformedResponse(f"{self._chunks} chunks of {self._body_bytes} bytes in all")
        self._take(end + 1)
        self._left = int(match[1], 16)
        if self._left:
            self._step = self._read_chunk
            return b"%x\r\n" % self._left
        # a blank line is the end, as a rule; after trailers the connection isn't used again
        if bytes(self._buffer[:3]) in (b"\r\n", b"\n"):
            self._buffer.clear()
        self._step = self._drop
        return b"0\r\n\r\n"

    def _read_chunk(self) -> bytes:
        return self._read_up_to(self._end_chunk)

    def _end_chunk(self) -> bytes | None:
        if self._buffer == b"\r":
            return None
        if not self._buffer.startswith((b"\r\n", b"\n")):
            raise MalformedResponse("a chunk is longer than its size")
        self._take(1 if self._buffer.startswith(b"\n") else 2)
        self._step = self._read_chunk_size
        return b"\r\n"

    def _drop(self) -> None:
        self._buffer.clear()
        self.has_excess = True

    def _read_up_to(self, then: Callable[[], bytes | None]) -> bytes:
        """Take bytes of the body, up to the `_left` that are still to come."""
        data = self._take(min(self._left, len(self._buffer)))
        self._left -= len(data)
        self._body_bytes += len(data)
        if not self._left:
            self._step = then
        return data

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data


def _headers(lines: list[bytes]) -> list[_Header]:
    """Parse header lines that count, and join folded ones."""
    if len(lines) > MAX_HEADER_LINES:
        raise MalformedResponse(f"more than {MAX_HEADER_LINES} header lines")
    unfolded: list[list[bytes]] = []
    for line in lines:
        if line.startswith((b" ", b"\t")) and unfolded:
            unfolded[-1].append(line)
        else:
            unfolded.append([line])
    headers = []
    for pieces in unfolded:
        name, _, value = b" ".join(pieces).partition(b":")
        name = name.strip().lower()
        if name in _READ or name in _FRAMING:
            headers.append((name, _CONTROLS.sub(b" ", value).strip()))
    return headers


def _tokens(headers: Iterable[_Header], wanted: bytes) -> list[bytes]:
    """Return the comma-separated values of all headers of a name."""
    values = b",".join(value for name, value in headers if name == wanted)
    return [token.strip().lower() for token in values.split(b",") if token.strip()]


def _content_length(headers: Iterable[_Header]) -> int | None:
    """Return the length of the body; None if there is none, or it isn't a plain 63-bit number."""
    tokens = _tokens(headers, b"content-length")
    if not tokens or any(not token.isdigit() or len(token) > 18 for token in tokens):
        return None
    lengths = set(map(int, tokens))
    if len(lengths) > 1:
        raise MalformedResponse("different values of Content-Length")
    return lengths.pop()
