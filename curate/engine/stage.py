"""A stage: a function from the rows of a shard to one new row for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

import pyarrow as pa

from curate.config import fingerprint
from curate.engine.events import ShardProgress, Wait
from curate.storage.atomic import Sink
from curate.storage.run_folder import RunFolder

__all__ = ["Shard", "ShardFunction", "Stage"]


@dataclass
class Shard:
    """A shard as its stage function sees it: files of the run folder, and its progress."""

    name: str
    folder: RunFolder
    progress: ShardProgress = field(default_factory=ShardProgress)
    discard: bool = False
    """Throw written files away: the shard is rehearsed."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Path -> SHA-256 of each published file, for the commit record."""

    def open(self, path: str) -> BufferedReader:
        """Open a file of the run folder for reading."""
        return self.folder.open(path)

    @contextmanager
    def create(self, path: str, *, volatile: bool = False) -> Iterator[Sink]:
        """Write a file of the run folder, whole or not at all.

        A volatile file (a log, a cache) is in no commit record.
        """
        if self.discard:
            with self.folder.scratch() as scratch, (scratch / "discarded").open("wb") as file:
                yield Sink(file, path)
            return
        with self.folder.create(path) as sink:
            yield sink
        if not volatile:
            self.outputs[path] = sink.sha256

    def advance(self, rows: int = 1, reason: str | None = None) -> None:
        """Count rows that finished with a reason, or are still in."""
        self.progress.advance(rows, reason)

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Register a thread-safe callback that returns the longest-running waits."""
        self.progress.watch(waits)


ShardFunction = Callable[[pa.Table, Shard], pa.Table]
"""(rows still in, shard) -> one row for each, in order: `id`, `reason` (null: still in), columns.

It is picklable. Its result depends only on the rows, the files that they point at, and its own
settings.
"""


@dataclass(frozen=True)
class Stage:
    """One step of the chain."""

    name: str
    """Also its folder in the run folder."""
    function: ShardFunction
    schema: pa.Schema
    """Columns that the function adds, beside id and reason."""
    after: tuple[str, ...]
    """Stages whose columns the function sees; the last one says which rows are still in."""
    config: Any
    """JSON-like settings that the results depend on."""
    version: int = 1
    """Raised when the same input and settings give other results than before."""
    redo: Callable[[pa.Table], bool] | None = None
    """Decides by its table whether a finished shard is done again."""
    repeatable: bool = True
    """Whether parts of a shard can be rehearsed to find a deadly row, without network traffic."""
    resource: str | None = None
    """Dask resource that a worker must have to spare, such as GPU."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the settings and the version; commit records keep it."""
        return fingerprint([self.version, self.config])
