"""Cache of expensive per-image results (embeddings, keypoints), keyed by the image's SHA-256.

Cache files lie in the run folder but in no commit record: they are worth most when a stage runs
again, which removes the files of its record (docs/decisions/0008). A file that is damaged, or that
another model or version computed, counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import ImageError, RunError
from curate.storage.atomic import read_images
from curate.storage.parquet import DamagedTable, encode_table, read_run_table, read_table

if TYPE_CHECKING:
    from curate.engine.stage import Shard
    from curate.storage.run_folder import RunFolder

__all__ = ["ImageCache", "evict_images", "vector_type", "vectors"]

_FLOAT = np.dtype("<f4")


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
            digests, results = table["sha256"].to_pylist(), _results(table[self.column])
        except (RunError, OSError, KeyError, ValueError):
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
            self.write(found, type_)
        return found, errors

    def write(self, results: Mapping[str, Any], type_: pa.DataType) -> None:
        """Write the results of images by their SHA-256."""
        columns = [pa.array(list(results), pa.string()), _column(list(results.values()), type_)]
        table = pa.table(columns, schema=_schema(self.column, type_, self.metadata))
        # volatile: the commit record would take it along when its stage runs again
        with self.shard.create(self.path, volatile=True) as file:
            file.write(_encode(table))


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


def vector_type(length: int) -> pa.DataType:
    """Return the type of a column of vectors of float32: their bytes, little-endian.

    A reader copies them as one block, many times as fast as lists of numbers
    (docs/decisions/0047).
    """
    return pa.binary(_FLOAT.itemsize * length)


def vectors(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return a column of vectors as a matrix, shape (rows, length), from either of its encodings.

    Raises:
        ValueError: if it holds something else, or a value is missing.
    """
    if column.null_count:
        raise ValueError("a vector is missing")
    parts = [_matrix(chunk) for chunk in column.chunks]
    if not parts:
        return np.empty((0, 0), np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _matrix(chunk: pa.Array) -> NDArray[np.float32]:
    if pa.types.is_fixed_size_binary(chunk.type) and chunk.type.byte_width % _FLOAT.itemsize == 0:
        length = chunk.type.byte_width // _FLOAT.itemsize
        start, count = chunk.offset * length, len(chunk) * length
        flat = np.frombuffer(chunk.buffers()[1], _FLOAT)[start : start + count]
    elif pa.types.is_fixed_size_list(chunk.type) and chunk.type.value_type == pa.float32():
        # files of older versions
        length, flat = chunk.type.list_size, chunk.flatten().to_numpy()
    else:
        raise ValueError(f"{chunk.type} holds no vectors")
    return flat.reshape(len(chunk), length)


def _schema(column: str, type_: pa.DataType, metadata: Mapping[bytes, bytes]) -> pa.Schema:
    # a reader is faster where it need not ask whether there is a vector
    field = pa.field(column, type_, nullable=not pa.types.is_fixed_size_binary(type_))
    return pa.schema([pa.field("sha256", pa.string()), field], metadata=dict(metadata))


def _column(results: Sequence[Any], type_: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_binary(type_):
        results = [np.asarray(vector, _FLOAT).tobytes() for vector in results]
    return pa.array(results, type_)


def _results(column: pa.ChunkedArray) -> Iterable[Any]:
    return vectors(column) if _are_vectors(column.type) else column.to_numpy()


def _are_vectors(type_: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_binary(type_) or pa.types.is_fixed_size_list(type_))


def _encode(table: pa.Table) -> bytes:
    # neither repeats; and noise in the digits of vectors leaves next to nothing to compress
    plain = any(pa.types.is_fixed_size_binary(type_) for type_ in table.schema.types)
    return encode_table(table, dictionary=False, compression="none" if plain else "zstd")
