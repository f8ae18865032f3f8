"""The steps of a run that need all shards at once: the selection, which writes ledger and manifests, and the report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numpy.typing import NDArray

from curate import engine
from curate.config import fingerprint
from curate.engine import CommitRecord, Executor, Progress, RunFolder, Shard, StageOutcome
from curate.engine.executor import Report
from curate.errors import RunError
from curate.manifest import LEDGER, MANIFEST, encode_manifest
from curate.recipe import Recipe
from curate.stages.candidates.reader import LOCAL
from curate.stages.chain import build_stage
from curate.stages.label.shard import read_embeddings
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.match.benchmarks import Benchmarks
from curate.stages.names import StageName
from curate.stages.select import Pins, needed_columns, select, shopping_csv

__all__ = ["SHOPPING", "read_summary", "write_report", "write_selection"]

SHOPPING = "select/shopping_list.csv"
"""What the pool lacks; see curate.stages.select.shopping_list."""
_SUMMARY = "select/summary.json"
_BLOCK = 64
"""Shards that a worker is given at once: each takes it milliseconds."""


def write_selection(
    folder: RunFolder,
    recipe: Recipe,
    shards: Sequence[str],
    executor: Executor,
    progress: Progress,
    pins: Pins | None = None,
) -> StageOutcome:
    """Decide, then write the ledger, the manifests, and what is lacking.

    Workers read and write what there is for each shard; what decides comes together here.

    Args:
        folder: the run folder; holds all earlier stages.
        recipe: the run's.
        shards: names of all.
        executor: where shards are read and written.
        progress: told what happens.
        pins: see curate.pipeline.earlier_picks.

    Raises:
        RunError: if images were held against other lists of benchmarks than the recipe's.
    """
    pins = pins or {}
    benchmarks = _matched(folder, recipe, shards)
    # all of the recipe: manifests tell the whole of it
    settings = {
        "recipe": recipe.essence(),
        "benchmarks": benchmarks.digests,
        "pins": sorted(pins.items()),
        "version": 4,
    }

    def build(whole: Shard) -> dict[str, int]:
        columns = [*needed_columns(recipe.select), "contaminated_by"]
        semantic = recipe.select.dedup.semantic is not None
        blocks = [shards[start : start + _BLOCK] for start in range(0, len(shards), _BLOCK)]
        readings = (_Reading(folder, block, columns, semantic, tuple(pins)) for block in blocks)
        pool: list[_Open] = engine.map_in_order(executor, _read, readings)
        selection = select(
            pa.concat_tables([part.rows for part in pool]).combine_chunks(),
            recipe.select,
            recipe.filters,
            load_taxonomy(recipe.label.taxonomy).names,
            recipe.seed,
            _stack([part.vectors_ND for part in pool]) if semantic else None,
            pins=pins,
            candidates=sum(part.candidates for part in pool),
        )
        sizes = [len(part.rows) for part in pool]
        del pool
        decided = (
            # a slice would bring all rows along to a worker
            selection.decisions.take(pa.array(np.arange(end - size, end)))
            for size, end in zip(sizes, accumulate(sizes), strict=True)
        )
        writings = (
            _Writing(folder, block, part) for block, part in zip(blocks, decided, strict=True)
        )
        kept, counts = [], Counter[str]()
        for part in engine.map_in_order(executor, _write, writings):
            kept.append(part.kept)
            counts.update(part.counts)
            whole.outputs.update(part.outputs)
        _write_manifests(whole, pa.concat_tables(kept), recipe)
        with whole.create(SHOPPING) as sink:
            sink.write(shopping_csv(selection.summary["shopping"]["rows"]))
        with whole.create(_SUMMARY) as sink:
            sink.write(
                json.dumps(
                    selection.summary | {"benchmarks": benchmarks.coverage()}, indent=1
                ).encode()
            )
        return dict(sorted(counts.items()))

    return engine.run_whole(
        folder,
        "select",
        build,
        engine.input_of(folder, StageName.SELECT.input_folders, shards),
        settings,
        progress,
    )


def _matched(folder: RunFolder, recipe: Recipe, shards: Sequence[str]) -> Benchmarks:
    """The lists that the images were held against.

    Raises:
        RunError: if those that the recipe names have changed since.
    """
    settings = build_stage(StageName.MATCH, recipe).fingerprint
    for shard in shards:
        record = CommitRecord.read(folder, StageName.MATCH.folder, shard)
        if record is not None and not record.quarantined and record.config != settings:
            raise RunError(
                f"the lists of select.benchmarks aren't those that {folder} was held against: run  curate match "
                f"{folder}  first"
            )
    return Benchmarks.load(recipe.select.benchmarks)


@dataclass(frozen=True)
class _Reading:
    """Shards of which to read what decides."""

    folder: RunFolder
    shards: Sequence[str]
    columns: Sequence[str]
    embeddings: bool
    pins: Collection[str]


@dataclass(frozen=True)
class _Open:
    """What `select` decides on: of some shards the rows that passed, and how many there were.

    What was rejected before takes no memory, unless it is pinned and must be told.
    """

    rows: pa.Table
    vectors_ND: NDArray[np.float32]
    """Their embeddings, of no length where nobody wants them."""
    candidates: int


def _read(task: _Reading, report: Report) -> _Open:
    """Runs on a worker."""
    parts, vectors, candidates = [], [], 0
    wanted = [*task.columns, *(["label_model"] if task.embeddings else [])]
    for name in task.shards:
        rows = engine.rows_of(task.folder, StageName.SELECT.input_folders, name, wanted)
        mine = _is_open(rows, task.pins)
        parts.append(rows.select(task.columns).filter(mine))
        if task.embeddings:
            vectors.append(read_embeddings(Shard(name, task.folder), name, rows)[mine.to_numpy()])
        candidates += len(rows)
    table = pa.concat_tables(parts).combine_chunks()
    return _Open(
        table, _stack(vectors) if vectors else np.zeros((len(table), 0), np.float32), candidates
    )


def _is_open(rows: pa.Table, pins: Collection[str]) -> pa.ChunkedArray:
    """Whether a row is the selection's to decide, or pinned."""
    open_ = pc.is_null(rows["reason"])
    return pc.or_(open_, pc.is_in(rows["id"], pa.array(list(pins), pa.string()))) if pins else open_


