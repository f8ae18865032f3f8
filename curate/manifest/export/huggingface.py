"""Export `hf`: a folder for the Hugging Face Hub, or for `datasets.load_dataset` as it is."""

from __future__ import annotations

import io
import json
import posixpath
import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.manifest.export.images import ExportOptions, Images, name_of
from curate.manifest.export.output_folder import Folder
from curate.manifest.schema import huggingface_features
from curate.storage import atomic, places

__all__ = ["front_matter", "write_huggingface"]

_GROUP_ROWS, _GROUP_BYTES = 100, 2**26
"""Limits of a row group, which has to fit into memory, and which the Hub's viewer reads at once."""
_IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_FIGURE = re.compile(r"[\w-]+\.svg")
_MAX_NBYTES = 2**24
"""Most bytes of a card, and of a figure."""
_ORIGIN = ("recipe_name", "recipe_fingerprint", "seed", "code", "schema")
"""Metadata that the plain dataset card shows."""


def write_huggingface(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write `data/train-00000-of-00050.parquet` and so on, and `README.md`.

    The bytes of the images, as served, stand in a column `image`.
    """
    # the metadata of the columns, with one that `datasets` decodes before them
    features = json.loads(huggingface_features(images.schema))
    features["info"]["features"] = {"image": {"_type": "Image"}, **features["info"]["features"]}
    metadata = {"huggingface": json.dumps(features, separators=(",", ":"))}
    schema = pa.schema([_IMAGE, *images.schema], metadata)
    for split, number, total, rows in images.files(options.per_file):
        samples = (
            {"image": {"bytes": data, "path": name_of(row)}, **row}
            for row, data in images.read(rows)
        )
        with folder.create(f"data/{split}-{number:05}-of-{total:05}.parquet") as sink:
            _write_parquet(sink, samples, schema)
    text, figures = _card(images)
    for name, data in figures.items():
        folder.write(name, data)
    splits = {split: f"data/{split}-*.parquet" for split in images.splits}
    folder.write("README.md", (front_matter(splits, len(images.exported)) + text).encode())
    folder.write_manifest(images)


def front_matter(splits: dict[str, str], count: int) -> str:
    """Return the YAML header of a dataset card, which the Hub and `datasets` read.

    Args:
        splits: split -> its files.
        count: images in all.
    """
    size = next((name for limit, name in _SIZES if count < limit), "n>1M")
    files = "".join(f"  - split: {split}\n    path: {path}\n" for split, path in splits.items())
    return f"""---
task_categories:
- image-to-image
tags:
- image-restoration
- super-resolution
size_categories:
- {size}
configs:
- config_name: default
  data_files:
{files}---

"""


class _File(io.RawIOBase):
    """A sink as the file that Arrow's writer wants."""

    def __init__(self, sink: atomic.Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._sink.write(memoryview(data))

    def tell(self) -> int:
        return self._sink.nbytes


def _write_parquet(sink: atomic.Sink, samples: Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """Write samples in row groups of bounded size, so that few images are in memory at once."""
    others = schema.names[1:]
    # image files don't get smaller
    codecs = {"image.bytes": "none", "image.path": "none", **dict.fromkeys(others, "zstd")}
    file, nbytes = _File(sink), 0
    group: list[dict[str, Any]] = []
    with pq.ParquetWriter(file, schema, compression=codecs, use_dictionary=others) as writer:
        for sample in samples:
            group.append(sample)
            nbytes += sample["nbytes"]
            if len(group) == _GROUP_ROWS or nbytes >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group, nbytes = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _card(images: Images) -> tuple[str, dict[str, bytes]]:
    """Return the text of the dataset card without its header, and its figures by name.

    It is the run's own card if there is one, otherwise the little that manifests alone say.
    """
    folder = posixpath.dirname(images.manifests[0].path.replace("\\", "/")) or "."
    if data := _read_beside(folder, "README.md"):
        text = data.decode(errors="replace")
        # any README.md may lie beside a manifest: the card is the one with these fingerprints
        if all(manifest.fingerprint in text for manifest in images.manifests):
            body = text.split("\n---\n", 1)[1].lstrip("\n") if text.startswith("---\n") else text
            figures = {name: _read_beside(folder, name) for name in _figures(folder)}
            return body, {name: data for name, data in figures.items() if data is not None}
    name = images.metadata.get("recipe_name", "Dataset")
    known = sorted(images.metadata.keys() & set(_ORIGIN))
    lines = "\n".join(f"- {key}: `{images.metadata[key]}`" for key in known)
    return f"# {name}\n\nImages selected for training restorers.\n\n{lines}\n", {}


def _figures(folder: str) -> list[str]:
    """Return the names of a card's figures, relative to its folder."""
    place = places.locate(f"{folder}/figures")
    if not place.fs.isdir(place.path):
        return []
    names = [posixpath.basename(str(path)) for path in place.fs.ls(place.path, detail=False)]
    return [f"figures/{name}" for name in sorted(names) if _FIGURE.fullmatch(name)]


def _read_beside(folder: str, name: str) -> bytes | None:
    """Return the bytes of a file in a manifest's folder; None if it isn't there, or leads out."""
    try:
        with places.resolve(folder, name).open() as file:
            return file.read(_MAX_NBYTES)
    except (InputError, OSError):
        return None
