"""The stages of a run, put together out of what the rooms offer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numpy.typing import NDArray

from curate import engine
from curate.candidates.reader import LOCAL
from curate.config import fingerprint
from curate.engine import CommitRecord, Executor, Progress, RunFolder, Shard, Stage, StageOutcome
from curate.errors import LabelError, Reason, RunError
from curate.fetch.shard import SCHEMA as FETCH_SCHEMA
from curate.fetch.shard import FetchShard
from curate.label.shard import SCHEMA as LABEL_SCHEMA
from curate.label.shard import LabelShard, read_embeddings
from curate.label.taxonomy import load_taxonomy
from curate.manifest import LEDGER, MANIFEST, encode_manifest
from curate.measure import MeasureShard
from curate.recipe import Filters, Recipe
from curate.select import Benchmarks, Pins, needed_columns, rejections, select, shopping_csv

__all__ = [
    "FOLDERS",
    "NAMES",
    "SHARD_STAGES",
    "SHOPPING",
    "STAGES",
    "FilterAndLabel",
    "forget_other_shards",
    "placed",
    "read_summary",
    "retried",
    "retry_reasons",
    "write_report",
    "write_selection",
]

STAGES = ("candidates", "fetch", "measure", "label", "select", "report")
"""Stages as a user names them, in order."""
FOLDERS = ("candidates", "fetched", "measured", "labelled", "select", "report")
"""Their folders in the run folder."""
NAMES = dict(zip(FOLDERS, STAGES, strict=True))
"""Folder -> stage."""

_SUMMARY = "select/summary.json"
SHOPPING = "select/shopping_list.csv"
"""What the pool lacks; see curate.select.shopping."""


def _fetch_stage(recipe: Recipe) -> Stage:
    function = FetchShard(recipe.fetch, recipe.early_bounds)
    return Stage("fetched", function, FETCH_SCHEMA, FOLDERS[:1], function.settings, repeatable=False)


def retried(stage: Stage, reasons: tuple[str, ...]) -> Stage:
    """The fetch stage, going back to shards that have rows of some reasons."""
    assert isinstance(stage.function, FetchShard)
    return replace(stage, function=replace(stage.function, retry=reasons), redo=partial(_has_reason, reasons))


def _has_reason(reasons: tuple[str, ...], table: pa.Table) -> bool:
    return bool(pc.any(pc.is_in(table["reason"], pa.array(reasons, pa.string()))).as_py())


def forget_other_shards(folder: RunFolder, shards: Collection[str]) -> None:
    """Remove what there is of all shards but these: a list that takes another's place may be shorter.

    By the names of files, since what a kill left behind is in no commit record.
    """
    numbers = {shard.removeprefix("part-") for shard in shards}
    for place in (*FOLDERS[:4], "images", "aside", "embeddings", "ledger", "log"):
        for name in folder.names(place, ""):
            number = re.search(r"-(\d+)\.\w+$", name)
            if number and number[1] not in numbers:
                folder.remove(name)


def retry_reasons(names: Sequence[str]) -> tuple[str, ...]:
    """The fetch stage's reasons that a user means.

    Raises:
        RunError: if a name is none of them.
    """
    of_fetch = [reason for reason in Reason if reason.stage == "fetch"]
    transient = [reason.value for reason in of_fetch if reason.transient]
    for name in names:
        if name not in ("transient", *of_fetch):
            raise RunError(
                f"{name!r} can't be tried again: name transient ({', '.join(transient)}), or one of "
                f"{', '.join(of_fetch)}"
            )
    return tuple(dict.fromkeys(r for name in names for r in (transient if name == "transient" else [name])))


def placed(stage: Stage, executor: Executor) -> Stage:
    """The label stage, on the workers that offer a GPU; on the processor where none does.

    Raises:
        LabelError: if it must be a GPU.
    """
    assert isinstance(stage.function, FilterAndLabel)
    config = stage.function.label.config
    if config.device == "cpu":
        return stage
    if executor.offers(engine.GPU):
        return replace(stage, resource=engine.GPU)
    if config.device == "cuda":
        raise LabelError(
            "label.device is cuda, but no worker offers a GPU: use auto or cpu; a cluster's workers offer theirs when "
            "they are started with --resources GPU=1"
        )
    # not auto: workers that don't offer their GPU would share it with their neighbours
    on_cpu = LabelShard(config.model_copy(update={"device": "cpu"}))
    return replace(stage, function=replace(stage.function, label=on_cpu))


def _measure_stage(recipe: Recipe) -> Stage:
    function = MeasureShard(recipe.measure)
    return Stage("measured", function, function.schema, FOLDERS[:2], recipe.measure.essence(), version=2)


def _label_stage(recipe: Recipe) -> Stage:
    function = FilterAndLabel(recipe.filters, LabelShard(recipe.label))
    settings = {"filters": recipe.filters.essence(), "label": function.label.settings}
    return Stage("labelled", function, LABEL_SCHEMA, FOLDERS[:3], settings)


SHARD_STAGES: dict[str, Callable[[Recipe], Stage]] = {
    "fetch": _fetch_stage,
    "measure": _measure_stage,
    "label": _label_stage,
}


@dataclass(frozen=True)
class FilterAndLabel:
    """Shard function: the recipe's filters, then labels for what passes, then the filters on the labels.

    Filters stand here, not in the measure stage, so that a changed threshold costs no decoding, and before the labels,
    so that no rejected image costs a pass through CLIP.
    """

    filters: Filters
    label: LabelShard

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """See curate.engine.ShardFunction."""
        reason = rejections(rows, self.filters)
        passing = rows.filter(pc.is_null(reason))
        for name, count in engine.count_reasons(pa.table({"reason": reason.drop_null()})).items():
            shard.advance(count, name)
        labelled = self.label(passing, shard)
        of_labels = rejections(labelled, self.filters)
        labelled = labelled.set_column(1, "reason", pc.coalesce(labelled["reason"], of_labels))
        place = pc.index_in(rows["id"], labelled["id"].combine_chunks())
        columns = {name: labelled[name].combine_chunks().take(place) for name in labelled.column_names}
        return pa.table(columns | {"id": rows["id"], "reason": pc.coalesce(reason, columns["reason"])})


def write_selection(
    folder: RunFolder, recipe: Recipe, shards: Sequence[str], progress: Progress, pins: Pins | None = None
) -> StageOutcome:
    """Decide, then write the ledger, shard by shard, the manifests, and what is lacking; pins: see curate.picks."""
    pins = pins or {}
    # all of the recipe: manifests tell the whole of it
    settings = {
        "recipe": recipe.essence(),
        "benchmarks": Benchmarks.fingerprint(recipe.select.benchmarks),
        "pins": sorted(pins.items()),
        "version": 3,
    }

    def build(whole: Shard) -> dict[str, int]:
        pool, vectors_ND, candidates = _read_pool(whole, recipe, shards, pins)
        selection = select(
            pa.concat_tables(pool).combine_chunks(),
            recipe.select,
            recipe.filters,
            load_taxonomy(recipe.label.taxonomy).names,
            recipe.seed,
            vectors_ND,
            pins=pins,
            candidates=candidates,
        )
        kept, start, counts = [], 0, Counter[str]()
        for shard, rows in zip(shards, pool, strict=True):
            ledger = _ledger(engine.rows_of(folder, FOLDERS[:4], shard), selection.decisions.slice(start, len(rows)))
            start += len(rows)
            with whole.create(f"ledger/{shard}.parquet") as sink:
                sink.write(engine.encode_table(ledger))
            counts.update(engine.count_reasons(ledger))
            kept.append(ledger.filter(pc.equal(ledger["status"], "kept")))
        _write_manifests(whole, pa.concat_tables(kept), recipe)
        with whole.create(SHOPPING) as sink:
            sink.write(shopping_csv(selection.summary["shopping"]["rows"]))
        with whole.create(_SUMMARY) as sink:
            sink.write(json.dumps(selection.summary, indent=1).encode())
        return dict(sorted(counts.items()))

    return engine.run_whole(folder, "select", build, engine.input_of(folder, FOLDERS[:4], shards), settings, progress)


def _read_pool(
    whole: Shard, recipe: Recipe, shards: Sequence[str], pins: Pins
) -> tuple[list[pa.Table], NDArray[np.float32] | None, int]:
    """What `select` decides on: of each shard the rows that passed, their embeddings if need be; and all candidates.

    What was rejected before takes no memory, unless it is pinned and must be told.
    """
    columns = needed_columns(recipe.select)
    benchmarks = Benchmarks.load(recipe.select.benchmarks)
    parts, vectors, candidates = [], [], 0
    for shard in shards:
        further = {"keypoints", "width", "height", "label_model"} - set(columns)
        facts = engine.rows_of(whole.folder, FOLDERS[:4], shard, [*columns, *sorted(further)])
        matches = benchmarks.matches(facts)  # here, so that the keypoints of all shards are never held at once
        mine = _is_open(facts, pins)
        parts.append(facts.select(columns).append_column("contaminated_by", matches).filter(mine))
        if recipe.select.dedup.semantic is not None:
            vectors.append(read_embeddings(whole, shard, facts)[mine.to_numpy()])
        candidates += len(facts)
    return parts, _stack(vectors) if vectors else None, candidates


def _is_open(rows: pa.Table, pins: Collection[str]) -> pa.ChunkedArray:
    """Whether a row is the selection's to decide, or pinned."""
    open_ = pc.is_null(rows["reason"])
    return pc.or_(open_, pc.is_in(rows["id"], pa.array(list(pins), pa.string()))) if pins else open_


