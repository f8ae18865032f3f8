"""The first stage: candidates in shards, written once; later inputs add shards after them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from curate.engine.commit_record import CommitRecord, forget, read_records
from curate.engine.events import Progress
from curate.engine.runner import (
    CANDIDATES,
    CommitHook,
    StageOutcome,
    no_hook,
    summarise,
)
from curate.engine.shard_rows import count_reasons
from curate.errors import InputError, RunError
from curate.storage import atomic
from curate.storage.parquet import encode_table, read_run_table
from curate.storage.run_folder import RunFolder

__all__ = ["ShardIndex", "Source", "read_ids", "read_index", "resume_source", "write_source"]

_INDEX = f"{CANDIDATES}/index.json"


@dataclass(frozen=True)
class Source:
    """An input that candidates were read from."""

    input: str
    """Fingerprint of the input."""
    shards: tuple[str, ...]
    rows: int
    notes: dict[str, int]
    """Counts of lines that are no candidates, such as blank ones."""


@dataclass(frozen=True)
class ShardIndex:
    """Index of a run's shards, written after the last of them."""

    config: str
    """Fingerprint of the settings."""
    sources: tuple[Source, ...]
    """The input of the run, and the inputs that it has grown by, in order."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Fingerprints of all sources."""
        return tuple(source.input for source in self.sources)

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of all shards."""
        return tuple(shard for source in self.sources for shard in source.shards)

    @property
    def rows(self) -> int:
        """Candidates in all shards."""
        return sum(source.rows for source in self.sources)

    @property
    def notes(self) -> dict[str, int]:
        """Counts of lines that are no candidates, over all sources."""
        total: Counter[str] = Counter()
        for source in self.sources:
            total.update(source.notes)
        return dict(total)


def read_index(folder: RunFolder) -> ShardIndex | None:
    """Read the index of a run; None before its candidates are complete.

    Raises:
        RunError: if the index is damaged.
    """
    if not folder.exists(_INDEX):
        return None
    try:
        fields = json.loads(folder.read(_INDEX))
        sources = [
            Source(**{**source, "shards": tuple(source["shards"])}) for source in fields["sources"]
        ]
        return ShardIndex(fields["config"], tuple(sources))
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"{folder}/{_INDEX} is damaged, or of an older version ({error}): remove it to have "
            "the candidates read again"
        ) from error


def read_ids(folder: RunFolder, shards: Iterable[str]) -> Iterator[str]:
    """Yield the ids of all candidates of some shards."""
    for shard in shards:
        yield from read_run_table(folder, f"{CANDIDATES}/{shard}.parquet", ["id"])["id"].to_pylist()


def write_source(
    folder: RunFolder,
    tables: Iterable[pa.Table],
    notes: Callable[[], dict[str, int]],
    input: str,
    config: str,
    progress: Progress,
    begin: Callable[[], None] = lambda: None,
    *,
    before: Sequence[Source] = (),
    after: Sequence[Source] = (),
    hook: CommitHook = no_hook,
) -> tuple[ShardIndex, StageOutcome]:
    """Write each table as a shard of candidates, unless the index shows that they are there.

    Nothing in the folder changes before the last table is read: a list may end in an error.

    Args:
        folder: the run folder.
        tables: the shards, in order.
        notes: called after the last table; returns counts of lines that are no candidates.
        input: fingerprint of the input.
        config: fingerprint of the settings.
        progress: receives the events.
        begin: called after the whole input was read, before anything changes.
        before: sources of the run whose shards come before.
        after: sources whose shards come after.
        hook: sees the candidates that are there; see `run_stages`.

    Raises:
        InputError: if there is no candidate at all.
    """
    index = _read_index(folder, hook)
    inputs = [source.input for source in (*before, *after)]
    inputs.insert(len(before), input)
    if (
        index is not None
        and (index.inputs, index.config) == (tuple(inputs), config)
        and _holds(folder, index)
    ):
        begin()
        return _resume(folder, index, progress)
    progress.stage_started(CANDIDATES, 0, 0)
    records: list[CommitRecord] = []
    first = sum(len(source.shards) for source in before)
    start = time.monotonic()
    with folder.scratch() as scratch:
        for number, table in enumerate(tables, first):
            shard = f"part-{number:05d}"
            outputs = {
                f"{CANDIDATES}/{shard}.parquet": atomic.write(scratch / shard, encode_table(table))
            }
            records.append(
                CommitRecord(
                    CANDIDATES, shard, input, config, len(table), count_reasons(table), outputs
                )
            )
            end = time.monotonic()
            progress.shard_done(CANDIDATES, shard, records[-1].rows_out, False, end - start)
            start = end
        if not records and not before:
            raise InputError("the input names no candidates: every line is blank")
        begin()
        if not (before or after):
            forget(folder, CANDIDATES)
        for record in records:
            folder.write(
                f"{CANDIDATES}/{record.shard}.parquet", (scratch / record.shard).read_bytes()
            )
            record.write(folder)
    rows = sum(record.rows_in for record in records)
    source = Source(input, tuple(record.shard for record in records), rows, notes())
    index = ShardIndex(config, (*before, source, *after))
    folder.write(_INDEX, json.dumps(asdict(index), indent=1).encode())
    progress.stage_finished(CANDIDATES)
    others = [shard for known in (*before, *after) for shard in known.shards]
    return index, summarise(CANDIDATES, [*read_records(folder, CANDIDATES, others), *records], 0)


def resume_source(
    folder: RunFolder, progress: Progress, hook: CommitHook = no_hook
) -> tuple[ShardIndex, StageOutcome]:
    """Return the candidates that a run has.

    Raises:
        InputError: if there are none, or a file of theirs is damaged.
    """
    index = _read_index(folder, hook)
    if index is None or not _holds(folder, index):
        raise InputError(
            f"candidates of {folder} are missing or damaged: name their --input to have them read "
            "again"
        )
    return _resume(folder, index, progress)


def _read_index(folder: RunFolder, hook: CommitHook) -> ShardIndex | None:
    index = read_index(folder)
    if index is not None:
        hook(CANDIDATES, read_records(folder, CANDIDATES, index.shards))
    return index


def _resume(
    folder: RunFolder, index: ShardIndex, progress: Progress
) -> tuple[ShardIndex, StageOutcome]:
    progress.stage_started(CANDIDATES, len(index.shards), index.rows)
    records = list(read_records(folder, CANDIDATES, index.shards))
    for record in records:
        progress.shard_done(CANDIDATES, record.shard, record.rows_out, True, 0.0)
    progress.stage_finished(CANDIDATES)
    return index, summarise(CANDIDATES, records, len(records))


def _holds(folder: RunFolder, index: ShardIndex) -> bool:
    return all(
        (record := CommitRecord.read(folder, CANDIDATES, shard)) is not None
        and record.holds(folder, source.input, index.config)
        for source in index.sources
        for shard in source.shards
    )
