"""Pins: earlier picks that a selection keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from curate.errors import InputError
from curate.manifest import read_manifest
from curate.storage import atomic

__all__ = ["Pins", "read_pins"]

Pins = dict[str, str]
"""id -> split."""

_ID = re.compile(r"[0-9a-f]{16}")


def read_pins(paths: Sequence[str]) -> Pins:
    """Read the picks of manifests (`.parquet`) and of lists of training images, one id a line.

    Raises:
        InputError: if a list can't be read, a line is no id, or an image is pinned to both splits.
        ManifestError: if a manifest can't be read.
    """
    pins: Pins = {}
    for path in paths:
        for id_, split in _read_manifest(path) if path.endswith(".parquet") else _read_list(path):
            if (other := pins.setdefault(id_, split)) != split:
                raise InputError(
                    f"{path} pins {id_} to {split}, but another of select.pins has it in {other}"
                )
    return pins


def _read_manifest(path: str) -> Iterator[tuple[str, str]]:
    manifest = read_manifest(path)
    return zip(manifest.column("id"), manifest.column("split"), strict=True)


def _read_list(path: str) -> Iterator[tuple[str, str]]:
    try:
        lines = atomic.read_lines(path)
    except InputError as error:
        raise InputError(f"select.pins: {error}") from error
    for number, id_ in lines:
        if not _ID.fullmatch(id_):
            raise InputError(
                f"{path} line {number}: {id_[:40]!r} is no id: 16 hex digits, as in the ledger's "
                "id column"
            )
        yield id_, "train"
