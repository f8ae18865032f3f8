"""Runs stages over all shards: resume, retry, isolate deadly rows, commit. Rows in = rows out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.config import fingerprint
from curate.engine.commit_record import CommitRecord, read_records
from curate.engine.events import Progress, ShardProgress, reporting
from curate.engine.executor import Executor, Report
from curate.engine.shard_rows import complete_rows, count_reasons, rows_of, still_in
from curate.engine.stage import Shard, Stage
from curate.errors import CurateError, Reason, RunError
from curate.storage.parquet import encode_table
from curate.storage.run_folder import RunFolder

__all__ = [
    "CANDIDATES",
    "CommitHook",
    "StageOutcome",
    "input_of",
    "no_hook",
    "run_stage",
    "run_stages",
    "run_whole",
    "summarise",
]

MAX_DEADLY = 16
"""Rows of a shard that may be excluded as deadly before the whole shard is quarantined."""

CANDIDATES = "candidates"
"""The first stage, which has no shard function; see candidate_index."""

CommitHook = Callable[[str, Iterable[CommitRecord]], bool]
"""(stage, commit records of all its shards) -> whether it voided shards, which are then made again.

It is called whenever all shards of a stage are committed, and skips records it has seen."""


@dataclass(frozen=True)
class StageOutcome:
    """Result of a stage over all shards."""

    stage: str
    rows_out: dict[str, int]
    """Rows by reason, rows still in under "ok"."""
    shards: int
    resumed: int
    """Shards that an earlier run had done."""
    excluded: tuple[str, ...] = ()
    """Ids of rows that killed their workers."""
    quarantined: tuple[str, ...] = ()
    """Shards given up; the next run tries them again."""


@dataclass(frozen=True)
class _Task:
    folder: RunFolder
    stage: Stage
    shard: str
    exclude: tuple[str, ...] = ()
    rehearse: tuple[str, ...] | None = None
    """Run the function over these rows only, and throw the result away."""


def no_hook(stage: str, records: Iterable[CommitRecord]) -> bool:
    """Void nothing."""
    return False


def run_stages(
    folder: RunFolder,
    stages: Sequence[Stage],
    shards: Sequence[str],
    rows: int,
    executor: Executor,
    progress: Progress,
    hook: CommitHook = no_hook,
) -> list[StageOutcome]:
    """Bring every shard of several stages up to date, one stage after the other; see `run_stage`.

    The hook sees the candidates first, then each stage. When it voids shards, the stages start
    again, and do the voided shards only.
    """
    while True:
        hook(CANDIDATES, read_records(folder, CANDIDATES, shards))
        outcomes: list[StageOutcome] = []
        for stage in stages:
            records, resumed = _run_stage(folder, stage, shards, rows, executor, progress)
            outcomes.append(summarise(stage.name, records, resumed))
            if hook(stage.name, records):
                break
        else:
            return outcomes


def run_stage(
    folder: RunFolder,
    stage: Stage,
    shards: Sequence[str],
    rows: int,
    executor: Executor,
    progress: Progress,
) -> StageOutcome:
    """Bring every shard of a stage up to date.

    A shard whose commit record holds is left alone. A shard that fails is tried again by itself.
    If it fails again and the stage is repeatable, the rows that bring it down are found by halving
    and excluded with reason `crashed`. If that fails too, its rows are quarantined, for the next
    run to try.

    Args:
        folder: the run folder; holds the stages before this one.
        stage: the stage to run.
        shards: names of all shards.
        rows: candidates in all shards, for progress.
        executor: runs the shards.
        progress: receives the events.

    Raises:
        CurateError: if the stage function raises one, or every shard fails.
    """
    records, resumed = _run_stage(folder, stage, shards, rows, executor, progress)
    return summarise(stage.name, records, resumed)


def _run_stage(
    folder: RunFolder,
    stage: Stage,
    shards: Sequence[str],
    rows: int,
    executor: Executor,
    progress: Progress,
) -> tuple[list[CommitRecord], int]:
    """Return the records of all shards, and how many shards an earlier run had done."""
    progress.stage_started(stage.name, len(shards), rows)
    records: list[CommitRecord] = []
    resumed = 0

    def on_report(task: _Task, state: Any) -> None:
        if task.rehearse is None:
            progress.advanced(stage.name, task.shard, *state)

    def attempt(tasks: Iterable[_Task]) -> dict[str, Exception]:
        """Run tasks, and return the errors of those that failed, by shard."""
        nonlocal resumed
        failed: dict[str, Exception] = {}
        for task, result in executor.map(_run_task, tasks, on_report, stage.resource):
            if isinstance(result, CurateError):
                raise result
            if isinstance(result, Exception):
                failed[task.shard] = result
                progress.shard_failed(stage.name, task.shard, repr(result))
            elif task.rehearse is None:
                record, was_there, seconds = result
                records.append(record)
                resumed += was_there
                progress.shard_done(stage.name, task.shard, record.rows_out, was_there, seconds)
        return failed

    failures = attempt(_Task(folder, stage, shard) for shard in shards)
    if len(failures) > 1 and len(failures) == len(shards):
        shard, error = next(iter(failures.items()))
        raise RunError(f"every shard of stage {stage.name} failed; {shard}: {error!r}")
    for shard in sorted(failures):
        task = _Task(folder, stage, shard)
        if not attempt([task]):
            continue
        deadly = _find_deadly_rows(task, attempt) if stage.repeatable else None
        if deadly and not attempt([replace(task, exclude=deadly)]):
            continue
        records.append(_quarantine(task))
        progress.shard_done(stage.name, shard, records[-1].rows_out, False, 0.0)
    progress.stage_finished(stage.name)
    return records, resumed


def run_whole(
    folder: RunFolder,
    name: str,
    build: Callable[[Shard], dict[str, int]],
    input: str,
    config: Any,
    progress: Progress,
) -> StageOutcome:
    """Run a step over all shards at once, with the same resume: its record is `<name>/whole.json`.

    Args:
        folder: the run folder.
        name: of the step.
        build: writes the step's files through the given Shard, and returns rows by reason.
        input: fingerprint of the files that it reads; see `input_of`.
        config: JSON-like settings that the results depend on.
        progress: receives the events.
    """
    progress.stage_started(name, 1, 0)
    start = time.monotonic()
    settings = fingerprint(config)
    record = CommitRecord.read(folder, name, "whole")
    resumed = record is not None and record.holds(folder, input, settings)
    if record is None or not resumed:
        shard = Shard("whole", folder)
        counts = build(shard)
        total = sum(counts.values())
        record = CommitRecord(name, "whole", input, settings, total, counts, shard.outputs)
        record.write(folder)
    progress.shard_done(name, "whole", record.rows_out, resumed, time.monotonic() - start)
    progress.stage_finished(name)
    return summarise(name, [record], resumed)


def input_of(folder: RunFolder, stages: Sequence[str], shards: Sequence[str]) -> str:
    """Return the fingerprint of the committed outputs of stages.

    Raises:
        RunError: if a shard of a stage isn't committed.
    """
    outputs: list[tuple[str, dict[str, str]]] = []
    for shard in shards:
        for stage in stages:
            record = CommitRecord.read(folder, stage, shard)
            if record is None:
                raise RunError(
                    f"{folder} has no {stage} stage for {shard} yet: run that first, or "
                    "`curate run`"
                )
            outputs.append((f"{stage}/{shard}", record.outputs))
    return fingerprint(outputs)


def _run_task(task: _Task, report: Report) -> tuple[CommitRecord, bool, float] | None:
    """Run a task on a worker; return its record, whether it was there before, and its seconds."""
    start = time.monotonic()
    with reporting(report) as progress:
        if task.rehearse is not None:
            _rehearse(task, task.rehearse)
            return None
        record, was_there = _run_shard(task, progress)
        return record, was_there, time.monotonic() - start


def _rehearse(task: _Task, ids: Sequence[str]) -> None:
    rows = rows_of(task.folder, task.stage.after, task.shard)
    rows = rows.filter(pc.is_in(rows["id"], pa.array(ids, pa.string())))
    task.stage.function(rows, Shard(task.shard, task.folder, discard=True))


def _run_shard(task: _Task, progress: ShardProgress) -> tuple[CommitRecord, bool]:
    """Run a stage over a shard, unless that is done."""
    folder, stage, name = task.folder, task.stage, task.shard
    input = input_of(folder, stage.after, [name])
    record = CommitRecord.read(folder, stage.name, name)
    done_before = record is not None and record.holds(folder, input, stage.fingerprint)
    if done_before and stage.redo:
        done_before = not stage.redo(rows_of(folder, (stage.name,), name))
    if record is not None and done_before:
        return record, True
    shard = Shard(name, folder, progress)
    rows = rows_of(folder, stage.after, name)
    live = rows.filter(still_in(rows, task.exclude))
    for reason, count in count_reasons(rows.filter(pc.is_valid(rows["reason"]))).items():
        shard.advance(count, reason)  # earlier stages rejected them
    done = stage.function(live, shard)
    if not done["id"].equals(live["id"]):
        raise AssertionError(f"stage {stage.name} returned other rows than it was given")
    result = complete_rows(rows.select(["id", "reason"]), done, stage.schema, task.exclude)
    with shard.create(f"{stage.name}/{name}.parquet") as sink:
        sink.write(encode_table(result))
    record = CommitRecord(
        stage.name,
        name,
        input,
        stage.fingerprint,
        rows.num_rows,
        count_reasons(result),
        shard.outputs,
        sorted(task.exclude),
    )
    record.write(folder)
    return record, False


def _find_deadly_rows(
    task: _Task, attempt: Callable[[Iterable[_Task]], dict[str, Exception]]
) -> tuple[str, ...] | None:
    """Find the rows that bring a shard down, by halving; None if there are too many, or none."""
    rows = rows_of(task.folder, task.stage.after, task.shard)
    suspects: list[tuple[str, ...]] = [tuple(rows.filter(still_in(rows))["id"].to_pylist())]
    deadly: list[str] = []
    while suspects:
        ids = suspects.pop()
        if not attempt([replace(task, rehearse=ids)]):
            continue
        if len(ids) > 1:
            suspects += [ids[len(ids) // 2 :], ids[: len(ids) // 2]]
        elif len(deadly) == MAX_DEADLY:
            return None
        else:
            deadly += ids
    return tuple(deadly) or None


def _quarantine(task: _Task) -> CommitRecord:
    """Reject every row still in as quarantined, by a record that no later run trusts."""
    stage, folder = task.stage, task.folder
    rows = rows_of(folder, stage.after, task.shard)
    reason = pc.if_else(still_in(rows), Reason.QUARANTINED.value, rows["reason"])
    nothing = pa.schema([("id", pa.string()), ("reason", pa.string()), *stage.schema]).empty_table()
    table = complete_rows(pa.table({"id": rows["id"], "reason": reason}), nothing, stage.schema)
    path = f"{stage.name}/{task.shard}.parquet"
    outputs = {path: folder.write(path, encode_table(table))}
    counts = count_reasons(table)
    record = CommitRecord(
        stage.name, task.shard, "", "", len(rows), counts, outputs, quarantined=True
    )
    record.write(folder)
    return record


def summarise(stage: str, records: Sequence[CommitRecord], resumed: int) -> StageOutcome:
    """Add up the records of a stage's shards."""
    rows_out: Counter[str] = Counter()
    excluded: list[str] = []
    for record in records:
        rows_out.update(record.rows_out)
        excluded += record.excluded
    quarantined = [record.shard for record in records if record.quarantined]
    return StageOutcome(
        stage,
        dict(sorted(rows_out.items())),
        len(records),
        resumed,
        tuple(sorted(excluded)),
        tuple(sorted(quarantined)),
    )
