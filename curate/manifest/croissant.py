"""Croissant: what a manifest is, in the JSON-LD that dataset search engines and `mlcroissant` read (version 1.0)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.manifest.schema import MANIFEST, PAIRED

__all__ = ["describe"]

# the standard one, word for word, or its readers complain
_WORDS = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes "
    "isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform "
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


def describe(
    name: str, description: str, files: Mapping[str, tuple[pa.Schema, str]], licences: list[str]
) -> bytes:
    """The text of a `croissant.json` that stands beside manifests.

    What only the author knows (who made it, where it is published, how to cite it) is not in it.

    Args:
        name: of the dataset.
        description: in a sentence or two.
        files: split -> schema and SHA-256 of `<split>.parquet`.
        licences: those stated for its images.
    """
    about = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "keywords": ["image restoration", "super-resolution", "denoising"],
        **({"license": licences} if licences else {}),
        "distribution": [_file(split, sha256) for split, (_, sha256) in files.items()],
        "recordSet": [_records(split, schema) for split, (schema, _) in files.items()],
    }
    return (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()


def _file(split: str, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": f"{split}.parquet",
        "name": f"{split}.parquet",
        "description": f"The {split} split: a row for each image.",
        "contentUrl": f"{split}.parquet",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


def _records(split: str, schema: pa.Schema) -> dict[str, Any]:
    meanings = {column.name: column for column in (*MANIFEST, *PAIRED)}
    fields = []
    for field in schema:
        column = meanings.get(field.name)
        told = (
            (f"{column.meaning} ({column.unit})" if column.unit else column.meaning)
            if column
            else ""
        )
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{split}/{field.name}",
                "name": field.name,
                "description": told or "a column of the input's own",
                "dataType": _type(field.type),
                "source": {
                    "fileObject": {"@id": f"{split}.parquet"},
                    "extract": {"column": field.name},
                },
            }
        )
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"Images of the {split} split.",
        "key": {"@id": f"{split}/id"},
        "field": fields,
    }


def _type(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "sc:Boolean"
    if pa.types.is_integer(type_):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(type_) else "sc:Text"
