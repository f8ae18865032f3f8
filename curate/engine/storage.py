"""A run folder on any fsspec file system, in which a file under its final name is always whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from curate.errors import RunError

__all__ = ["RunFolder", "Sink"]

TEMPORARY = ".tmp-"
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class Sink:
    """A file being written: bytes go through `write`, which also hashes and counts them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.nbytes = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes."""
        self._file.write(data)
        self._hash.update(data)
        self.nbytes += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """SHA-256 of all bytes written so far, in hex."""
        return self._hash.hexdigest()


class RunFolder:
    """A folder named by a path or any fsspec URL. Pickles as its URL, so a worker opens its own connection."""

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = str(url)
        try:
            fs, path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise RunError(f"can't open run folder {self.url}: {error}") from error
        self._fs: fsspec.AbstractFileSystem = fs
        self._path: str = path.rstrip("/")
        self.is_local = isinstance(self._fs, LocalFileSystem)

    def __reduce__(self) -> tuple[Any, ...]:
        return RunFolder, (self.url,)

    def __str__(self) -> str:
        return self.url

    @property
    def shared(self) -> bool:
        """Whether other processes see the same files."""
        return self._fs.protocol not in ("memory", ("memory",))

    def locate(self, name: str) -> str:
        """Path of a file on the file system."""
        return f"{self._path}/{name}"

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return bool(self._fs.exists(self.locate(name)))

    def names(self, folder: str, suffix: str) -> list[str]:
        """Sorted names of the whole files of a folder that end in `suffix`, such as 'candidates/part-00000.parquet'."""
        self._fs.invalidate_cache()
        if not self._fs.isdir(self.locate(folder)):
            return []
        found = (str(path).rsplit("/", 1)[-1] for path in self._fs.ls(self.locate(folder), detail=False))
        return sorted(f"{folder}/{name}" for name in found if name.endswith(suffix) and not name.startswith(TEMPORARY))

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            RunError: if it isn't there.
        """
        try:
            return cast(BinaryIO, self._fs.open(self.locate(name), "rb"))
        except FileNotFoundError as error:
            raise RunError(f"{self.url} has no {name}: run the stage that makes it first") from error

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        with self.open(name) as file:
            return file.read()

    def sha256(self, name: str) -> str | None:
        """SHA-256 of a file in hex, None if it isn't there."""
        if not self.exists(name):
            return None
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, name: str, data: bytes) -> str:
        """Write a whole file at once, atomically; returns its SHA-256."""
        with self.create(name) as sink:
            sink.write(data)
        return sink.sha256

    @contextmanager
    def create(self, name: str) -> Iterator[Sink]:
        """Write a file that appears under its name only when the block ends without an error.

        Raises:
            RunError: if the folder can't be written or the disk is full.
        """
        try:
            with self._temporary(name) as path:
                with path.open("wb") as file:
                    yield Sink(file)
                    file.flush()
                    os.fsync(file.fileno())
                self._publish(path, name)
        except OSError as error:
            raise self._explain(error, name) from error

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder for spooled data, removed afterwards."""
        parent = self._local("scratch").parent if self.is_local else None
        try:
            if parent:
                parent.mkdir(parents=True, exist_ok=True)
            path = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=parent))
        except OSError as error:
            raise self._explain(error, "") from error
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Remove a file; does nothing when it isn't there."""
        if self.exists(name):
            self._fs.rm_file(self.locate(name))

    def remove_temporaries(self) -> None:
        """Remove what killed runs left behind. Only for the one who holds the folder's lock."""
        if self.is_local:
            root = Path(self._path)
            for path in [*root.glob(f"{TEMPORARY}*"), *root.glob(f"*/{TEMPORARY}*")]:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, so that two runs never write it at once. Local folders only; a dead holder's lock is void.

        Raises:
            RunError: if another process holds it, or the folder can't be written.
        """
        if not self.is_local:
            yield
            return
        import fcntl

        try:
            Path(self._path).mkdir(parents=True, exist_ok=True)
            file = self._local(".lock").open("a")
        except OSError as error:
            raise self._explain(error, "") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(f"another curate run is using {self.url}: wait for it, or choose another --out") from error
            yield

    def _local(self, name: str) -> Path:
        return Path(self.locate(name))

    @contextmanager
    def _temporary(self, name: str) -> Iterator[Path]:
        """A path to write to: beside the final one on a local disk, where a rename is atomic, else in a spool folder."""
        if self.is_local:
            final = self._local(name)
            final.parent.mkdir(parents=True, exist_ok=True)
            path = final.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        else:
            path = Path(tempfile.gettempdir()) / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _publish(self, path: Path, name: str) -> None:
        if self.is_local:
            final = self._local(name)
            path.replace(final)
            _sync_folder(final.parent)
        else:  # an object store shows a put only when it is whole
            self._fs.put_file(str(path), self.locate(name))
            self._fs.invalidate_cache()

    def _explain(self, error: OSError, name: str) -> Exception:
        if error.errno in _FATAL or isinstance(error, FileExistsError | NotADirectoryError):
            where = f"{self.url}/{name}".rstrip("/")
            return RunError(f"can't write {where}: {error.strerror or error}; make room or choose another --out")
        return error


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
