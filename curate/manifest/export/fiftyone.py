"""Export `fiftyone`: a dataset folder that FiftyOne opens, its rows as fields of the samples.

The folder has the form of FiftyOne's own exports (`fiftyone.types.FiftyOneDataset`): the documents
of its database as extended JSON, beside the files. FiftyOne isn't needed to write it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa

from curate.manifest.export.images import ExportOptions, Images, Row, name_of
from curate.manifest.export.output_folder import Folder

__all__ = ["write_fiftyone"]

_VERSION = "1.0.0"
"""Version of FiftyOne whose form this is; later ones bring it up to theirs when they open it."""
_TIME = {"$date": "1970-01-01T00:00:00Z"}
"""A time that every export has, so that its bytes are always the same."""
_TAKEN = {"id": "image_id", "metadata": "image_metadata", "tags": "image_tags"}
"""Column -> its field, where FiftyOne has a field of the column's name."""
_CORE = "fiftyone.core"
_OWN_FIELDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("id", "ObjectIdField", {"db_field": "_id"}),
    ("filepath", "StringField", {}),
    ("tags", "ListField", {"subfield": f"{_CORE}.fields.StringField"}),
    ("metadata", "EmbeddedDocumentField", {"embedded_doc_type": f"{_CORE}.metadata.ImageMetadata"}),
    ("created_at", "DateTimeField", {"read_only": True}),
    ("last_modified_at", "DateTimeField", {"read_only": True}),
    ("_media_type", "StringField", {}),
    ("_rand", "FloatField", {}),
    ("_dataset_id", "ObjectIdField", {}),
    ("label", "EmbeddedDocumentField", {"embedded_doc_type": f"{_CORE}.labels.Classification"}),
)
"""Name, type and further settings of the fields that hold no column."""


def write_fiftyone(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write `data/<id>.jpg` as served, `samples.json`, `metadata.json` and the manifest.

    A sample's tag is its split, its `label` the category with its score, and each column of the
    manifest is a field.
    """
    dataset = _object_id("dataset", images.metadata.get("recipe_fingerprint", ""))
    with folder.create("samples.json") as sink:
        separator = b'{"samples": ['
        for split, rows in images.splits.items():
            for row, data in images.read(rows):
                path = f"data/{name_of(row)}"
                folder.write(path, data)
                sample = _sample(images.narrow(row), path, split, dataset)
                line = json.dumps(sample, ensure_ascii=False, separators=(",", ":"))
                sink.write(separator + line.encode())
                separator = b",\n"
        sink.write(b"]}\n")
    folder.write("metadata.json", json.dumps(_dataset(images, dataset), indent=1).encode())
    folder.write_manifest(images)


def _sample(row: Row, path: str, split: str, dataset: dict[str, str]) -> dict[str, Any]:
    """Return the document of a row."""
    document: dict[str, Any] = {
        "_id": _object_id("sample", row["id"]),
        "filepath": path,
        "tags": [split],
        "_media_type": "image",
        "_rand": int(row["id"], 16) / 16**16,
        "_dataset_id": dataset,
        "created_at": _TIME,
        "last_modified_at": _TIME,
        "metadata": {
            "_cls": "ImageMetadata",
            "size_bytes": row["nbytes"],
            "width": row["width"],
            "height": row["height"],
        },
    }
    if row.get("category"):
        document["label"] = {
            "_id": _object_id("label", row["id"]),
            "_cls": "Classification",
            "tags": [],
            "label": row["category"],
            "confidence": row.get("label_score"),
        }
    return document | {_TAKEN.get(name, name): value for name, value in row.items()}


def _dataset(images: Images, dataset: dict[str, str]) -> dict[str, Any]:
    """Return the document of the dataset: its name and the types of its fields."""
    fields = [_field(name, kind, **settings) for name, kind, settings in _OWN_FIELDS]
    for column in images.schema:
        fields.append(_field(_TAKEN.get(column.name, column.name), _kind(column.type)))
    return {
        "_id": dataset,
        "name": images.metadata.get("recipe_name", "curate"),
        "version": _VERSION,
        "created_at": _TIME,
        "last_loaded_at": _TIME,
        "persistent": False,
        "media_type": "image",
        "info": {name: images.metadata[name] for name in sorted(images.metadata)},
        "sample_fields": fields,
        "frame_fields": [],
    }


def _field(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": f"{_CORE}.fields.{kind}",
        "embedded_doc_type": None,
        "subfield": None,
        "fields": [],
        "db_field": name,
        "description": None,
        "info": None,
        "read_only": False,
        "created_at": _TIME,
    } | settings


def _kind(type_: pa.DataType) -> str:
    """Return the field type of a column."""
    if pa.types.is_boolean(type_):
        return "BooleanField"
    if pa.types.is_floating(type_):
        return "FloatField"
    if pa.types.is_integer(type_) and type_ != pa.uint64():
        return "IntField"
    return "StringField"


def _object_id(kind: str, name: str) -> dict[str, str]:
    """Return an id of the database that follows from a name: 24 hex digits."""
    return {"$oid": hashlib.sha256(f"{kind} {name}".encode()).hexdigest()[:24]}
