"""The first stage: candidates, cut into shards and written once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa

from curate.engine.record import CommitRecord
from curate.engine.runner import count_reasons, encode_table
from curate.engine.stage import Progress
from curate.engine.storage import RunFolder
from curate.errors import InputError, RunError

__all__ = ["ShardIndex", "read_index", "write_source"]

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
    folder: RunFolder, tables: Iterable[pa.Table], input: str, config: str, progress: Progress
) -> ShardIndex:
    """Write each table as a shard of candidates, unless the index says that all are there, made from the same.

    Raises:
        InputError: if there is no candidate at all.
    """
    index = read_index(folder)
    progress.stage_started(STAGE, len(index.shards) if index else 0, index.rows if index else 0)
    if index is None or (index.input, index.config) != (input, config) or not _holds(folder, index):
        folder.remove(_INDEX)
        shards, rows = [], 0
        for number, table in enumerate(tables):
            shard = f"part-{number:05d}"
            path = f"{STAGE}/{shard}.parquet"
            outputs = {path: folder.write(path, encode_table(table))}
            record = CommitRecord(STAGE, shard, input, config, len(table), count_reasons(table), outputs)
            record.write(folder)
            progress.shard_done(STAGE, shard, record.rows_out, False)
            shards.append(shard)
            rows += len(table)
        if not shards:
            raise InputError("the input names no candidates: every line is blank")
        index = ShardIndex(input, config, tuple(shards), rows)
        folder.write(_INDEX, json.dumps(asdict(index), indent=1).encode())
    else:
        for shard in index.shards:
            done = CommitRecord.read(folder, STAGE, shard)
            progress.shard_done(STAGE, shard, done.rows_out if done else {}, True)
    progress.stage_finished(STAGE)
    return index


def _holds(folder: RunFolder, index: ShardIndex) -> bool:
    records = (CommitRecord.read(folder, STAGE, shard) for shard in index.shards)
    return all(record is not None and record.holds(folder, index.input, index.config) for record in records)
