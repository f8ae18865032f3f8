"""WebDataset tars: deterministic writing, and recovery of whole members from damaged ones."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Protocol

from curate.errors import RunError
from curate.storage.atomic import Sink
from curate.storage.places import is_plain_name, is_plain_path

__all__ = ["TarWriter", "WritesBytes", "recover"]

_CHUNK = 1 << 20


class WritesBytes(Protocol):
    """Sink of a tar."""

    def write(self, data: bytes, /) -> object:
        """Append bytes."""


class TarWriter:
    """Writer of members in order: POSIX ustar, no times, no owners.

    Args:
        sink: takes the bytes in order, without seeking.
    """

    def __init__(self, sink: WritesBytes) -> None:
        self._sink = sink
        self._position = 0

    def add(self, name: str, source: Path, nbytes: int) -> int:
        """Append a file's bytes as a member.

        Returns:
            Offset of the member's bytes in the tar.

        Raises:
            OSError: if the file is not `nbytes` long.
        """
        offset = self._begin(name, nbytes)
        with source.open("rb") as file:
            while data := file.read(_CHUNK):
                self._write(data)
        if self._position != offset + nbytes:
            raise OSError(
                f"{source} changed while it was written: {self._position - offset} bytes, not "
                f"{nbytes}"
            )
        self._pad(tarfile.BLOCKSIZE)
        return offset

    def add_bytes(self, name: str, data: bytes) -> int:
        """Append bytes as a member, and return their offset."""
        offset = self._begin(name, len(data))
        self._write(data)
        self._pad(tarfile.BLOCKSIZE)
        return offset

    def close(self) -> None:
        """Write the end mark: two empty blocks, and padding to a whole record."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._pad(tarfile.RECORDSIZE)

    def _begin(self, name: str, nbytes: int) -> int:
        if not is_plain_path(name):  # whoever unpacks the tar would write elsewhere
            raise RunError(f"{name!r} can't be the name of a file in a tar")
        header = tarfile.TarInfo(name)  # mtime 0, mode 0644, uid and gid 0 by default
        header.size = nbytes
        self._write(header.tobuf(tarfile.USTAR_FORMAT))
        return self._position

    def _pad(self, size: int) -> None:
        self._write(bytes(-self._position % size))

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._position += len(data)


def recover(file: IO[bytes], digests: Mapping[str, tuple[str, int]], folder: Path) -> set[str]:
    """Copy the whole members out of a tar, however damaged it is.

    Nothing in the tar is trusted: a member counts if its bytes have the right hash.

    Args:
        file: the tar.
        digests: name of a member without its extension -> SHA-256 and number of its bytes.
        folder: local folder for the members, each under its name without extension.

    Returns:
        Names of the recovered members.
    """
    found: set[str] = set()
    position, end = 0, file.seek(0, os.SEEK_END)
    while position < end and len(found) < len(digests):
        file.seek(position)
        member = _header(file.read(tarfile.BLOCKSIZE))
        position += tarfile.BLOCKSIZE
        if member is None:
            continue
        name = member.name.partition(".")[0]
        digest, nbytes = digests.get(name, ("", -1))
        # after a damaged member the next header may be anywhere, even within its supposed bytes
        if name in found or member.size != nbytes or not is_plain_name(name):
            continue
        if _copy(file, nbytes, folder / name) == digest:
            found.add(name)
            position += -(-nbytes // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return found


def _header(block: bytes) -> tarfile.TarInfo | None:
    if block[257:262] != b"ustar":
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None


def _copy(file: IO[bytes], nbytes: int, path: Path) -> str:
    """Copy the next bytes of a file to another one, and return their SHA-256."""
    with path.open("wb") as copy:
        sink = Sink(copy, path.parent)
        while data := file.read(min(nbytes - sink.nbytes, _CHUNK)):
            sink.write(data)
    return sink.sha256
