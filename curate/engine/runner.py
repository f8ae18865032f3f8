"""Runs a stage over all shards: resume, retry, isolate what kills it, commit. Rows in = rows out, always."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.config import fingerprint
from curate.engine.commit_record import CommitRecord, read_records
from curate.engine.events import Progress, Teller, telling
from curate.engine.executor import Executor, Report
from curate.engine.stage import Shard, Stage
from curate.errors import CurateError, Reason, RunError
from curate.storage.parquet import encode_table, read_run_table
from curate.storage.run_folder import RunFolder

__all__ = [
    "CANDIDATES",
    "CommitHook",
    "StageOutcome",
    "count_reasons",
    "input_of",
    "no_hook",
    "rows_of",
    "run_stage",
    "run_stages",
    "run_whole",
    "summarise",
]

MAX_POISON = 16
"""Rows of one shard that may be excluded as deadly before the whole shard is quarantined."""


@dataclass(frozen=True)
class StageOutcome:
    """What a stage did."""

    stage: str
    rows_out: dict[str, int]
    """Rows by reason, those still in under "ok"."""
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
    """Run the function over these rows only and throw the result away."""


CANDIDATES = "candidates"
"""The first stage, which has no shard function; see candidate_index."""

CommitHook = Callable[[str, Iterable[CommitRecord]], bool]
"""(stage, commit records of all its shards) -> whether it voided shards, which are then made again.

