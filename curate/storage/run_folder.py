"""A run folder on any fsspec file system."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from curate.errors import InputError, RunError
from curate.storage import atomic, places

__all__ = ["RunFolder"]

_TICK_NS = 50_000_000
"""Time within which two changes may have one mtime: Linux's clock for it ticks every 1 to 10 ms."""


class RunFolder:
    """Run folder at a path or any fsspec URL; pickles as its URL, so a worker opens its own."""

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = str(url).rstrip("/") or "/"
        try:
            place = places.locate(self.url)
        except (ImportError, ValueError) as error:
            raise RunError(f"can't open run folder {self.url}: {error}") from error
        self._fs = place.fs
        self._path: str = place.path.rstrip("/")
        self.is_local = place.is_local
        if self.is_local:
            self.url = self._path

    def __reduce__(self) -> tuple[Any, ...]:
        return RunFolder, (self.url,)

    def __str__(self) -> str:
        return self.url

    @property
    def is_shared(self) -> bool:
        """Whether other processes see the same files."""
        return "memory" not in self._fs.protocol

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        return bool(self._fs.exists(self._place(name).path))

    def names(self, folder: str, suffix: str) -> list[str]:
        """Return the sorted names of a folder's whole files that end in `suffix`.

        Names are paths in the run folder, such as `candidates/part-00000.parquet`.
        """
        self._fs.invalidate_cache()
        place = self._place(folder).path
        if not self._fs.isdir(place):
            return []
        names = []
        for path in self._fs.ls(place, detail=False):
            name = str(path).rsplit("/", 1)[-1]
            if name.endswith(suffix) and not name.startswith(atomic.TEMPORARY):
                names.append(f"{folder}/{name}")
        return sorted(names)

    def open(self, name: str) -> BufferedReader:
        """Open a file for reading.

        Raises:
            RunError: if it isn't there, or can't be a file of the run.
        """
        try:
            return self._place(name).open()
        except FileNotFoundError as error:
            raise RunError(
                f"{self.url} has no {name}: run the stage that makes it first"
            ) from error

    def read(self, name: str) -> bytes:
        """Return all bytes of a file."""
        with self.open(name) as file:
            return file.read()

    def head(self, name: str, nbytes: int) -> bytes:
        """Return a file's first bytes by one read, which is faster than `open` for a few megabytes.

        Raises:
            RunError: see `open`.
            OSError: if it can't be read.
        """
        return self._place(name).read(0, nbytes)

    def sha256(self, name: str) -> str | None:
        """Return the SHA-256 of a file in hex; None if it isn't there."""
        if not self.exists(name):
            return None
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def stamp(self, name: str) -> str | None:
        """Return a stamp that changes whenever the file does; None if there can be none.

        On a local disk: size, inode, mtime and ctime. On an object store: size and ETag.
        """
        self._fs.invalidate_cache()
        try:
            if self.is_local:
                return _local_stamp(Path(self._place(name).path).stat())
            info = self._fs.info(self._place(name).path)
        except FileNotFoundError:
            return None
        tag = next((info[key] for key in ("ETag", "etag") if info.get(key)), None)
        return tag and f"{info['size']} {tag}"

    def create(self, name: str) -> AbstractContextManager[atomic.Sink]:
        """Write a file that appears only when the block ends without an error; see `atomic`."""
        self._place(name)
        return atomic.create(f"{self.url}/{name}")

    def write(self, name: str, data: bytes) -> str:
        """Write a whole file atomically, and return its SHA-256."""
        self._place(name)
        return atomic.write(f"{self.url}/{name}", data)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self.exists(name):
            self._fs.rm_file(self._place(name).path)

    def _place(self, name: str) -> places.Place:
        """Return the place of a file, whose name may come from a record that others wrote."""
        try:
            if not places.is_plain_path(name):
                raise InputError(f"{name!r} is no path inside {self.url}")
            return places.resolve(self.url, name)
        except InputError as error:
            raise RunError(f"{error}: this can be no file of a run") from error

    @property
    def common(self) -> Path:
        """Local folder that all workers of a machine share: the run folder, if that is local."""
        if self.is_local:
            return Path(self._path)
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir(), f"curate-{os.getuid()}-{name}")
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a local folder for spooled data, and remove it afterwards."""
        try:
            if self.is_local:
                Path(self._path).mkdir(parents=True, exist_ok=True)
            parent = self._path if self.is_local else None
            path = Path(tempfile.mkdtemp(prefix=atomic.TEMPORARY, dir=parent))
        except OSError as error:
            raise atomic.explain(error, self.url) from error
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder against other runs, and remove the temporary files of killed ones.

        Local folders only; the lock of a dead process is void.

        Raises:
            RunError: if another process holds it, or the folder can't be written.
        """
        if not self.is_local:
            yield
            return
        import fcntl

        folder = Path(self._path)
        # innermost first
        created = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # neither through a link nor to a FIFO, which would wait for a reader
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            file = os.fdopen(os.open(folder / ".lock", flags, 0o666), "rb")
        except OSError as error:
            raise atomic.explain(error, self.url) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(
                    f"another curate run is using {self.url}: wait for it or choose another --out"
                ) from error
            self._remove_temporaries()
            try:
                yield
            finally:
                self._remove_temporaries()
                _remove_unused(folder, created)

    def _remove_temporaries(self) -> None:
        for pattern in (f"{atomic.TEMPORARY}*", f"*/{atomic.TEMPORARY}*"):
            for path in Path(self._path).glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _remove_unused(folder: Path, created: Iterable[Path]) -> None:
    """Remove the lock, and the folders that were made for it, where nothing else was written."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [".lock"]:
            Path(folder, ".lock").unlink()
            for path in created:
                path.rmdir()


def _local_stamp(stat: os.stat_result) -> str | None:
    fresh = time.time_ns() - stat.st_mtime_ns < _TICK_NS  # the next change may bear the same time
    coarse = stat.st_mtime_ns % 1_000_000_000 == 0  # a file system that counts whole seconds
    if fresh or coarse:
        return None
    return f"{stat.st_size} {stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns}"
