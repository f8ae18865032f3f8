"""Export `webdataset`: tars whose members are the images as served, each with its row as JSON."""

from __future__ import annotations

import json

from curate.manifest.export.images import ExportOptions, Images, name_of
from curate.manifest.export.output_folder import Folder
from curate.storage.tar import TarWriter

__all__ = ["write_webdataset"]


def write_webdataset(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write `train-00000.tar` and so on: `<id>.jpg` and `<id>.json`, in the manifest's order."""
    for split, number, _, rows in images.files(options.per_file):
        with folder.create(f"{split}-{number:05}.tar") as sink:
            tar = TarWriter(sink)
            for row, data in images.read(rows):
                tar.add_bytes(name_of(row), data)
                known = {name: value for name, value in row.items() if value is not None}
                tar.add_bytes(f"{row['id']}.json", json.dumps(known, ensure_ascii=False).encode())
            tar.close()
    folder.write_manifest(images)
