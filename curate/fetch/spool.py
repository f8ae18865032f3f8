"""The bytes of one answer on their way to a local file: hashed, counted, capped, and looked at as soon as they come."""

from __future__ import annotations

import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from curate import files
from curate.errors import Reason
from curate.fetch.outcome import Body, Failure
from curate.fetch.sniff import HEAD, sniff

__all__ = ["Spool"]

_CHUNK = 1 << 18
_GZIP_OR_ZLIB = 47  # zlib's wbits: 32 + 15, find out which from the header


class Spool:
    """Writes one candidate's bytes to a file, which stays only if `finish` is reached.

    Args:
        path: local file to write.
        limit: bytes after which it gives up, both as received and after undoing `encoding`.
        encoding: the answer's Content-Encoding. gzip and deflate are undone, though we never ask for them.

    Raises:
        Failure: TOO_LARGE, NOT_IMAGE, EMPTY or TRUNCATED, from any method, as early as it can be known.
        RunError: if the disk is full.
    """

    def __init__(self, path: Path, limit: int, encoding: str = "") -> None:
        self._path = path
        self._limit = limit
        self._inflate = _decoder(encoding)
        self._head = b""
        self._format: str | None = None
        self._received = 0
        self._finished = False

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        self._sink = files.Sink(self._file, self._path.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            with suppress(OSError):  # the disk is full, and that has been said
                self._file.close()
            self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Take the next bytes as received."""
        self._received += len(data)
        if self._received > self._limit:
            raise Failure(Reason.TOO_LARGE, f"more than {self._limit} bytes")
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
        format_ = self._format or self._look()
        try:
            self._file.close()
        except OSError as error:
            raise files.explain(error, str(self._path.parent)) from error
        self._finished = True
        return Body(self._path, self._sink.nbytes, self._sink.sha256, format_)

    def _append(self, data: bytes) -> None:
        if self._sink.nbytes + len(data) > self._limit:
            raise Failure(Reason.TOO_LARGE, f"more than {self._limit} bytes")
        if self._format is None:
            self._head += data[:HEAD]
            if len(self._head) >= HEAD:
                self._format = self._look()
        self._sink.write(data)

    def _look(self) -> str:
        format_ = sniff(self._head)
        if format_ is None:
            raise Failure(Reason.NOT_IMAGE, f"begins with {self._head[:16]!r}")
        return format_


def _decoder(encoding: str) -> zlib._Decompress | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(_GZIP_OR_ZLIB)
        case _:
            raise Failure(Reason.NOT_IMAGE, f"Content-Encoding {encoding[:40]!r}, which we didn't ask for")
