"""Subsets as manifests, those of copies with tars of their own."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.datasets.ablation.copies import Change, CopyWorkers, StoredImage
from curate.datasets.ablation.pool import Pool
from curate.engine import RunFolder
from curate.manifest import MANIFEST, Manifest, encode_manifest, read_manifest
from curate.manifest.combine import gather
from curate.manifest.derived import derived_row
from curate.manifest.export.images import name_of
from curate.manifest.export.output_folder import Folder
from curate.storage.places import remember, resolve
from curate.storage.tar import TarWriter

__all__ = ["Writer", "lossless_bpp"]

_PER_TAR = 1000
"""Copies in each tar."""
_COPY = pa.schema([*((column.name, column.type) for column in MANIFEST), ("copy_of", pa.string())])


class Writer:
    """Writer of manifests of a run's images, and of copies of them.

    Args:
        folder: the run.
        place: folder to write to.
        out: the final name of that folder, from which the run's tars are seen.
        workers: workers that make copies.
    """

    def __init__(self, folder: RunFolder, place: Folder, out: str, workers: CopyWorkers) -> None:
        self._folder, self._place, self._out, self._workers = folder, place, out, workers
        self._train = f"{folder}/manifest/train.parquet"
        self._metadata = read_manifest(self._train).metadata
        self._lossless: dict[str, int] = {}

    def write(self, name: str, pool: Pool) -> None:
        """Write rows of the run, all as training images."""
        table = pool.table
        split = pa.array(["train"] * len(table))
        table = table.set_column(table.column_names.index("split"), "split", split)
        # columns that only other rows of the run have are empty here
        known = {column.name for column in MANIFEST}
        filled = [n for n in table.column_names if n in known or table[n].null_count < len(table)]
        # from the folder of subsets, the run's tars are elsewhere than from its manifest
        manifest = Manifest(self._train, table.select(filled), {"root": ".."})
        self._encode(name, gather([manifest], f"{self._out}/{name}"), "chosen")

    def write_copies(self, name: str, pool: Pool, change: Change) -> pa.Table:
        """Write copies of all rows, in their order.

        Returns:
            Their rows, with a column `lossless` of the bytes of their pixels as PNG.
        """
        rows = pool.table.to_pylist()
        copies = self._workers.copies(self.stored_images(pool), change)
        found: list[dict[str, Any]] = []
        for start in range(0, len(rows), _PER_TAR):
            tar_name = f"images/{name}-{start // _PER_TAR:05}.tar"
            with self._place.create(tar_name) as sink:
                tar = TarWriter(sink)
                for row, copy in zip(rows[start : start + _PER_TAR], copies, strict=False):
                    # the row of the original, with the measures and the place of the copy
                    new = derived_row(row, f"{name}&{change.label}", copy.data, **copy.facts)
                    new |= {"copy_of": row["id"], "split": "train"}
                    new |= {"tar": tar_name, "lossless": copy.lossless}
                    new["offset"] = tar.add_bytes(name_of(new), copy.data)
                    found.append(new)
                tar.close()
        table = pa.Table.from_pylist(found, pa.schema([*_COPY, ("lossless", pa.int64())]))
        self._encode(name, table.drop_columns(["lossless"]), change.label)
        return table

    def stored_images(self, pool: Pool) -> list[StoredImage]:
        """Return the locations of a pool's images."""
        columns = pool.table.select(["id", "tar", "offset", "nbytes", "sha256", "pixels"])
        images = []
        for id_, tar, *rest in zip(*columns.to_pydict().values(), strict=True):
            images.append(StoredImage(id_, resolve(self._folder.url, tar).url, *rest))
        return images

    def with_lossless(self, pool: Pool) -> pa.Table:
        """Return the rows with a column `lossless`: bytes of their pixels as PNG.

        No image is decoded for it twice.
        """
        new = [image for image in self.stored_images(pool) if image.id not in self._lossless]
        for image, size in zip(new, self._workers.lossless(new), strict=True):
            self._lossless[image.id] = size
        sizes = [self._lossless[id_] for id_ in pool.table["id"].to_pylist()]
        return pool.table.append_column("lossless", pa.array(sizes, pa.int64()))

    def _encode(self, name: str, table: pa.Table, change: str) -> None:
        metadata = {**self._metadata, "ablation": name, "ablation_made": change}
        data = encode_manifest(table, metadata, root=".")
        remember(self._place.write(f"{name}.parquet", data))  # it points at the run, out of its own


def lossless_bpp(table: pa.Table) -> float:
    """Return the mean bits per pixel as PNG of rows with columns `lossless` and `pixels`."""
    # mean over images of 8 x bytes / pixels
    bits = pc.multiply(table["lossless"].cast(pa.float64()), 8.0)
    return float(pc.mean(pc.divide(bits, table["pixels"].cast(pa.float64()))).as_py())
