"""What a stage is: a function from the rows of a shard to one new row for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

import pyarrow as pa

from curate.engine.storage import RunFolder
from curate.files import Sink

__all__ = ["Progress", "Shard", "ShardFunction", "Stage"]


class Progress:
    """What happens during a run, for whoever draws it. This one draws nothing."""

    def stage_started(self, stage: str, shards: int, rows: int) -> None:
        """A stage begins."""

    def advanced(self, stage: str, shard: str, rows: int) -> None:
        """So many more rows of a shard under way are done."""

    def shard_done(self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool) -> None:
        """A shard is committed; `resumed` when an earlier run had done it. `rows_out` counts rows by reason or "ok"."""

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        """A shard failed and will be tried again."""

    def stage_finished(self, stage: str) -> None:
        """A stage is done."""


@dataclass
class Shard:
    """What a stage function gets beside its rows: the run folder's files, and a place for its own."""

    name: str
    folder: RunFolder
    report: Callable[[int], None] = lambda rows: None
    discard: bool = False
    """A rehearsal: files are written and thrown away."""
    previous: pa.Table | None = None
    """What the stage made of this shard before, where that holds and `Stage.redo` wants it done again."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Path -> SHA-256 of what was published, for the commit record."""

    def open(self, path: str) -> BufferedReader:
        """Open any file of the run folder for reading."""
        return self.folder.open(path)

    @contextmanager
    def create(self, path: str, *, volatile: bool = False) -> Iterator[Sink]:
        """Write a file of the run folder, whole or not at all; a volatile one (a log) is in no commit record."""
        if self.discard:
            with self.folder.scratch() as scratch, (scratch / "discarded").open("wb") as file:
                yield Sink(file, path)
            return
        with self.folder.create(path) as sink:
            yield sink
        if not volatile:
            self.outputs[path] = sink.sha256

    def advance(self, rows: int = 1) -> None:
        """Say that so many more rows are done."""
        self.report(rows)


ShardFunction = Callable[[pa.Table, Shard], pa.Table]
"""(rows still in, shard) -> one row for each, in order, with `id`, `reason` (null: still in) and the stage's columns.

Picklable. What it returns may depend on the rows, the files that they point at, and its own settings only.
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
    """Stages whose columns the function sees, in order; the last one's `reason` says which rows are still in."""
    config: Any
    """JSON-like settings that the results depend on."""
    version: int = 1
    """Raised when the same input and settings give other results than before."""
    redo: Callable[[pa.Table], bool] | None = None
    """Whether a shard that is done is to be done again, by its table; the function finds that in `Shard.previous`."""
    repeatable: bool = True
    """Whether a part of a shard can be rehearsed to find the row that kills it; not when rows cost network traffic."""
