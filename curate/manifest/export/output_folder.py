"""Output folder of an export, which appears under its name only when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path, PurePath

from curate.errors import RunError
from curate.manifest.export.images import Images
from curate.storage import atomic
from curate.storage.places import locate

__all__ = ["Folder", "new_folder"]


class Folder:
    """The files of an export, named relative to its folder."""

    def __init__(self, url: str) -> None:
        self.url = url

    def create(self, name: str) -> AbstractContextManager[atomic.Sink]:
        """Write a file; see `atomic.create`."""
        return atomic.create(f"{self.url}/{name}")

    def write(self, name: str, data: bytes) -> str:
        """Write a whole file at once, and return the SHA-256 of its bytes."""
        return atomic.write(f"{self.url}/{name}", data)

    def write_manifest(self, images: Images) -> None:
        """Write `manifest.parquet`, which says where each image comes from.

        It comes last, so on an object store it says that the export is whole.
        """
        self.write("manifest.parquet", images.published())

    def path(self, name: str) -> Path:
        """Return a local path for libraries that write to nothing else.

        Raises:
            RunError: if the folder isn't local.
        """
        if "://" in self.url:
            advice = "and such an export needs one: copy it there afterwards"
            raise RunError(f"{self.url} is no local folder, {advice}")
        return Path(self.url, name)


@contextmanager
def new_folder(out: str | PurePath) -> Iterator[Folder]:
    """Open a folder to write an export into.

    On a local disk it stands beside `out` under a temporary name and is renamed at the end;
    leftovers of a killed export are removed. Elsewhere files go to their place one by one, each
    whole.

    Raises:
        RunError: if `out` holds something, can't be written, or another process is writing it.
    """
    try:
        place = locate(out)
    except (ImportError, ValueError) as error:
        raise RunError(f"can't write {out}: {error}") from error
    fs, path = place.fs, place.path
    if fs.exists(path) and (not fs.isdir(path) or fs.ls(path)):
        raise RunError(f"{out} is there already: remove it, or choose another --out")
    if not place.is_local:
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
    """Lock a folder, so that two exports never write into it; a dead process holds no lock."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            advice = "wait for it or choose another --out"
            raise RunError(f"another export is writing {final}: {advice}") from error
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)
