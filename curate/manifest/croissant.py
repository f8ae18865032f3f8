"""Croissant 1.0: manifests described in the JSON-LD of search engines and `mlcroissant`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.manifest.schema import MANIFEST, PAIRED

__all__ = ["describe"]

# the standard context, word for word, or its readers complain
_WORDS = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format "
    "includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated "
    "replace samplingRate separator source subField transform"
)
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "sc": "https://schema.org/",
    **{word: f"cr:{word}" for word in _WORDS.split()},
}
_MEANINGS = {
    column.name: f"{column.meaning} ({column.unit})" if column.unit else column.meaning
    for column in (*MANIFEST, *PAIRED)
}


def describe(
    name: str, description: str, files: Mapping[str, tuple[pa.Schema, str]], licences: list[str]
) -> bytes:
    """Return the text of a `croissant.json` that stands beside manifests.

    It lacks what only the author knows: who made it, where it is published, how to cite it.

    Args:
        name: of the dataset.
        description: in a sentence or two.
        files: split -> schema and SHA-256 of `<split>.parquet`.
        licences: those stated for its images.
    """
    about: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "keywords": ["image restoration", "super-resolution", "denoising"],
        **({"license": licences} if licences else {}),
        "distribution": [],
        "recordSet": [],
    }
    for split, (schema, sha256) in files.items():
        about["distribution"].append(_file(split, sha256))
        about["recordSet"].append(_records(split, schema))
    return (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()


def _node(type_: str, id_: str, name: str, description: str, **facts: Any) -> dict[str, Any]:
    node = {"@type": f"cr:{type_}", "@id": id_, "name": name, "description": description}
    return {**node, **facts}


def _file(split: str, sha256: str) -> dict[str, Any]:
    name, description = f"{split}.parquet", f"The {split} split: a row for each image."
    form = "application/x-parquet"
    facts = {"contentUrl": name, "encodingFormat": form, "sha256": sha256}
    return _node("FileObject", name, name, description, **facts)


def _records(split: str, schema: pa.Schema) -> dict[str, Any]:
    fields = []
    for field in schema:
        name = field.name
        meaning = _MEANINGS.get(name, "a column of the input's own")
        source = {"fileObject": {"@id": f"{split}.parquet"}, "extract": {"column": name}}
        facts = {"dataType": _type(field.type), "source": source}
        fields.append(_node("Field", f"{split}/{name}", name, meaning, **facts))
    key, description = {"@id": f"{split}/id"}, f"Images of the {split} split."
    return _node("RecordSet", split, split, description, key=key, field=fields)


def _type(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "sc:Boolean"
    if pa.types.is_integer(type_):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(type_) else "sc:Text"
