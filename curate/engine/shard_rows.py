"""Rows of a shard as tables: read from several stages, and completed after a stage function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import Reason, RunError
from curate.storage.parquet import read_run_table
from curate.storage.run_folder import RunFolder

__all__ = ["complete_rows", "count_reasons", "rows_of", "still_in"]


def rows_of(
    folder: RunFolder, stages: Sequence[str], shard: str, columns: Collection[str] | None = None
) -> pa.Table:
    """Read a shard's rows with the columns of several stages; `reason` is the last stage's.

    Args:
        folder: the run folder.
        stages: folders of the stages.
        shard: name of the shard.
        columns: names of the columns to return; all by default.

    Raises:
        RunError: if a file or a column is missing, or a file's rows are not the candidates' rows.
    """
    first, *others = stages
    table = _read(folder, first, shard, columns, with_reason=not others)
    for stage in others:
        part = _read(folder, stage, shard, columns, with_reason=stage == stages[-1])
        if not part["id"].equals(table["id"]):
            raise RunError(
                f"{folder}/{stage}/{shard}.parquet holds other rows than {first}/{shard}.parquet: "
                "curate run with --verify mends it"
            )
        for name in part.column_names:
            if name in table.column_names:
                table = table.drop_columns([name])
            table = table.append_column(part.schema.field(name), part[name])
    if columns is None:
        return table
    if missing := [name for name in columns if name not in table.column_names]:
        raise RunError(
            f"{folder} has no {', '.join(missing)}: an older version made its {', '.join(stages)}; "
            "bring them up to date with  curate run"
        )
    return table.select(list(columns))


def _read(
    folder: RunFolder,
    stage: str,
    shard: str,
    columns: Collection[str] | None,
    *,
    with_reason: bool,
) -> pa.Table:
    wanted = None if columns is None else {"id", *columns} - (set() if with_reason else {"reason"})
    return read_run_table(folder, f"{stage}/{shard}.parquet", wanted)


def still_in(rows: pa.Table, exclude: Collection[str] = ()) -> pa.ChunkedArray:
    """Return which rows no stage has rejected, less the excluded ids."""
    is_in = pc.is_null(rows["reason"])
    if not exclude:
        return is_in
    excluded = pc.is_in(rows["id"], pa.array(list(exclude), pa.string()))
    return pc.and_(is_in, pc.invert(excluded))


def complete_rows(
    rows: pa.Table, done: pa.Table, schema: pa.Schema, exclude: Collection[str] = ()
) -> pa.Table:
    """Return one row for each row of a shard after a stage.

    Args:
        rows: `id` and `reason` of the whole shard before the stage.
        done: rows that the stage function returned.
        schema: the columns that the stage adds; null in rows that the function didn't get.
        exclude: ids that the function didn't get because they kill it; their reason is `crashed`.
    """
    place = pc.index_in(rows["id"], done["id"].combine_chunks())
    excluded = pc.is_in(rows["id"], pa.array(list(exclude), pa.string()))
    earlier = pc.if_else(excluded, Reason.CRASHED.value, rows["reason"])
    own = done["reason"].cast(pa.string()).combine_chunks().take(place)
    reason = pc.if_else(pc.is_null(place), earlier, own)
    status = pc.if_else(pc.is_null(reason), "ok", "rejected")
    columns = {"id": rows["id"], "status": status, "reason": reason}
    for column in schema:
        columns[column.name] = done[column.name].cast(column.type).combine_chunks().take(place)
    return pa.table(columns, metadata=done.schema.metadata)


def count_reasons(table: pa.Table) -> dict[str, int]:
    """Return rows by reason, rows without one under "ok"."""
    counts = Counter(reason or "ok" for reason in table["reason"].to_pylist())
    return dict(sorted(counts.items()))
