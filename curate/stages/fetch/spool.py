"""The bytes of one answer on their way to a local file: hashed, counted, capped, and looked at as soon as they come."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from curate.errors import Reason
from curate.images.file_format import HEAD, sniff
from curate.images.header import Header, read_header
from curate.stages.fetch.outcome import Body, Failure
from curate.storage import atomic

__all__ = ["HEADS", "Inspection", "Judge", "Spool"]

HEADS = (12 << 10, 40 << 10, 96 << 10, 208 << 10)
"""Bytes after which the head of a file is read: just within what TCP sends in its first round trips (RFC 6928), so that
a server that is hung up on has not begun with the next. 12 KiB tell the size of 77 % of a crawl's JPEGs, 40 KiB of
93 %.
"""

Judge = Callable[[Header, int | None], None]
"""(what the head of a file tells, number of bytes if it is known): raises Failure to reject it."""

_CHUNK = 1 << 18
_GZIP_OR_ZLIB = 47  # zlib's wbits: 32 + 15, find out which from the header


class Inspection:
    """Looks at the head of a file, at fixed lengths, until it has told its size.

    Args:
        judge: is told what the head says, and the number of bytes if it is known; may raise. When it is called depends
            on the bytes alone, not on how they arrive.
        nbytes: how many bytes are to come, if that is known.

    Raises:
        Failure: NOT_IMAGE or what `judge` raises, from any method, as early as it can be known.
    """

    def __init__(self, judge: Judge | None = None, nbytes: int | None = None) -> None:
        self._judge = judge
        self._nbytes = nbytes
        self._head = bytearray()
        self._lengths = [HEAD, *(HEADS if judge else ())]
        self._format: str | None = None
        self._told_at: int | None = None

    def take(self, data: bytes) -> None:
        """The next bytes."""
        if not self._lengths:
            return
        self._head += data[: self._lengths[-1] - len(self._head)]
        while self._lengths and len(self._head) >= self._lengths[0]:
            length = self._lengths.pop(0)
            if length == HEAD:
                self._format = self._look()
            elif self._hold(length, self._nbytes).width:
                self._told_at, self._lengths = length, []

    def finish(self, nbytes: int) -> str:
        """The format, after the last byte."""
        format_ = self._format or self._look()
        if self._judge:
            self._hold(self._told_at or len(self._head), nbytes)
        return format_

    def _hold(self, length: int, nbytes: int | None) -> Header:
        """Have judged what so many bytes tell."""
        assert self._judge
        header = read_header(bytes(self._head[:length]))
        try:
            self._judge(header, nbytes)
        except Failure as failure:
            failure.head = length
            raise
        return header

    def _look(self) -> str:
        format_ = sniff(bytes(self._head[:HEAD]))
        if format_ is None:
            raise Failure(Reason.NOT_IMAGE, f"begins with {bytes(self._head[:16])!r}")
        return format_


class Spool:
    """Writes one candidate's bytes to a file, which stays only if `finish` is reached.

    Args:
        path: local file to write.
        limit: bytes after which it gives up, both as received and after undoing `encoding`.
        encoding: the answer's Content-Encoding. gzip and deflate are undone, though we never ask for them.
        nbytes: how many bytes are to come, if that is known.
        judge: see Inspection.

    Raises:
        Failure: TOO_LARGE, NOT_IMAGE, EMPTY, TRUNCATED or what `judge` raises, from any method, as early as it can be
            known.
        RunError: if the disk is full.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        encoding: str = "",
        nbytes: int | None = None,
        judge: Judge | None = None,
    ) -> None:
        self._path = path
        self._limit = limit
        self._inflate = _decoder(encoding)
        self._inspection = Inspection(judge, None if self._inflate else nbytes)
        self._received = 0
        self._finished = False

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        self._sink = atomic.Sink(self._file, self._path.parent)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._finished:
            with suppress(OSError):  # the disk is full, and that has been said
                self._file.close()
            self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Take the next bytes as received."""
        self._received += len(data)
        if self._received > self._limit:
            raise Failure(Reason.TOO_LARGE, f"more than {self._limit} bytes", nbytes=self._received)
        if self._inflate is None:
            self._append(data)
            return
        while data:  # in bounded steps: a bomb is caught at the limit, not in memory
            try:
                self._append(self._inflate.decompress(data, _CHUNK))
            except zlib.error as error:
                raise Failure(Reason.NOT_IMAGE, f"broken Content-Encoding: {error}") from error
            data = self._inflate.unconsumed_tail

    def finish(self) -> Body:
        """Close the file after the last byte."""
        if self._inflate is not None:
            self._append(self._inflate.flush())
            if self._received and not self._inflate.eof:
                raise Failure(Reason.TRUNCATED, "the Content-Encoding breaks off")
        if not self._sink.nbytes:
            raise Failure(Reason.EMPTY)
        format_ = self._inspection.finish(self._sink.nbytes)
        try:
            self._file.close()
        except OSError as error:
            raise atomic.explain(error, str(self._path.parent)) from error
        self._finished = True
        return Body(self._path, self._sink.nbytes, self._sink.sha256, format_)

    def _append(self, data: bytes) -> None:
        nbytes = self._sink.nbytes + len(data)
        if nbytes > self._limit:
            raise Failure(Reason.TOO_LARGE, f"more than {self._limit} bytes", nbytes=nbytes)
        self._inspection.take(data)
        self._sink.write(data)


def _decoder(encoding: str) -> zlib._Decompress | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(_GZIP_OR_ZLIB)
        case _:
            raise Failure(
                Reason.NOT_IMAGE, f"Content-Encoding {encoding[:40]!r}, which we didn't ask for"
            )
