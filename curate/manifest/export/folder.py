"""Export `folder`: files as served, training images side by side and test images by category."""

from __future__ import annotations

import re
from typing import Any

from curate.manifest.export.images import ExportOptions, Images, name_of
from curate.manifest.export.output_folder import Folder

__all__ = ["write_folder"]

_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]|^\.+|[. ]+$')
"""Characters that some file system refuses; category names may come from anyone's taxonomy."""
_LONGEST = 60
"""Characters of a folder's name, which may take four bytes each, of 255."""


def write_folder(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write HQ-50K's layout: `train/<id>.jpg` and `val/<category>/<id>.jpg`."""
    for rows in images.splits.values():
        for row, data in images.read(rows):
            folder.write(f"{_subfolder(row)}/{name_of(row)}", data)
    folder.write_manifest(images)


def _subfolder(row: dict[str, Any]) -> str:
    if row["split"] == "train":
        return "train"
    name = _UNSAFE.sub("_", row.get("category") or "")[:_LONGEST]
    return f"val/{name or 'unlabelled'}"
