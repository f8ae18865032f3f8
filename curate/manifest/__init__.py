"""The manifest: a Parquet table of selected images with provenance and measures, the contract with the trainer."""

from curate.manifest.schema import (
    BROAD,
    CATEGORIES,
    LEDGER,
    MANIFEST,
    NAMED_CATEGORIES,
    SCHEMA_VERSION,
    Column,
    arrow_schema,
)
from curate.manifest.table import Manifest, encode_manifest, read_manifest, write_manifest

__all__ = [
    "BROAD",
    "CATEGORIES",
    "LEDGER",
    "MANIFEST",
    "NAMED_CATEGORIES",
    "SCHEMA_VERSION",
    "Column",
    "Manifest",
    "arrow_schema",
    "encode_manifest",
    "read_manifest",
    "write_manifest",
]
