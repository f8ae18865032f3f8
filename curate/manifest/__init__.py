"""The manifest: a Parquet table of selected images with provenance and measures, the contract with the trainer."""

from curate.manifest.check import Difference, Fault, compare, find_faults
from curate.manifest.combine import Merged, merge, sample
from curate.manifest.export import Exported, ExportOptions, export_manifest
from curate.manifest.schema import (
    BROAD,
    CATEGORIES,
    LEDGER,
    MANIFEST,
    NAMED_CATEGORIES,
    PAIRED,
    SCHEMA_VERSION,
    Column,
    arrow_schema,
)
from curate.manifest.table import (
    Manifest,
    encode_manifest,
    open_manifests,
    read_manifest,
    write_manifest,
)

__all__ = [
    "BROAD",
    "CATEGORIES",
    "LEDGER",
    "MANIFEST",
    "NAMED_CATEGORIES",
    "PAIRED",
    "SCHEMA_VERSION",
    "Column",
    "Difference",
    "ExportOptions",
    "Exported",
    "Fault",
    "Manifest",
    "Merged",
    "arrow_schema",
    "compare",
    "encode_manifest",
    "export_manifest",
    "find_faults",
    "merge",
    "open_manifests",
    "read_manifest",
    "sample",
    "write_manifest",
]
