"""Search of a run's cached embeddings: python -m benchmarks.find [IMAGES] [--folder FOLDER]

Writes synthetic caches of unit vectors, a file for each shard of 1,000, and times the search for
the nearest 24 on one core, against numpy's product with an array that is in memory already, and
against the search of caches as older versions wrote them. Prints Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.engine import RunFolder, Shard
from curate.engine.cache import ImageCache, vector_type
from curate.pipeline.finding.nearest import search
from curate.storage.parquet import encode_table

SHARD, DIM, WANTED = 1000, 512, 24
MODEL = {b"label_model": b"synthetic", b"labeller": b"0"}


def unit_vectors(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return random unit vectors, shape (count, DIM)."""
    vectors_ND = rng.standard_normal((count, DIM), np.float32)
    return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


def write_caches(folder: RunFolder, images: int) -> list[str]:
    """Write the caches of a run, and return the names of its shards."""
    rng = np.random.default_rng(0)
    shards = [f"part-{number:05d}" for number in range(images // SHARD)]
    for shard in shards:
        vectors_ND = unit_vectors(rng, SHARD)
        digests = [hashlib.sha256(f"{shard} {n}".encode()).hexdigest() for n in range(SHARD)]
        cache = ImageCache(Shard(shard, folder), f"embeddings/{shard}.parquet", "embedding", MODEL)
        cache.write(dict(zip(digests, vectors_ND, strict=True)), vector_type(DIM))
    return shards


def write_old_cache(folder: RunFolder, shard: str) -> None:
    """Write a cache as lists of numbers."""
    flat = pa.array(unit_vectors(np.random.default_rng(0), SHARD).ravel())
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(SHARD)]
    columns = [pa.array(digests), pa.FixedSizeListArray.from_arrays(flat, DIM)]
    table = pa.table(columns, ["sha256", "embedding"], metadata=MODEL)
    folder.write(f"embeddings/{shard}.parquet", encode_table(table, dictionary=False))


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the least wall and processor seconds of three goes."""
    found = []
    for _ in range(3):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where to write; a temporary folder by default")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng = np.random.default_rng(1)
    query_D = unit_vectors(rng, 1)[0]
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = RunFolder(Path(place, "run"))
        shards = write_caches(folder, options.images)
        ours = seconds(lambda: search(folder, shards, query_D, "synthetic", "0", WANTED))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        old = RunFolder(Path(place, "old"))
        write_old_cache(old, "part-00000")
        lists = seconds(lambda: search(old, ["part-00000"] * 20, query_D, "synthetic", "0", WANTED))
    block_ND = unit_vectors(rng, options.images)
    plain = seconds(lambda: np.argpartition(block_ND @ query_D, -WANTED)[-WANTED:])
    scale = len(shards) / 20
    rows = {
        "`curate find`": ours,
        "caches of older versions": (lists[0] * scale, lists[1] * scale),
        "numpy, array in memory": plain,
    }
    print(f"| {options.images:,} embeddings | seconds | of the processor | of numpy's |")
    print("| --- | ---: | ---: | ---: |")
    for name, (wall, processor) in rows.items():
        print(f"| {name} | {wall:.2f} | {processor:.2f} | {processor / plain[1]:.1f} x |")
    print(f"\nPeak memory of the search: {memory:.2f} GB.")


if __name__ == "__main__":
    main()
