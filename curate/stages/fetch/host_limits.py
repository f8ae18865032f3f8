"""Rate limits and connection slots of hosts, in a file that all workers of a run share.

A host has an entry in the file, by the hash of its name: the time from which it may be asked again.
Slots are bytes far behind the end of the file. Nobody writes them; a process that holds a slot has
locked its byte. The system drops the locks of a process that dies, so a killed worker leaves no
slot taken. Two hosts share an entry once in 65,536 pairs. They then wait for each other, and lose
nothing else.
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

__all__ = ["HostLimits"]

_ENTRIES = 1 << 16
_SLOTS = 1 << 40
"""Offset of the first slot."""
_TIME = struct.Struct("<d")

_opened: dict[Path, tuple[HostLimits, int]] = {}
"""Path -> the limits in it, and the number of their users in this process."""
_opening = threading.Lock()


class HostLimits:
    """Rate limits and slots of hosts, for any number of threads and processes."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._taken: set[int] = set()
        self._mutex = threading.Lock()  # the system's locks are between processes

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[HostLimits]:
        """Open the limits of everybody who opens the same path.

        All threads of a process share one open file: a process loses all its locks on a file as
        soon as it closes any descriptor of it.

        Raises:
            RunError: if the file can't be created.
        """
        path = path.absolute()
        with _opening:
            limits, users = _opened.get(path, (None, 0))
            if limits is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                try:
                    limits = cls(os.open(path, flags, 0o600))
                except OSError as error:
                    raise atomic.explain(error, str(path)) from error
            _opened[path] = limits, users + 1
        try:
            yield limits
        finally:
            with _opening:
                limits, users = _opened.pop(path)
                if users > 1:  # closing the file would drop the locks of the others
                    _opened[path] = limits, users - 1
                else:
                    os.close(limits._file)

    def reserve(self, host: str, gap: float, longest: float) -> float:
        """Reserve a host's next request.

        Args:
            host: its name.
            gap: seconds until the request after that.
            longest: most seconds to wait; a later time in the file comes from a clock that was set.

        Returns:
            Seconds from now until the request may be sent.
        """
        with self._entry(host) as offset:
            now = time.time()
            # a time in the past is over; one too far in the future is from before the clock was set
            free_at = self._free_at(offset)
            start = free_at if now < free_at <= now + longest else now
            os.pwrite(self._file, _TIME.pack(start + gap), offset)
        return start - now

    def postpone(self, host: str, seconds: float) -> None:
        """Let nobody send a request to a host for some time."""
        with self._entry(host) as offset:
            free_at = max(self._free_at(offset), time.time() + seconds)
            os.pwrite(self._file, _TIME.pack(free_at), offset)

    def acquire(self, host: str, slots: int) -> int | None:
        """Take one of a host's slots; return it for `release`, or None if all are taken."""
        # each host has an equal share of the offsets behind _SLOTS, one byte a slot
        first = _SLOTS + _entry_number(host) * _SLOTS // _ENTRIES
        with self._mutex:
            for slot in range(first, first + slots):
                if slot not in self._taken and self._lock(slot):
                    self._taken.add(slot)
                    return slot
        return None

    def release(self, slot: int) -> None:
        """Give a slot back."""
        with self._mutex:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, slot)
            self._taken.remove(slot)

    def _lock(self, slot: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except (BlockingIOError, PermissionError):  # either, by POSIX
            return False
        return True

    @contextmanager
    def _entry(self, host: str) -> Iterator[int]:
        """Lock a host's entry, and yield its offset."""
        offset = _entry_number(host) * _TIME.size
        with self._mutex:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _TIME.size, offset)
            try:
                yield offset
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _TIME.size, offset)

    def _free_at(self, offset: int) -> float:
        data = os.pread(self._file, _TIME.size, offset)
        return float(_TIME.unpack(data)[0]) if len(data) == _TIME.size else 0.0


def _entry_number(host: str) -> int:
    return int.from_bytes(hashlib.blake2b(host.encode(), digest_size=2).digest())
