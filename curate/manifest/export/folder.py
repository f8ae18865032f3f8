"""Export `folder`: files as served, training images side by side and test images by category."""

from __future__ import annotations

import json
import re
from typing import Any

from curate.manifest.export.images import ExportOptions, Images, name_of
from curate.manifest.export.output_folder import Folder

__all__ = ["write_folder"]

_FOLDERS = {"train": "train", "test": "val"}
_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]|^\.+|[. ]+$')
"""Characters that some file system refuses; category names may come from anyone's taxonomy."""
_LONGEST = 60
"""Characters of a folder's name, which may take four bytes each, of 255."""


def write_folder(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write HQ-50K's layout: `train/<id>.jpg` and `val/<category>/<id>.jpg`.

    Beside them, `train/metadata.jsonl` and `val/metadata.jsonl` hold the rows, as the image folders
    of `datasets` have it.
    """
    for split, rows in images.splits.items():
        top = _FOLDERS[split]
        with folder.create(f"{top}/metadata.jsonl") as sink:
            for row, data in images.read(rows):
                name = f"{_subfolder(row)}{name_of(row)}"
                folder.write(f"{top}/{name}", data)
                values = {"file_name": name, **images.narrow(row)}
                line = json.dumps(values, ensure_ascii=False)
                sink.write(f"{line}\n".encode())
    folder.write_manifest(images)


def _subfolder(row: dict[str, Any]) -> str:
    if row["split"] == "train":
        return ""
    name = _UNSAFE.sub("_", row.get("category") or "")[:_LONGEST]
    return f"{name or 'unlabelled'}/"
