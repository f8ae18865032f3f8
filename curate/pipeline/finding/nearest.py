"""Nearest embeddings of a run: one pass over its caches, in the memory of one shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine import RunFolder
from curate.engine.cache import vectors
from curate.errors import RunError
from curate.stages.names import StageName

__all__ = ["CacheFile", "Nearest", "open_caches", "search"]

_LARGEST = 2**30
"""Bytes of the largest cache file that is read: a shard of 10,000 with 20,000 numbers each."""


@dataclass(frozen=True)
class CacheFile:
    """Cached embeddings of a shard."""

    shard: str
    parquet: pq.ParquetFile
    label_model: str
    labeller: str
    """Fingerprint of all that an embedding depends on; see `Labeller.key`."""

    def read(self) -> NDArray[np.float32]:
        """Return the embeddings, shape (images, dim).

        Raises:
            pa.ArrowException, OSError, ValueError: if they are damaged.
        """
        return vectors(self.parquet.read(["embedding"], use_threads=False)["embedding"])

    def digests(self) -> pa.ChunkedArray:
        """Return the SHA-256 of each image's bytes; raises as `read`."""
        return self.parquet.read(["sha256"], use_threads=False)["sha256"]


@dataclass(frozen=True, order=True)
class Nearest:
    """An image near the query, ordered so that the nearest comes first."""

    distance: float
    """Negative cosine."""
    sha256: str
    shard: str


@dataclass
class Result:
    """Images nearest to a query, and how far the search reached."""

    nearest: list[Nearest] = field(default_factory=list)
    images: int = 0
    """Embeddings that were compared."""
    missing: list[str] = field(default_factory=list)
    """Shards whose embeddings can't be read."""
    foreign: list[str] = field(default_factory=list)
    """Shards with embeddings of another model."""


def open_caches(folder: RunFolder, shards: Sequence[str]) -> Iterator[tuple[str, CacheFile | None]]:
    """Yield each shard's cache; None where there is none, or none that can be read."""
    there = set(folder.names(str(StageName.LABEL.cache), ".parquet"))
    for shard in shards:
        path = f"{StageName.LABEL.cache}/{shard}.parquet"
        yield shard, _open(folder, path, shard) if path in there else None


def _open(folder: RunFolder, path: str, shard: str) -> CacheFile | None:
    try:
        # no checksums: they take longer than the search, and a wrong bit moves one image
        parquet = pq.ParquetFile(pa.BufferReader(folder.head(path, _LARGEST)))
        known = parquet.schema_arrow.metadata or {}
        names = (known.get(key, b"").decode() for key in (b"label_model", b"labeller"))
        return CacheFile(shard, parquet, *names)
    except (pa.ArrowException, OSError, ValueError, RunError):
        return None


def search(
    folder: RunFolder,
    shards: Sequence[str],
    query_D: NDArray[np.float32],
    label_model: str,
    labeller: str,
    count: int,
) -> Result:
    """Find the images whose embeddings have the largest cosine with a query.

    Equal bytes are one image. Equal cosines are in the order of their SHA-256.

    Args:
        folder: the run folder.
        shards: names of the shards to search.
        query_D: unit vector, shape (dim,).
        label_model: model that the query was embedded by.
        labeller: fingerprint of its preprocessing; any if empty.
        count: images to find, at most.
    """
    result = Result()
    for shard, cache in open_caches(folder, shards):
        if cache is None:
            result.missing.append(shard)
        elif cache.label_model != label_model or labeller not in ("", cache.labeller):
            result.foreign.append(shard)
        else:
            _search_shard(cache, query_D, count, result)
    return result


def _search_shard(
    cache: CacheFile, query_D: NDArray[np.float32], count: int, result: Result
) -> None:
    """Merge the nearest images of a shard into the result."""
    try:
        embeddings_ND = cache.read()
        if embeddings_ND.shape[1] != len(query_D):
            result.foreign.append(cache.shard)
            return
        cosine_N = embeddings_ND @ query_D
        # only images nearer than the farthest that was found so far
        full = len(result.nearest) >= count
        floor = -result.nearest[-1].distance if full else -np.inf
        near = np.flatnonzero(cosine_N >= floor)
        if len(near) > count:
            # the count-th largest cosine, and whatever equals it
            floor = np.partition(cosine_N[near], -count)[-count]
            near = near[cosine_N[near] >= floor]
        digests = cache.digests().take(pa.array(near)).to_pylist() if len(near) else []
        cosines = cosine_N[near].tolist()
        found = [Nearest(-c, d, cache.shard) for c, d in zip(cosines, digests, strict=True)]
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError):
        result.missing.append(cache.shard)
        return
    result.images += len(cosine_N)
    merged: dict[str, Nearest] = {}
    for one in sorted([*result.nearest, *found]):
        merged.setdefault(one.sha256, one)
    result.nearest = list(merged.values())[:count]
