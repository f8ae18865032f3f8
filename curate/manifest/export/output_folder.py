"""Where an export of several files goes: a folder that appears under its name only when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path, PurePath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from curate.errors import RunError
from curate.manifest.export.images import Images
from curate.storage import atomic

__all__ = ["MANIFEST_NAME", "Folder", "new_folder"]

MANIFEST_NAME = "manifest.parquet"
"""Goes with every export of images: where each of them came from."""


class Folder:
    """The files of an export, named relative to its folder."""

    def __init__(self, url: str) -> None:
        self.url = url

    def create(self, name: str) -> AbstractContextManager[atomic.Sink]:
        """Write a file; see `atomic.create`."""
        return atomic.create(f"{self.url}/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file at once."""
        atomic.write(f"{self.url}/{name}", data)

    def write_manifest(self, images: Images) -> None:
        """Say where the images came from. Comes last, so on an object store it says that all is there."""
        self.write(MANIFEST_NAME, images.published())

    def path(self, name: str) -> Path:
        """A local path for what only writes to one.

        Raises:
            RunError: if the folder isn't local.
        """
        if "://" in self.url:
            raise RunError(
                f"{self.url} is no local folder, and such an export needs one: copy it there afterwards"
            )
        return Path(self.url, name)


@contextmanager
def new_folder(out: str | PurePath) -> Iterator[Folder]:
    """A folder to write an export into.

    On a local disk it stands beside `out` under a temporary name, and is renamed at the end; what a killed export left
    there is removed. Elsewhere files go to their place one by one, each whole.

    Raises:
        RunError: if `out` holds something, can't be written, or is being written by another process.
    """
    try:
        fs, path = fsspec.core.url_to_fs(str(out))
    except (ImportError, ValueError) as error:
        raise RunError(f"can't write {out}: {error}") from error
    if fs.exists(path) and (not fs.isdir(path) or fs.ls(path)):
        raise RunError(f"{out} is there already: remove it, or choose another --out")
    if not isinstance(fs, LocalFileSystem):
        yield Folder(str(out).rstrip("/"))
        return
    final = Path(path)
    staging = final.with_name(f"{atomic.TEMPORARY}{final.name}")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with _locked(staging, final):
            for left in staging.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            try:
                yield Folder(str(staging))
                staging.replace(final)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise atomic.explain(error, str(final)) from error


@contextmanager
def _locked(folder: Path, final: Path) -> Iterator[None]:
    """Hold a folder, so that two exports never write into it at once; the lock of a process that died is void."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"another export is writing {final}: wait for it or choose another --out"
            ) from error
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)
