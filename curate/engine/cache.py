"""Cache of expensive per-image results (embeddings, keypoints), keyed by the image's SHA-256.

Cache files lie in the run folder but in no commit record: they are worth most when a stage runs
again, which removes the files of its record (docs/decisions/0008). A file that is damaged, or that
another model or version computed, counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import ImageError, RunError
from curate.storage.atomic import read_images
from curate.storage.parquet import DamagedTable, encode_table, read_run_table, read_table

if TYPE_CHECKING:
    from curate.engine.stage import Shard
    from curate.storage.run_folder import RunFolder

__all__ = ["ImageCache", "evict_images"]


@dataclass(frozen=True)
class ImageCache:
    """Cache file of a shard, with a row for each image: columns `sha256` and `column`."""

    shard: Shard
    path: str
    column: str
    metadata: Mapping[bytes, bytes]
    """All that results depend on beside the image; files with other metadata are ignored."""

    def read(self) -> dict[str, Any]:
        """Return SHA-256 -> result; empty if there is no valid file."""
        try:
            with self.shard.open(self.path) as file:
                table = read_table(file)
            digests, results = table["sha256"].to_pylist(), table[self.column].to_numpy()
        except (RunError, OSError, KeyError):
            return {}
        valid = self.metadata.items() <= (table.schema.metadata or {}).items()
        return dict(zip(digests, results, strict=True)) if valid else {}

    def get_or_compute(
        self,
        rows: pa.Table,
        compute: Callable[[Iterator[bytes]], Iterable[Any]],
        type_: pa.DataType,
        *,
        save: bool = True,
    ) -> tuple[dict[str, Any], dict[str, ImageError]]:
        """Return each image's result, and write the file if images came or went.

        Args:
            rows: with columns id, sha256, tar, offset and nbytes.
            compute: images' bytes -> for each, in order, its result or an ImageError.
            type_: type of the results' column.
            save: whether to write the file.

        Returns:
            SHA-256 -> result, in the order of the rows; and id -> error of rows without one.
        """
        # compute the missing images' results
        known = self.read()
        digests: list[str] = rows["sha256"].to_pylist()
        missing = [index for index, digest in enumerate(digests) if digest not in known]
        self.shard.advance(len(digests) - len(missing))
        ids, errors = rows["id"].to_pylist(), {}
        images = read_images(self.shard.open, rows.take(pa.array(missing, pa.int64())))
        for index, result in zip(missing, compute(images), strict=True):
            if isinstance(result, ImageError):
                errors[ids[index]] = result
                self.shard.advance(1, result.reason.value)
            else:
                known[digests[index]] = result
                self.shard.advance()
        # write the results of present images, if the file has others
        found = {digest: known[digest] for digest in digests if digest in known}
        if save and (missing or found.keys() != known.keys()):
            columns = [pa.array(list(found), pa.string()), pa.array(list(found.values()), type_)]
            table = pa.table(columns, ["sha256", self.column], metadata=dict(self.metadata))
            # volatile: the commit record would take it along when its stage runs again
            with self.shard.create(self.path, volatile=True) as file:
                file.write(_encode(table))
        return found, errors


def evict_images(folder: RunFolder, path: str, digests: Collection[str]) -> None:
    """Remove images from a cache file, by their SHA-256; a damaged file is removed as a whole."""
    if not folder.exists(path):
        return
    try:
        table = read_run_table(folder, path)
        evicted = pc.is_in(table["sha256"], pa.array(sorted(digests), pa.string()))
    except (DamagedTable, pa.ArrowException, OSError, KeyError):
        folder.remove(path)
        return
    if pc.any(evicted).as_py():
        folder.write(path, _encode(table.filter(pc.invert(evicted))))


def _encode(table: pa.Table) -> bytes:
    return encode_table(table, dictionary=False)  # embeddings don't repeat