def _stack(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The embeddings of several shards; those of a shard without any are zeros of no length."""
    length = max(part.shape[1] for part in vectors)
    return np.concatenate([np.pad(part, ((0, 0), (0, length - part.shape[1]))) for part in vectors])


@dataclass(frozen=True)
class _Writing:
    """Shards of the ledger to write, and what was decided of their open rows, one shard after the other."""

    folder: RunFolder
    shards: Sequence[str]
    decided: pa.Table


@dataclass(frozen=True)
class _Written:
    """What came of it."""

    outputs: dict[str, str]
    """Path -> SHA-256."""
    counts: Counter[str]
    """Rows by reason."""
    kept: pa.Table


def _write(task: _Writing, report: Report) -> _Written:
    """Runs on a worker."""
    outputs: dict[str, str] = {}
    kept, counts = [], Counter[str]()
    for name in task.shards:
        ledger = _ledger(
            engine.rows_of(task.folder, StageName.SELECT.input_folders, name), task.decided
        )
        path = f"ledger/{name}.parquet"
        outputs[path] = task.folder.write(path, engine.encode_table(ledger))
        counts.update(engine.count_reasons(ledger))
        kept.append(ledger.filter(pc.equal(ledger["status"], "kept")))
    return _Written(outputs, counts, pa.concat_tables(kept))


def read_summary(folder: RunFolder) -> dict[str, Any]:
    """What the selection aimed at, and what it reached; see curate.stages.select.Selection.summary."""
    summary: dict[str, Any] = json.loads(folder.read(_SUMMARY))
    return summary


def _ledger(facts: pa.Table, decided: pa.Table) -> pa.Table:
    """All that is known of each candidate, in the schema's order; columns of the input's own at the end."""
    types = {column.name: column.type for column in LEDGER}
    place = pc.index_in(facts["id"], decided["id"].combine_chunks())
    decisions = {name: decided[name].combine_chunks().take(place) for name in decided.column_names}
    decisions |= {"id": facts["id"], "reason": pc.coalesce(facts["reason"], decisions["reason"])}
    decisions["status"] = pc.coalesce(decisions["status"], "rejected")
    columns = {name: facts[name] for name in facts.column_names} | decisions
    # where this machine keeps its files is nobody's business; keypoints were measured by an older version
    order = [
        *types,
        *(
            name
            for name in columns
            if name not in types and name not in (*LOCAL.names, "keypoints")
        ),
    ]
    return pa.table(
        {name: columns[name].cast(types.get(name, columns[name].type)) for name in order}
    )


def _write_manifests(whole: Shard, kept: pa.Table, recipe: Recipe) -> None:
    metadata = {
        "recipe": yaml.safe_dump(recipe.essence(), sort_keys=False, allow_unicode=True),
        "recipe_name": recipe.name,
        "recipe_fingerprint": fingerprint(recipe.essence()),
        "seed": str(recipe.seed),
    }
    known = [column.name for column in MANIFEST]
    # columns of the input's own come along when there is anything in them
    own = [
        n
        for n in kept.column_names
        if n not in (*known, "status", "reason") and kept[n].null_count < len(kept)
    ]
    for split in ("train", "test"):
        table = kept.filter(pc.equal(kept["split"], split)).select([*known, *own])
        with whole.create(f"manifest/{split}.parquet") as sink:
            sink.write(encode_manifest(table, metadata))


def write_report(folder: RunFolder, progress: Progress) -> StageOutcome:
    selected = CommitRecord.read(folder, "select", "whole")
    if selected is None:
        raise RunError(f"{folder} has nothing to report yet: run  curate select {folder}  first")

    def build(whole: Shard) -> dict[str, int]:
        from curate.stages.report import build_report  # matplotlib: only where figures are drawn

        build_report(whole)
        return {}

    return engine.run_whole(
        folder, "report", build, fingerprint(selected.outputs), {"version": 3}, progress
    )
