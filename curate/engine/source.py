"""The first stage: candidates, cut into shards and written once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa

from curate import files
from curate.engine.progress import Progress
from curate.engine.record import CommitRecord, forget
from curate.engine.runner import StageOutcome, count_reasons, encode_table, summarise
from curate.engine.storage import RunFolder
from curate.errors import InputError, RunError

__all__ = ["ShardIndex", "read_index", "resume_source", "write_source"]

STAGE = "candidates"
_INDEX = f"{STAGE}/index.json"


@dataclass(frozen=True)
class ShardIndex:
    """Which shards a run has; written when the last of them is."""

    input: str
    """Fingerprint of the input."""
    config: str
    """Fingerprint of the settings."""
    shards: tuple[str, ...]
    rows: int
    notes: dict[str, int]
    """What was passed over, such as blank lines."""


def read_index(folder: RunFolder) -> ShardIndex | None:
    """The shards of a run, None before its candidates are complete.

    Raises:
        RunError: if the index is damaged.
    """
    if not folder.exists(_INDEX):
        return None
    try:
        fields = json.loads(folder.read(_INDEX))
        return ShardIndex(**{**fields, "shards": tuple(fields["shards"])})
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"{folder}/{_INDEX} is damaged ({error}): remove it to have the candidates read again"
        ) from error


def write_source(
    folder: RunFolder,
    tables: Iterable[pa.Table],
    notes: Callable[[], dict[str, int]],
    input: str,
    config: str,
    progress: Progress,
    begin: Callable[[], None] = lambda: None,
) -> tuple[ShardIndex, StageOutcome]:
    """Write each table as a shard of candidates, unless the index says that all are there, made from the same.

    Nothing in the folder changes before the last table is read: a list may break half way.

    Args:
        folder: the run folder.
        tables: the shards, in order.
        notes: asked, when the last table is read, for what the reader passed over.
        input: fingerprint of what the tables come from.
        config: fingerprint of the settings.
        progress: told what happens.
        begin: called when nothing more can be wrong with the input, before anything changes.

    Raises:
        InputError: if there is no candidate at all.
    """
    index = read_index(folder)
    if index is not None and (index.input, index.config) == (input, config) and _holds(folder, index):
        begin()
        return _resume(folder, index, progress)
    progress.stage_started(STAGE, 0, 0)
    records: list[CommitRecord] = []
    start = time.monotonic()
    with folder.scratch() as scratch:
        for number, table in enumerate(tables):
            shard = f"part-{number:05d}"
            outputs = {f"{STAGE}/{shard}.parquet": files.write(scratch / shard, encode_table(table))}
            records.append(CommitRecord(STAGE, shard, input, config, len(table), count_reasons(table), outputs))
            end = time.monotonic()
            progress.shard_done(STAGE, shard, records[-1].rows_out, False, end - start)
            start = end
        if not records:
            raise InputError("the input names no candidates: every line is blank")
        begin()
        forget(folder, STAGE)
        for record in records:
            folder.write(f"{STAGE}/{record.shard}.parquet", (scratch / record.shard).read_bytes())
            record.write(folder)
    rows = sum(record.rows_in for record in records)
    index = ShardIndex(input, config, tuple(record.shard for record in records), rows, notes())
    folder.write(_INDEX, json.dumps(asdict(index), indent=1).encode())
    progress.stage_finished(STAGE)
    return index, summarise(STAGE, records, 0)


def resume_source(folder: RunFolder, progress: Progress) -> tuple[ShardIndex, StageOutcome]:
    """The candidates that a run has.

    Raises:
        InputError: if there are none, or a file of theirs is damaged.
    """
    index = read_index(folder)
    if index is None or not _holds(folder, index):
        raise InputError(f"candidates of {folder} are missing or damaged: name their --input to have them read again")
    return _resume(folder, index, progress)


def _resume(folder: RunFolder, index: ShardIndex, progress: Progress) -> tuple[ShardIndex, StageOutcome]:
    progress.stage_started(STAGE, len(index.shards), index.rows)
    records = [record for shard in index.shards if (record := CommitRecord.read(folder, STAGE, shard))]
    for record in records:
        progress.shard_done(STAGE, record.shard, record.rows_out, True, 0.0)
    progress.stage_finished(STAGE)
    return index, summarise(STAGE, records, len(records))


def _holds(folder: RunFolder, index: ShardIndex) -> bool:
    records = (CommitRecord.read(folder, STAGE, shard) for shard in index.shards)
    return all(record is not None and record.holds(folder, index.input, index.config) for record in records)
