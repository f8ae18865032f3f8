"""Trial of a sample: its candidates in the shards of a temporary folder, and workers for them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from curate import engine
from curate.engine import Executor, Progress, RunFolder

__all__ = ["Trial", "open_trial"]


@dataclass(frozen=True)
class Trial:
    """Temporary run folder that holds candidates, and an executor for its stages."""

    folder: RunFolder
    shards: tuple[str, ...]
    """Names of the shards, in the order of the candidates."""
    rows: int
    """Number of candidates."""
    executor: Executor
    workers: int
    """Workers in parallel."""


@contextmanager
def open_trial(
    name: str,
    candidates: pa.Table,
    shard_size: int,
    scheduler: str,
    workers: int | None,
    progress: Progress,
) -> Iterator[Trial]:
    """Write candidates into a temporary folder, which is deleted when the block ends.

    Args:
        name: name of the command, for the folder's name.
        candidates: rows of `curate.stages.candidates.reader.schema`.
        shard_size: most candidates of a shard; shards are smaller if workers would have none.
        scheduler: `local` or `serial`.
        workers: number of local workers, one per core by default.
        progress: callbacks for the writing of the candidates.
    """
    count = 1 if scheduler == "serial" else workers or engine.local_workers()
    size = min(shard_size, -(-len(candidates) // count))
    with (
        tempfile.TemporaryDirectory(prefix=f"curate-{name}-") as path,
        engine.open_executor(scheduler, workers) as executor,
    ):
        folder = RunFolder(path)
        tables = (candidates.slice(start, size) for start in range(0, len(candidates), size))
        index, _ = engine.write_source(folder, tables, dict, "", "", progress)
        yield Trial(folder, index.shards, index.rows, executor, count)
