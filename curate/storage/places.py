"""Places of files: opened without hanging, and kept inside the folder of whoever names them.

A user's own path may be any fsspec URL (`locate`). A place that a file names, such as a manifest's
`tar`, comes from whoever wrote that file, so it leads nowhere but into that file's own folder
(`resolve`), unless the user's own command wrote it (`remember`).
"""

from __future__ import annotations

import errno
import functools
import io
import os
import posixpath
import queue
import re
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from curate.errors import InputError

__all__ = [
    "FOLDERS",
    "Place",
    "check_recorded",
    "is_allowed",
    "is_plain_name",
    "is_plain_path",
    "is_recordable",
    "is_remembered",
    "join",
    "locate",
    "open_file",
    "remember",
    "resolve",
    "walk",
]  # fmt: skip

FOLDERS = "CURATE_FOLDERS"
"""Environment variable: folders that manifests elsewhere may point into, with ":" between them."""

DEADLINE = 30.0
"""Seconds within which a disk must list a folder, open a file or read a mebibyte."""

_CHUNK = 1 << 20
_WRAPPERS = {
    "blockcache", "cached", "dir", "filecache", "libarchive", "reference", "simplecache", "tar",
    "zip",
}  # fmt: skip
"""File systems that read from another one, which "::" names."""
_STORES = {
    "", "abfs", "abfss", "az", "file", "gcs", "gs", "local", "memory", "oci", "oss", "s3", "s3a",
}  # fmt: skip
"""Protocols whose server is the user's own setting, and never a part of the URL."""
_PLAIN_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._-]{0,127}")
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A file or folder on a file system."""

    fs: fsspec.AbstractFileSystem
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def url(self) -> str:
        """Absolute URL, which `locate` takes back."""
        return str(self.fs.unstrip_protocol(self.path))

    def open(self) -> io.BufferedReader:
        """Open a file for reading.

        Raises:
            OSError: if it can't be read, is no regular file, or the disk doesn't answer in time.
        """
        if not self.is_local:
            return cast(io.BufferedReader, self.fs.open(self.path, "rb"))
        return io.BufferedReader(_TimedFile(_answer(_open_regular, self.path)), _CHUNK)

    def read(self, start: int, nbytes: int) -> bytes:
        """Return a range of a file's bytes; fewer where it ends before.

        Raises:
            OSError: see `open`.
        """
        if self.is_local:
            return _answer(_read_range, self.path, start, nbytes)
        data: bytes = self.fs.cat_file(self.path, start=start, end=start + nbytes)
        return data


def locate(url: str | os.PathLike[str]) -> Place:
    """Return the place of a user's own path or fsspec URL.

    `zip://a.csv::s3://bucket/b.zip` is read through two file systems. In any other URL, "::" is
    part of a name.

    Raises:
        ImportError, ValueError: if there is no such file system.
    """
    text = str(url)
    if "::" not in text or _is_chain(text):
        return Place(*fsspec.core.url_to_fs(text))
    kind = fsspec.get_filesystem_class(fsspec.core.split_protocol(text)[0] or "file")
    return Place(kind(**kind._get_kwargs_from_urls(text)), kind._strip_protocol(text))


def open_file(url: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a file at a user's own path or fsspec URL; see `Place.open`."""
    return locate(url).open()


def resolve(root: str, name: str, is_own: Callable[[], bool] = lambda: False) -> Place:
    """Return the place that a file in the folder `root` names.

    Args:
        root: folder that the name is relative to.
        name: path inside it; or a URL of the same store, where the folder is on one.
        is_own: called if a relative path leads out: returns whether the user wrote that file.

    Raises:
        InputError: if it leads elsewhere, by "..", a symbolic link, a protocol or a full path.
    """
    folder = locate(root)
    if not name or "\0" in name or _is_chain(name) or name.startswith(("/", "~")):
        raise InputError(f"{name!r} is no path inside {root}")
    if "://" in name:
        url = join(name, ".")  # its ".." may lead to another bucket
        if folder.is_local or _server(url) != _server(root):
            raise InputError(f"{name!r} is no path inside {root}")
        return Place(folder.fs, folder.fs._strip_protocol(url))
    place = Place(folder.fs, join(folder.path, name))
    target = _address(place)
    known = chain([_address(folder)], _allowed())
    if not any(_is_within(target, one) for one in known) and not is_own():
        raise InputError(
            f"{name!r} leads out of {root}, to {target}: if you trust whoever wrote it, put that "
            f"folder into the environment variable {FOLDERS}"
        )
    return Place(place.fs, target) if place.is_local else place


