"""Turns at hosts, in a file that all workers of a run share, so that the limits of a host hold for the whole run.

A host has a slot in the file, by the hash of its name, which holds the moment from which it may be asked again. The
places at a host are bytes far behind the end of the file: nobody writes them, and whoever has a place holds its byte
locked. The system drops the locks of a process that dies, so a killed worker leaves no place taken. Two hosts share a
slot once in 65,536 pairs; then they wait for each other, and lose nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.storage import atomic

__all__ = ["Turns"]

_SLOTS = 1 << 16
_PLACES = 1 << 40
"""Offset of the bytes that stand for places."""
_MOMENT = struct.Struct("<d")

_opened: dict[Path, tuple[Turns, int]] = {}
_opening = threading.Lock()


class Turns:
    """Rates and places at hosts, for any number of threads and processes."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._taken: set[int] = set()
        self._mutex = threading.Lock()  # the system's locks are between processes

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Turns]:
        """The turns of everybody who opens the same path.

        Once for all threads of a process: it would lose every lock it has with the first file that it closes.

        Raises:
            RunError: if the file can't be made.
        """
        path = path.absolute()
        with _opening:
            turns, users = _opened.get(path, (None, 0))
            if turns is None:
                try:
                    turns = cls(
                        os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                    )
                except OSError as error:
                    raise atomic.explain(error, str(path)) from error
            _opened[path] = turns, users + 1
        try:
            yield turns
        finally:
            with _opening:
                turns, users = _opened.pop(path)
                if users > 1:
                    _opened[path] = turns, users - 1
                else:
                    os.close(turns._file)

    def reserve(self, host: str, gap: float, longest: float) -> float:
        """Take a host's next turn.

        Args:
            host: its name.
            gap: seconds until the turn after that.
            longest: seconds that a turn can be away; one that is further is no turn but a clock that was set.

        Returns:
            Seconds from now until it.
        """
        with self._slot(host) as at:
            now = time.time()
            free_at = self._free_at(at)
            start = free_at if now < free_at <= now + longest else now
            os.pwrite(self._file, _MOMENT.pack(start + gap), at)
        return start - now

    def postpone(self, host: str, seconds: float) -> None:
        """Let nobody ask a host for some time."""
        with self._slot(host) as at:
            os.pwrite(self._file, _MOMENT.pack(max(self._free_at(at), time.time() + seconds)), at)

    def enter(self, host: str, places: int) -> int | None:
        """Take one of a host's places; returns which, for `leave`, or None if all are taken."""
        first = _PLACES + _slot_number(host) * _PLACES // _SLOTS
        with self._mutex:
            for place in range(first, first + places):
                if place not in self._taken and self._lock(place):
                    self._taken.add(place)
                    return place
        return None

    def leave(self, place: int) -> None:
        """Give a place back."""
        with self._mutex:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
            self._taken.remove(place)

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):  # either, by POSIX
            return False
        return True

    @contextmanager
    def _slot(self, host: str) -> Iterator[int]:
        """Where a host's moment stands, for its only reader and writer."""
        at = _slot_number(host) * _MOMENT.size
        with self._mutex:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _MOMENT.size, at)
            try:
                yield at
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _MOMENT.size, at)

    def _free_at(self, at: int) -> float:
        data = os.pread(self._file, _MOMENT.size, at)
        return float(_MOMENT.unpack(data)[0]) if len(data) == _MOMENT.size else 0.0


def _slot_number(host: str) -> int:
    return int.from_bytes(hashlib.blake2b(host.encode(), digest_size=2).digest())
