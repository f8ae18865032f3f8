"""The manifest: a Parquet table of selected images, the contract with the trainer."""

from curate.manifest.check import Difference, Fault, compare, find_faults
from curate.manifest.combine import merge, sample
from curate.manifest.export import Exported, ExportOptions, export_manifest
from curate.manifest.schema import (
    CATEGORIES,
    LEDGER,
    MANIFEST,
    NAMED_CATEGORIES,
    PAIRED,
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