def remember(name: str) -> None:
    """Note that it is this user's own: the SHA-256 of a manifest, or a folder's URL.

    The notes are in `~/.local/state/curate/own`, or `$XDG_STATE_HOME`.
    """
    if "\n" in name or is_remembered(name):
        return
    with suppress(OSError, RuntimeError):  # no home: the environment variable does the same
        notes = _notes()
        notes.parent.mkdir(parents=True, exist_ok=True)
        with notes.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{name}\n")


def is_remembered(name: str) -> bool:
    """Return whether `remember` has noted it."""
    return name in _remembered()


def check_recorded(url: str, where: str) -> None:
    """Refuse a URL in a run folder that chooses which server is asked.

    Raises:
        InputError: unless the user has allowed it.
    """
    own = (known for known in _remembered() if "://" in known)
    if is_recordable(url) or is_allowed(url) or any(_is_within(url, known) for known in own):
        return
    raise InputError(
        f"{where} names {url}: if you trust whoever made it, put that address into the "
        f"environment variable {FOLDERS}"
    )


def is_allowed(url: str) -> bool:
    """Return whether it is in one of the folders that the environment variable names."""
    address = _address(locate(url)) if is_recordable(url) else url
    return not _is_chain(url) and any(_is_within(address, folder) for folder in _allowed())


def is_recordable(url: str) -> bool:
    """Return whether no URL of its kind chooses which server is asked."""
    return not _is_chain(url) and (fsspec.core.split_protocol(url)[0] or "") in _STORES


def is_plain_name(name: object) -> bool:
    """Return whether it can be a file's name anywhere: short ASCII without separators."""
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None


def is_plain_path(name: str) -> bool:
    """Return whether a relative path stays below its folder, as far as the text shows."""
    parts = name.split("/")
    return "\0" not in name and not any(part in ("", ".", "..") for part in parts)


def join(folder: str, path: str) -> str:
    """Join a path to a folder and resolve "..", which an object store takes for a name."""
    scheme, separator, rest = folder.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(rest, path))}"


def walk(folder: str, *, inside: bool = False) -> Iterator[tuple[str, int]]:
    """Yield (path below, bytes) of everything in a local folder but hidden things and folders.

    Links are followed. A folder that has several names is read once: under its real name where
    that is below the folder, too.

    Args:
        folder: its path.
        inside: refuse links that lead out of it.

    Raises:
        OSError: if a folder can't be listed.
        InputError: if a link leads out, and none may.
    """
    seen: set[tuple[int, int]] = set()
    real, linked = deque([""]), deque[str]()
    while real or linked:
        below = real.popleft() if real else linked.popleft()
        identity, entries = _answer(_scan, Path(folder, below))
        if identity in seen:
            continue
        seen.add(identity)
        for entry in entries:
            path = posixpath.join(below, entry.name)
            if inside and entry.is_link:
                resolve(folder, path)
            if not entry.is_folder:
                yield path, entry.nbytes
            elif entry.is_link:
                linked.append(path)
            else:
                real.append(path)


@dataclass(frozen=True)
class _Entry:
    name: str
    is_folder: bool
    is_link: bool
    nbytes: int


def _scan(folder: Path) -> tuple[tuple[int, int], list[_Entry]]:
    """Return the identity of a folder, and its entries by name."""
    status = folder.stat()
    entries = []
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith(".") or entry.name == "lost+found":  # the disk's own
                continue
            is_folder, nbytes = False, 0
            with suppress(OSError):  # a link to nothing, or to itself: whoever opens it will say so
                is_folder, nbytes = entry.is_dir(), entry.stat().st_size
            entries.append(_Entry(entry.name, is_folder, entry.is_symlink(), nbytes))
    entries.sort(key=lambda entry: entry.name)
    return (status.st_dev, status.st_ino), entries


