"""Exports: a dataset in the forms that others open, whole or not at all, and always the same bytes.

| kind | files | opened by |
| --- | --- | --- |
| manifest | one Parquet file, without the places of this machine | `curate`, pandas, `datasets` |
| csv | the same as CSV | spreadsheets |
| urls | URLs, with hashes in .tsv and .parquet | img2dataset |
| webdataset | tars of images and their rows as JSON | `webdataset` |
| hf | Parquet files that hold the images, and a README.md | `datasets.load_dataset` |
| folder | train/ and val/CATEGORY/ | torchvision, anything that reads files |
| fiftyone | files, and their rows as JSON | FiftyOne |
| lmdb | train.lmdb and test.lmdb of PNG files, with meta_info.txt | BasicSR and its descendants |
| crops | sub-images as PNG in tars, files or LMDBs, and a manifest | `curate train`, BasicSR |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from curate.errors import ManifestError
from curate.manifest.export.crops import write_crops
from curate.manifest.export.fiftyone import write_fiftyone
from curate.manifest.export.folder import write_folder
from curate.manifest.export.huggingface import write_huggingface
from curate.manifest.export.images import ExportOptions, Images
from curate.manifest.export.lists import write_csv, write_published, write_urls
from curate.manifest.export.lmdb import write_lmdb
from curate.manifest.export.output_folder import Folder, new_folder
from curate.manifest.export.webdataset import write_webdataset
from curate.manifest.table import Manifest, open_manifests

__all__ = ["KINDS", "ExportOptions", "Exported", "export_manifest"]

_LISTS = {"manifest": write_published, "csv": write_csv, "urls": write_urls}
_BY_SUFFIX = {".parquet": "manifest", ".csv": "csv", ".txt": "urls", ".tsv": "urls"}
_FOLDERS: dict[str, Callable[[Images, Folder, ExportOptions], None]] = {
    "webdataset": write_webdataset,
    "hf": write_huggingface,
    "folder": write_folder,
    "fiftyone": write_fiftyone,
    "lmdb": write_lmdb,
    "crops": write_crops,
}

KINDS = (*_LISTS, *_FOLDERS)
"""Kinds of export."""


@dataclass(frozen=True)
class Exported:
    """Result of an export."""

    kind: str
    images: int
    """Images, or rows of a list."""
    left_out: tuple[str, ...] = ()
    """The fault of each image that was left out."""


def export_manifest(
    source: str | os.PathLike[str] | Manifest | Sequence[Manifest],
    out: str | PurePath,
    to: str | None = None,
    *,
    options: ExportOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write a dataset in a form that others open.

    The same rows and settings give the same bytes. Images are read one at a time and checked
    against their SHA-256. The export stands under a temporary name beside `out` until it is
    whole. After a kill, the same call starts again from the beginning.

    Args:
        source: a run folder, a manifest or its path, or several manifests.
        out: file of a list (`manifest`, `csv`, `urls`), otherwise a folder that is new or empty.
        to: one of KINDS; optional for lists if `out` ends in .parquet, .csv, .tsv or .txt.
        options: for exports that hold images.
        progress: called with images done and all images.

    Raises:
        ManifestError: if the kind isn't known, an image can't be read (naming its row), or images
            of a list of URLs have none.
        RunError: if `out` can't be written, or holds something.
        MissingExtra: if the kind needs a library that isn't installed.
    """
    manifests = [source] if isinstance(source, Manifest) else source
    if isinstance(manifests, str | os.PathLike):
        manifests = open_manifests(os.fspath(manifests))
    kind = to or _BY_SUFFIX.get(PurePath(out).suffix, "")
    if kind in _LISTS:
        return Exported(kind, _LISTS[kind](manifests, out))
    if kind not in _FOLDERS:
        fault = f"no kind of export {to!r}" if to else f"{out} does not tell what to export"
        raise ManifestError(f"{fault}: name one with --to, of {', '.join(KINDS)}")
    options = options or ExportOptions()
    images = Images(manifests, options.skip_damaged, progress)
    with new_folder(out) as folder:
        _FOLDERS[kind](images, folder, options)
        images.finish()
    return Exported(kind, len(images.exported), tuple(images.left_out))
