"""Images that are on disk already, in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import fsspec

from curate.errors import InputError
from curate.stages.candidates.lists import Row

__all__ = ["list_files", "read_folder"]


def list_files(path: str) -> list[tuple[str, int]]:
    """Sorted (path below the folder, bytes) of every file that isn't hidden, at any depth.

    Raises:
        InputError: if there is no such folder.
    """
    fs, root = fsspec.core.url_to_fs(path)
    if not fs.isdir(root):
        raise InputError(f"no folder at {path}")
    files = fs.find(root, detail=True)
    below = ((str(PurePosixPath(name).relative_to(root)), int(info["size"])) for name, info in files.items())
    return sorted((name, size) for name, size in below if not any(p.startswith(".") for p in PurePosixPath(name).parts))


def read_folder(path: str, source: str) -> Iterator[Row]:
    """Every file of a folder, as `file:<source>/<path below it>`: the same URL wherever the folder lies."""
    fs, root = fsspec.core.url_to_fs(path)
    for name, _ in list_files(path):
        yield {"url": f"file:{source}/{name}", "local_path": fs.unstrip_protocol(f"{root}/{name}")}