class _TimedFile(io.FileIO):
    """A regular file, each read of which has a deadline."""

    def readinto(self, buffer: Any) -> int:
        # a read that is left behind must not write into a buffer that is gone
        data = _answer(super().read, len(buffer)) or b""
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        pieces = []
        while piece := _answer(super().read, _CHUNK):
            pieces.append(piece)
        return b"".join(pieces)


class _Helper:
    """Daemon thread that makes the calls of one other thread; much cheaper than a thread a call."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        work = functools.partial(_serve, self._calls, self._results)
        threading.Thread(target=work, name="disk", daemon=True).start()

    def __del__(self) -> None:
        self._calls.put(None)  # its thread ends with the one that it helps

    def answer(self, call: Callable[[], T]) -> tuple[T, BaseException | None]:
        """Return result and error of a call, or raise queue.Empty after the deadline."""
        self._calls.put(call)
        return self._results.get(timeout=DEADLINE)


def _serve(
    calls: queue.SimpleQueue[Callable[[], Any] | None],
    results: queue.SimpleQueue[tuple[Any, BaseException | None]],
) -> None:
    while (call := calls.get()) is not None:
        try:
            results.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised in the other thread
            results.put((None, error))


_helpers = threading.local()
# a forked process has this one's memory without its threads
os.register_at_fork(after_in_child=lambda: _helpers.__dict__.clear())


def _answer(call: Callable[..., T], *args: Any) -> T:
    """Return the result of a call to a disk, or raise TimeoutError and leave the call behind."""
    helper = getattr(_helpers, "own", None) or _Helper()
    _helpers.own = None  # a call that is interrupted or late keeps its helper
    try:
        result, error = helper.answer(functools.partial(call, *args))
    except queue.Empty:
        fault = f"the disk didn't answer within {DEADLINE:g} s"
        raise TimeoutError(errno.ETIMEDOUT, fault) from None
    _helpers.own = helper
    if error is not None:
        raise error
    return result


def _open_regular(path: str) -> int:
    """Open a regular file, and nothing else, and return its descriptor."""
    _check_regular(
        Path(path).stat(), path
    )  # before: opening alone can wind a tape or wait for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(status: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"{kind}, and no regular file", path)


def _read_range(path: str, start: int, nbytes: int) -> bytes:
    descriptor = _open_regular(path)
    try:
        # never ask for more memory than there are bytes
        left = max(0, min(nbytes, os.fstat(descriptor).st_size - start))
        pieces = []
        while left and (piece := os.pread(descriptor, left, start)):
            pieces.append(piece)
            start, left = start + len(piece), left - len(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def _is_chain(url: str) -> bool:
    first, chained, _ = url.partition("::")
    return bool(chained) and first.partition("://")[0] in _WRAPPERS


def _server(url: str) -> tuple[str, str]:
    """Return the protocol and the host or bucket of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _address(place: Place) -> str:
    """Return the one name of a place: without links on a disk, elsewhere its URL."""
    return os.path.realpath(place.path) if place.is_local else place.url


def _is_within(address: str, folder: str) -> bool:
    return address == folder or address.startswith(f"{folder.rstrip('/')}/")


def _allowed() -> Iterator[str]:
    """Yield the folders that the environment variable names."""
    for folder in filter(None, re.split(r":(?!//)", os.environ.get(FOLDERS, ""))):
        yield _address(locate(folder))


def _remembered() -> frozenset[str]:
    with suppress(OSError, RuntimeError):
        status = _notes().stat()
        # with the size, since two changes may have one time
        return _read_notes(_notes(), status.st_mtime_ns, status.st_size)
    return frozenset()


@functools.lru_cache(maxsize=4)
def _read_notes(notes: Path, mtime_ns: int, nbytes: int) -> frozenset[str]:
    return frozenset(notes.read_text(encoding="utf-8", errors="surrogateescape").splitlines())


def _notes() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state, "curate/own")
