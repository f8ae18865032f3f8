"""What a stage is: a function from the rows of a shard to one new row for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

import pyarrow as pa

from curate.config import fingerprint
from curate.engine.events import Teller, Wait
from curate.storage.atomic import Sink
from curate.storage.run_folder import RunFolder

__all__ = ["Shard", "ShardFunction", "Stage"]


@dataclass
class Shard:
    """What a stage function gets beside its rows: the run folder's files, and a place for its own."""

    name: str
    folder: RunFolder
    teller: Teller = field(default_factory=Teller)
    discard: bool = False
    """A rehearsal: files are written and thrown away."""
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

    def advance(self, rows: int = 1, reason: str | None = None) -> None:
        """Say that so many more rows came to their end, for a reason, or still in."""
        self.teller.advance(rows, reason)

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Name what can be asked, from any thread, for what the shard has waited for longest."""
        self.teller.watch(waits)


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
    """Whether a shard that is done is to be done again, by its table."""
    repeatable: bool = True
    """Whether a part of a shard can be rehearsed to find the row that kills it; not when rows cost network traffic."""
    resource: str | None = None
    """Dask resource of which a worker must have one to spare, such as GPU."""

    @property
    def fingerprint(self) -> str:
        """Of what the results depend on beside the input; commit records keep it."""
        return fingerprint([self.version, self.config])