It is called whenever all shards of a stage are committed, so it does nothing for records that it has seen before."""


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

    A shard whose commit record holds is left alone. One that fails is tried again by itself; then, if the stage is
    repeatable, the rows that bring it down are found by halving and excluded with reason `crashed`; failing all that,
    its rows are quarantined, for the next run to try.

    Args:
        folder: the run folder; holds the stages that this one comes after.
        stage: what to do.
        shards: names of all shards.
        rows: candidates in all shards, for progress.
        executor: where to do it.
        progress: told what happens.

    Raises:
        CurateError: what the stage function says no other try can mend, or every shard failing.
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

    def told(task: _Task, standing: Any) -> None:
        if task.rehearse is None:
            progress.advanced(stage.name, task.shard, *standing)

    def attempt(tasks: Iterable[_Task]) -> dict[str, Exception]:
        nonlocal resumed
        failed: dict[str, Exception] = {}
        for task, result in executor.map(_work, tasks, told, stage.resource):
            if isinstance(result, CurateError):
                raise result
            if isinstance(result, Exception):
                failed[task.shard] = result
                progress.shard_failed(stage.name, task.shard, repr(result))
            elif task.rehearse is None:
                (record, was_there), seconds = result
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
        poison = _find_poison(task, attempt) if stage.repeatable else None
        if poison and not attempt([_Task(folder, stage, shard, exclude=poison)]):
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
    """Run a step that needs all shards at once, with the same resume: one commit record, `<name>/whole.json`.

    Args:
        folder: the run folder.
        name: of the step.
        build: writes its files through the given Shard and returns rows by reason.
        input: fingerprint of what it reads; see `input_of`.
        config: JSON-like settings that the results depend on.
        progress: told what happens.
    """
    progress.stage_started(name, 1, 0)
    start = time.monotonic()
    settings = fingerprint(config)
    record = CommitRecord.read(folder, name, "whole")
    resumed = record is not None and record.holds(folder, input, settings)
    if record is None or not resumed:
        shard = Shard("whole", folder)
        rows_out = build(shard)
        record = CommitRecord(
            name, "whole", input, settings, sum(rows_out.values()), rows_out, shard.outputs
        )
        record.write(folder)
    progress.shard_done(name, "whole", record.rows_out, resumed, time.monotonic() - start)
    progress.stage_finished(name)
    return summarise(name, [record], resumed)


def rows_of(
    folder: RunFolder, stages: Sequence[str], shard: str, columns: Collection[str] | None = None
) -> pa.Table:
    """The rows of a shard with the columns of several stages side by side; `reason` is the last one's.

    Args:
        folder: the run folder.
        stages: whose columns.
        shard: its name.
        columns: which to read beside `id`; all by default.

    Raises:
        RunError: if a stage's file is missing, its rows are not the candidates' rows, or columns are missing.
    """
    table: pa.Table | None = None
    for stage in stages:
        path = f"{stage}/{shard}.parquet"
        wanted = None if columns is None else {"id", *columns}
        if wanted is not None and stage != stages[-1]:
            wanted.discard("reason")
        part = read_run_table(folder, path, wanted)
        if table is None:
            table = part
            continue
        if not part["id"].equals(table["id"]):
            raise RunError(
                f"{folder}/{path} holds other rows than {stages[0]}/{shard}.parquet: curate run with --verify mends it"
            )
        for name in part.column_names:
            if name in table.column_names:
                table = table.drop_columns([name])
            table = table.append_column(part.schema.field(name), part[name])
    assert table is not None
    if columns is None:
        return table
    if lacking := [name for name in columns if name not in table.column_names]:
        raise RunError(
            f"{folder} has no {', '.join(lacking)}: an older version made its {', '.join(stages)}; "
            "bring them up to date with  curate run"
        )
    return table.select(list(columns))


def input_of(folder: RunFolder, stages: Sequence[str], shards: Sequence[str]) -> str:
    """Fingerprint of the committed outputs of stages.

    Raises:
        RunError: if one isn't committed.
    """
    outputs: list[tuple[str, dict[str, str]]] = []
    for shard in shards:
        for stage in stages:
            record = CommitRecord.read(folder, stage, shard)
            if record is None:
                raise RunError(
                    f"{folder} has no {stage} stage for {shard} yet: run that first, or `curate run`"
                )
            outputs.append((f"{stage}/{shard}", record.outputs))
    return fingerprint(outputs)


def _work(task: _Task, report: Report) -> tuple[tuple[CommitRecord, bool] | None, float]:
    """Do one task and tell how it goes; what came of it, and its seconds. Runs on a worker."""
    start = time.monotonic()
    with telling(report) as teller:
        return _perform(task, teller), time.monotonic() - start


def _perform(task: _Task, teller: Teller) -> tuple[CommitRecord, bool] | None:
    """Do one shard of a stage, unless it is done."""
    folder, stage = task.folder, task.stage
    if task.rehearse is not None:
        rows = rows_of(folder, stage.after, task.shard)
        rows = rows.filter(pc.is_in(rows["id"], pa.array(task.rehearse, pa.string())))
        stage.function(rows, Shard(task.shard, folder, discard=True))
        return None
    input = input_of(folder, stage.after, [task.shard])
    config = stage.fingerprint
    record = CommitRecord.read(folder, stage.name, task.shard)
    holds = record is not None and record.holds(folder, input, config)
    if (
        record is not None
        and holds
        and not (stage.redo and stage.redo(rows_of(folder, (stage.name,), task.shard)))
    ):
        return record, True
    shard = Shard(task.shard, folder, teller)
    rows = rows_of(folder, stage.after, task.shard)
    live = rows.filter(_is_live(rows, task.exclude))
    for reason, count in count_reasons(rows.filter(pc.is_valid(rows["reason"]))).items():
        shard.advance(count, reason)  # earlier stages brought them to their end
    done = stage.function(live, shard)
    if not done["id"].equals(live["id"]):
        raise AssertionError(f"stage {stage.name} returned other rows than it was given")
    result = _fill(rows.select(["id", "reason"]), done, stage.schema, task.exclude)
    path = f"{stage.name}/{task.shard}.parquet"
    with shard.create(path) as sink:
        sink.write(encode_table(result))
    record = CommitRecord(
        stage.name,
        task.shard,
        input,
        config,
        rows.num_rows,
        count_reasons(result),
        shard.outputs,
        sorted(task.exclude),
    )
    record.write(folder)
    return record, False


def _is_live(rows: pa.Table, exclude: Sequence[str]) -> pa.ChunkedArray:
    live = pc.is_null(rows["reason"])
    return (
        pc.and_(live, pc.invert(pc.is_in(rows["id"], pa.array(exclude, pa.string()))))
        if exclude
        else live
    )


def _fill(before: pa.Table, done: pa.Table, schema: pa.Schema, exclude: Sequence[str]) -> pa.Table:
    """Rows of the whole shard: those that the function saw as it left them, the others with nulls and their reason."""
    place = pc.index_in(before["id"], done["id"].combine_chunks())
    absent = pc.is_null(place)
    own_reason = done["reason"].cast(pa.string()).combine_chunks().take(place)
    deadly = pc.if_else(
        pc.is_in(before["id"], pa.array(exclude, pa.string())),
        Reason.CRASHED.value,
        before["reason"],
    )
    reason = pc.if_else(absent, deadly, own_reason)
    columns = {
        "id": before["id"],
        "status": pc.if_else(pc.is_null(reason), "ok", "rejected"),
        "reason": reason,
    }
    for column in schema:
        columns[column.name] = done[column.name].cast(column.type).combine_chunks().take(place)
    return pa.table(columns, metadata=done.schema.metadata)


def count_reasons(table: pa.Table) -> dict[str, int]:
    """Rows by reason, those without one under "ok"."""
    counts = Counter(reason or "ok" for reason in table["reason"].to_pylist())
    return dict(sorted(counts.items()))


def _find_poison(
    task: _Task, attempt: Callable[[Iterable[_Task]], dict[str, Exception]]
) -> tuple[str, ...] | None:
    """The rows that bring a shard down, found by halving; None when there are too many or none by themselves."""
    rows = rows_of(task.folder, task.stage.after, task.shard)
    suspects: list[tuple[str, ...]] = [tuple(rows.filter(_is_live(rows, ()))["id"].to_pylist())]
    poison: list[str] = []
    while suspects:
        ids = suspects.pop()
        if not attempt([_Task(task.folder, task.stage, task.shard, rehearse=ids)]):
            continue
        if len(ids) > 1:
            suspects += [ids[len(ids) // 2 :], ids[: len(ids) // 2]]
        elif len(poison) == MAX_POISON:
            return None
        else:
            poison += ids
    return tuple(poison) or None


def _quarantine(task: _Task) -> CommitRecord:
    """Give a shard up: every row still in is rejected as quarantined, by a record that no later run trusts."""
    stage, folder = task.stage, task.folder
    rows = rows_of(folder, stage.after, task.shard)
    reason = pc.if_else(_is_live(rows, ()), Reason.QUARANTINED.value, rows["reason"])
    nothing = pa.schema([("id", pa.string()), ("reason", pa.string()), *stage.schema]).empty_table()
    table = _fill(pa.table({"id": rows["id"], "reason": reason}), nothing, stage.schema, ())
    path = f"{stage.name}/{task.shard}.parquet"
    outputs = {path: folder.write(path, encode_table(table))}
    record = CommitRecord(
        stage.name, task.shard, "", "", len(rows), count_reasons(table), outputs, quarantined=True
    )
    record.write(folder)
    return record


def summarise(stage: str, records: Sequence[CommitRecord], resumed: int) -> StageOutcome:
    """What the records of one stage's shards add up to."""
    rows_out: Counter[str] = Counter()
    for record in records:
        rows_out.update(record.rows_out)
    return StageOutcome(
        stage,
        dict(sorted(rows_out.items())),
        len(records),
        resumed,
        tuple(sorted(id_ for record in records for id_ in record.excluded)),
        tuple(sorted(record.shard for record in records if record.quarantined)),
    )
