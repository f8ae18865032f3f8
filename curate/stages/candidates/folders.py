"""Candidates of a folder of images."""

from __future__ import annotations

from collections.abc import Iterator

from curate.stages.candidates.lists import Row
from curate.storage.atomic import list_files
from curate.storage.places import is_recordable, locate, remember

__all__ = ["read_folder"]


def read_folder(path: str, source: str) -> Iterator[Row]:
    """Yield every file of a folder, with the URL `file:<source>/<path below the folder>`.

    The URL is the same wherever the folder is.
    """
    folder = locate(path).url.rstrip("/")
    if not is_recordable(folder):
        remember(folder)
    for name, _ in list_files(path):
        yield {"url": f"file:{source}/{name}", "local_path": f"{folder}/{name}"}
