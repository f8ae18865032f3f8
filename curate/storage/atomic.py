"""Atomic files: a file under its final name is always whole. Also reads images out of tars."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from curate.errors import InputError, RunError
from curate.storage import places

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "TEMPORARY",
    "Sink",
    "create",
    "explain",
    "list_files",
    "read_images",
    "read_lines",
    "write",
]

TEMPORARY = ".tmp-"
"""Prefix of the names of unfinished files."""

_FATAL = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR,
    errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT, errno.EFBIG, errno.ELOOP,
}  # fmt: skip


class Sink:
    """File being written: `write` also hashes and counts the bytes."""

    def __init__(self, file: IO[bytes], url: str | os.PathLike[str]) -> None:
        self._file = file
        self._url = url
        self._hash = hashlib.sha256()
        self.nbytes = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes."""
        with _explained(self._url):
            self._file.write(data)
        self._hash.update(data)
        self.nbytes += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """SHA-256 of all bytes written so far, in hex."""
        return self._hash.hexdigest()


@contextmanager
def create(url: str | os.PathLike[str]) -> Iterator[Sink]:
    """Write a file that appears under its name only when the block ends without an error.

    On a local disk: a temporary name in the same folder, flushed, then renamed. Elsewhere: spooled,
    then put, since an object store shows a put only when it is whole.

    Raises:
        RunError: if the place can't be written or the disk is full.
    """
    try:
        place = places.locate(url)
    except (ImportError, ValueError) as error:
        raise RunError(f"can't write {url}: {error}") from error
    folder = Path(place.path).parent if place.is_local else Path(tempfile.gettempdir())
    spool = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    with _explained(url):
        folder.mkdir(parents=True, exist_ok=True)
        file = spool.open("wb")
    try:
        yield Sink(file, url)
        with _explained(url):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            if place.is_local:
                spool.replace(place.path)
                _sync(folder)
            else:
                place.fs.put_file(str(spool), place.path)
                place.fs.invalidate_cache()
    finally:
        with suppress(OSError):  # the disk is full, and that has been said
            file.close()
        spool.unlink(missing_ok=True)


def write(url: str | os.PathLike[str], data: bytes) -> str:
    """Write a whole file atomically, and return the SHA-256 of its bytes."""
    with create(url) as sink:
        sink.write(data)
    return sink.sha256


def read_images(open_file: Callable[[str], IO[bytes]], rows: pa.Table) -> Iterator[bytes]:
    """Yield the bytes of each row's image, in order; each tar is opened once.

    Args:
        open_file: opens the file that the column `tar` names.
        rows: with columns id, tar, offset, nbytes and sha256.

    Raises:
        RunError: if the bytes are not the fetched ones.
    """
    with ExitStack() as stack:
        tars: dict[str, IO[bytes]] = {}
        columns = (rows[name].to_pylist() for name in ("id", "tar", "offset", "nbytes", "sha256"))
        for id_, tar, offset, nbytes, sha256 in zip(*columns, strict=True):
            if tar not in tars:
                tars[tar] = stack.enter_context(open_file(tar))
            tars[tar].seek(offset)
            data = tars[tar].read(nbytes)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise RunError(
                    f"{tar} is damaged at {id_}: curate run with --verify mends what can be mended"
                )
            yield data


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a user's text with their numbers from 1, stripped and without blank ones.

    Raises:
        InputError: if it can't be read, or is no text.
    """
    try:
        with places.open_file(path) as file:
            lines = file.read().decode("utf-8-sig").splitlines()
    except (OSError, ImportError, ValueError) as error:  # ValueError: no text, or no file system
        raise InputError(
            f"can't read {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    return ((number, text) for number, line in enumerate(lines, 1) if (text := line.strip()))


def explain(error: OSError, url: str) -> Exception:
    """Return the error to raise instead: a RunError where no other try can succeed."""
    # an object store's client may set the type alone, without an errno
    if error.errno in _FATAL or isinstance(error, FileNotFoundError | PermissionError):
        return RunError(
            f"can't write {url}: {error.strerror or error}; make room there or choose another place"
        )
    return error


@contextmanager
def _explained(url: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain(error, str(url)) from error


def _sync(folder: Path) -> None:
    """Make a rename outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def list_files(path: str, *, inside: bool = False) -> list[tuple[str, int]]:
    """Return the sorted (path below the folder, bytes) of every file that isn't hidden.

    On a disk, links are followed; see `places.walk`.

    Args:
        path: of the folder.
        inside: refuse links that lead out of it, since others have made it.

    Raises:
        InputError: if there is no such folder, or a part of it can't be listed.
    """
    try:
        place = places.locate(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"can't open {path}: {error}") from error
    fs, root = place.fs, place.path
    if not fs.isdir(root):
        raise InputError(f"no folder at {path}")
    if place.is_local:
        try:
            return sorted(places.walk(root, inside=inside))
        except OSError as error:
            fault = f"can't list {error.filename or path}: {error.strerror or error}"
            raise InputError(f"{fault}; mend that, or name the folders beside it") from error
    files = fs.find(root, detail=True)
    listed = []
    for name, info in files.items():
        path_below = PurePosixPath(name).relative_to(root)
        if not any(part.startswith(".") for part in path_below.parts):
            listed.append((str(path_below), int(info["size"])))
    return sorted(listed)
