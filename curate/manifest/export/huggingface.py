"""`hf`: a folder for the Hugging Face Hub, or for `datasets.load_dataset` as it is."""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Iterable
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from curate.manifest.export.images import ExportOptions, Images, name_of
from curate.manifest.export.output_folder import Folder
from curate.manifest.schema import huggingface_features
from curate.storage import atomic

__all__ = ["front_matter", "write_huggingface"]

_GROUP_ROWS, _GROUP_BYTES = 100, 2**26
"""A row group is what memory holds, and what the Hub's viewer reads at once."""
_IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_huggingface(images: Images, folder: Folder, options: ExportOptions) -> None:
    """`data/train-00000-of-00050.parquet` and so on, the bytes as served in a column `image`, and `README.md`."""
    schema = pa.schema([_IMAGE, *images.schema])
    features = json.loads(huggingface_features(images.schema))
    features["info"]["features"] = {"image": {"_type": "Image"}, **features["info"]["features"]}
    schema = schema.with_metadata({"huggingface": json.dumps(features, separators=(",", ":"))})
    for split, number, total, rows in images.files(options.per_file):
        with folder.create(f"data/{split}-{number:05}-of-{total:05}.parquet") as sink:
            samples = (
                {"image": {"bytes": d, "path": name_of(row)}, **row} for row, d in images.read(rows)
            )
            _write_parquet(sink, samples, schema)
    text, figures = _card(images)
    for name, data in figures.items():
        folder.write(name, data)
    splits = {split: f"data/{split}-*.parquet" for split in images.splits}
    folder.write("README.md", (front_matter(splits, images.count) + text).encode())
    folder.write_manifest(images)


def front_matter(splits: dict[str, str], count: int) -> str:
    """The YAML header of a dataset card: what the Hub, and `datasets`, want to know.

    Args:
        splits: split -> its files.
        count: images in all.
    """
    size = next((name for limit, name in _SIZES if count < limit), "n>1M")
    lines = [
        "---",
        "task_categories:",
        "- image-to-image",
        "tags:",
        "- image-restoration",
        "- super-resolution",
    ]
    lines += [
        "size_categories:",
        f"- {size}",
        "configs:",
        "- config_name: default",
        "  data_files:",
    ]
    for split, path in splits.items():
        lines += [f"  - split: {split}", f"    path: {path}"]
    return "\n".join([*lines, "---", "", ""])


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
    # image files don't get smaller
    codecs = {f"image.{name}": "none" for name in ("bytes", "path")} | dict.fromkeys(
        schema.names[1:], "zstd"
    )
    with pq.ParquetWriter(
        _File(sink), schema, compression=codecs, use_dictionary=schema.names[1:]
    ) as writer:
        group: list[dict[str, Any]] = []
        nbytes = 0
        for sample in samples:
            group.append(sample)
            nbytes += sample["nbytes"]
            if len(group) == _GROUP_ROWS or nbytes >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group, nbytes = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _card(images: Images) -> tuple[str, dict[str, bytes]]:
    """The run's own dataset card less its header, with its figures; or what little manifests alone tell."""
    folder = posixpath.dirname(images.manifests[0].path.replace("\\", "/")) or "."
    fs, path = fsspec.core.url_to_fs(folder)
    if fs.exists(f"{path}/README.md"):
        text: str = fs.cat_file(f"{path}/README.md").decode(errors="replace")
        # any README.md may lie beside a manifest: the card is the one that tells these fingerprints
        if all(manifest.fingerprint in text for manifest in images.manifests):
            figures = sorted(map(str, fs.glob(f"{path}/figures/*.svg")))
            body = text.split("\n---\n", 1)[1].lstrip("\n") if text.startswith("---\n") else text
            return body, {
                f"figures/{posixpath.basename(name)}": fs.cat_file(name) for name in figures
            }
    made = "\n".join(
        f"- {key}: `{value}`" for key, value in sorted(images.metadata.items()) if key in _MADE
    )
    name = images.metadata.get("recipe_name", "Dataset")
    return f"# {name}\n\nImages selected for training restorers.\n\n{made}\n", {}


_MADE = ("recipe_name", "recipe_fingerprint", "seed", "code", "schema")
