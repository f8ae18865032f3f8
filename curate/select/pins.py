"""Earlier picks that a selection keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import fsspec

from curate.errors import InputError
from curate.manifest import read_manifest

__all__ = ["Pins", "read_pins"]

Pins = dict[str, str]
"""id -> split."""

_ID = re.compile(r"[0-9a-f]{16}")


def read_pins(paths: Sequence[str]) -> Pins:
    """The picks of manifests (`.parquet`), and of lists of ids, one a line, which are training images.

    Raises:
        InputError: if a list can't be read, a line is no id, or an image is pinned to both splits.
        ManifestError: if a manifest can't be read.
    """
    pins: Pins = {}
    for path in paths:
        for id_, split in _read_manifest(path) if path.endswith(".parquet") else _read_list(path):
            if pins.setdefault(id_, split) != split:
                raise InputError(f"{path} pins {id_} to {split}, but another of select.pins has it in {pins[id_]}")
    return pins


def _read_manifest(path: str) -> Iterator[tuple[str, str]]:
    manifest = read_manifest(path)
    return zip(manifest.column("id"), manifest.column("split"), strict=True)


def _read_list(path: str) -> Iterator[tuple[str, str]]:
    try:
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ImportError, ValueError) as error:  # ValueError: no text, or no such file system
        raise InputError(f"can't read select.pins {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if (id_ := line.strip()) and not _ID.fullmatch(id_):
            raise InputError(
                f"{path} line {number}: {id_[:40]!r} is no id: 16 hex digits, as in the ledger's id column"
            )
        if id_:
            yield id_, "train"
