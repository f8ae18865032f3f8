"""Images that are on disk already, in a folder."""

from __future__ import annotations

from collections.abc import Iterator

import fsspec

from curate.stages.candidates.lists import Row
from curate.storage.atomic import list_files

__all__ = ["read_folder"]


def read_folder(path: str, source: str) -> Iterator[Row]:
    """Every file of a folder, as `file:<source>/<path below it>`: the same URL wherever the folder lies."""
    fs, root = fsspec.core.url_to_fs(path)
    for name, _ in list_files(path):
        yield {"url": f"file:{source}/{name}", "local_path": fs.unstrip_protocol(f"{root}/{name}")}
