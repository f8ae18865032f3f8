"""Subsets as manifests, those of copies with tars of their own."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.datasets.ablation.copies import Change, Place, Workshop
from curate.datasets.ablation.pool import Pool
from curate.engine import RunFolder
from curate.manifest import MANIFEST, Manifest, encode_manifest, read_manifest
from curate.manifest.combine import gather
from curate.manifest.derived import derived_row
from curate.manifest.export.images import name_of
from curate.manifest.export.output_folder import Folder
from curate.storage.tar import TarWriter

__all__ = ["Writer", "lossless_bpp"]

_PER_TAR = 1000
"""Copies in each tar."""
_COPY = pa.schema([*((column.name, column.type) for column in MANIFEST), ("copy_of", pa.string())])


class Writer:
    """Writes manifests of a run's images, and of copies of them.

    Args:
        folder: the run.
        place: where they are written.
        out: the name that the place will have, from which the run's tars are seen.
        workshop: makes copies.
    """

    def __init__(self, folder: RunFolder, place: Folder, out: str, workshop: Workshop) -> None:
        self._folder, self._place, self._out, self._workshop = folder, place, out, workshop
        self._made = read_manifest(f"{folder}/manifest/train.parquet").metadata
        self._lossless: dict[str, int] = {}

    def write(self, name: str, pool: Pool) -> pa.Table:
        """Rows of the run, all as training images; returns them."""
        table = pool.table
        table = table.set_column(
            table.column_names.index("split"), "split", pa.array(["train"] * len(table))
        )
        known = {column.name for column in MANIFEST}
        table = table.select(
            [n for n in table.column_names if n in known or table[n].null_count < len(table)]
        )
        seen = gather(
            [Manifest(f"{self._folder}/manifest/train.parquet", table, {"root": ".."})],
            f"{self._out}/{name}",
        )
        self._encode(name, seen, "chosen")
        return table

    def write_copies(self, name: str, pool: Pool, change: Change) -> pa.Table:
        """Copies of all rows, in their order; returns their rows, with a column `lossless` of their bytes as PNG."""
        rows = pool.table.to_pylist()
        copies = self._workshop.copies(self.places(pool), change)
        found: list[dict[str, Any]] = []
        for start in range(0, len(rows), _PER_TAR):
            tar_name = f"images/{name}-{start // _PER_TAR:05}.tar"
            with self._place.create(tar_name) as sink:
                tar = TarWriter(sink)
                for row, copy in zip(rows[start : start + _PER_TAR], copies, strict=False):
                    new = derived_row(row, f"{name}&{change.told}", copy.data, **copy.facts)
                    new |= {
                        "copy_of": row["id"],
                        "split": "train",
                        "tar": tar_name,
                        "lossless": copy.lossless,
                    }
                    new["offset"] = tar.add_bytes(name_of(new), copy.data)
                    found.append(new)
                tar.close()
        table = pa.Table.from_pylist(found, pa.schema([*_COPY, ("lossless", pa.int64())]))
        self._encode(name, table.drop_columns(["lossless"]), change.told)
        return table

    def places(self, pool: Pool) -> list[Place]:
        """Where images lie."""
        names = ("id", "tar", "offset", "nbytes", "sha256", "pixels")
        columns = (pool.table[name].to_pylist() for name in names)
        return [
            Place(id_, f"{self._folder}/{tar}", *rest)
            for id_, tar, *rest in zip(*columns, strict=True)
        ]

    def with_lossless(self, pool: Pool) -> pa.Table:
        """The rows with a column `lossless`: bytes of their pixels as PNG. No image is decoded for it twice."""
        new = [place for place in self.places(pool) if place.id not in self._lossless]
        self._lossless |= dict(zip((p.id for p in new), self._workshop.lossless(new), strict=True))
        sizes = [self._lossless[id_] for id_ in pool.table["id"].to_pylist()]
        return pool.table.append_column("lossless", pa.array(sizes, pa.int64()))

    def _encode(self, name: str, table: pa.Table, made: str) -> None:
        metadata = {**self._made, "ablation": name, "ablation_made": made}
        self._place.write(f"{name}.parquet", encode_manifest(table, metadata, root="."))


def lossless_bpp(table: pa.Table) -> float:
    """Mean bits per pixel of pixels stored as PNG; rows with columns `lossless` and `pixels`."""
    bits = pc.multiply(table["lossless"].cast(pa.float64()), 8.0)
    return float(pc.mean(pc.divide(bits, table["pixels"].cast(pa.float64()))).as_py())
