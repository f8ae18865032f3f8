"""The field's datasets as their authors pack them -> manifests, of pairs where the set has pairs."""

from curate.datasets.ingestion import Ingested, ingest
from curate.datasets.layouts import LAYOUTS, Layout

__all__ = ["LAYOUTS", "Ingested", "Layout", "ingest"]
