"""A WebDataset tar whose bytes depend on nothing but its members' names and contents."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Protocol

__all__ = ["TarWriter", "WritesBytes"]

_CHUNK = 1 << 20


class WritesBytes(Protocol):
    """Where a tar goes."""

    def write(self, data: bytes, /) -> object:
        """Append bytes."""


class TarWriter:
    """Writes members one after another: POSIX ustar, no times, no owners.

    Args:
        sink: takes the bytes in order; never sought in.
    """

    def __init__(self, sink: WritesBytes) -> None:
        self._sink = sink
        self._position = 0

    def add(self, name: str, source: Path, nbytes: int) -> int:
        """Append a file's bytes as a member.

        Returns:
            Where the member's bytes begin in the tar.

        Raises:
            OSError: if the file is not `nbytes` long.
        """
        offset = self._begin(name, nbytes)
        with source.open("rb") as file:
            while data := file.read(_CHUNK):
                self._write(data)
        if self._position != offset + nbytes:
            raise OSError(f"{source} changed while it was written: {self._position - offset} bytes, not {nbytes}")
        self._pad(tarfile.BLOCKSIZE)
        return offset

    def add_bytes(self, name: str, data: bytes) -> int:
        """Append bytes as a member; returns where they begin."""
        offset = self._begin(name, len(data))
        self._write(data)
        self._pad(tarfile.BLOCKSIZE)
        return offset

    def close(self) -> None:
        """Write the end mark: two empty blocks, and the rest of a record as tar programs expect it."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._pad(tarfile.RECORDSIZE)

    def _begin(self, name: str, nbytes: int) -> int:
        header = tarfile.TarInfo(name)  # mtime 0, mode 0644, uid and gid 0 by default
        header.size = nbytes
        self._write(header.tobuf(tarfile.USTAR_FORMAT))
        return self._position

    def _pad(self, size: int) -> None:
        self._write(bytes(-self._position % size))

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._position += len(data)