def _stack(vectors: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The embeddings of all shards; those of a shard without any are zeros of no length."""
    length = max(part.shape[1] for part in vectors)
    return np.concatenate([np.pad(part, ((0, 0), (0, length - part.shape[1]))) for part in vectors])


def read_summary(folder: RunFolder) -> dict[str, Any]:
    """What the selection aimed at, and what it reached; see curate.select.Selection.summary."""
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
    # where this machine keeps its files is nobody's business, and keypoints are for the selection alone
    order = [*types, *(name for name in columns if name not in types and name not in (*LOCAL.names, "keypoints"))]
    return pa.table({name: columns[name].cast(types.get(name, columns[name].type)) for name in order})


def _write_manifests(whole: Shard, kept: pa.Table, recipe: Recipe) -> None:
    metadata = {
        "recipe": yaml.safe_dump(recipe.essence(), sort_keys=False, allow_unicode=True),
        "recipe_name": recipe.name,
        "recipe_fingerprint": fingerprint(recipe.essence()),
        "seed": str(recipe.seed),
    }
    known = [column.name for column in MANIFEST]
    # columns of the input's own come along when there is anything in them
    own = [n for n in kept.column_names if n not in (*known, "status", "reason") and kept[n].null_count < len(kept)]
    for split in ("train", "test"):
        table = kept.filter(pc.equal(kept["split"], split)).select([*known, *own])
        with whole.create(f"manifest/{split}.parquet") as sink:
            sink.write(encode_manifest(table, metadata))


def write_report(folder: RunFolder, progress: Progress) -> StageOutcome:
    selected = CommitRecord.read(folder, "select", "whole")
    if selected is None:
        raise RunError(f"{folder} has nothing to report yet: run  curate select {folder}  first")

    def build(whole: Shard) -> dict[str, int]:
        from curate.report import build_report  # matplotlib: only where figures are drawn

        build_report(whole)
        return {}

    return engine.run_whole(folder, "report", build, fingerprint(selected.outputs), {"version": 2}, progress)
