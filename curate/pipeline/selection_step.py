"""Steps over all shards at once: the selection with ledger and manifests, and the report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
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
from curate.errors import Reason, RunError
from curate.manifest import LEDGER, MANIFEST, encode_manifest
from curate.manifest.derived import derived_url
from curate.manifest.tiles import boxes_of, fragment
from curate.manifest.verdicts import Sidecar, Verdicts
from curate.recipe import FACTS, TILE_FACTS, Filters, Recipe, Tiles
from curate.stages.candidates.reader import LOCAL
from curate.stages.chain import build_stage
from curate.stages.filters import fitting_tiles
from curate.stages.label.shard import read_embeddings
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.match.benchmarks import Benchmarks
from curate.stages.measure.shard import MeasureShard
from curate.stages.names import StageName, tiles_path
from curate.stages.select import (
    Pins,
    Selection,
    choose_tiles,
    needed_columns,
    select,
    shopping_csv,
)
from curate.storage import atomic
from curate.storage.parquet import read_run_table

__all__ = ["SHOPPING", "read_summary", "write_comparison", "write_report", "write_selection"]

SHOPPING = "select/shopping_list.csv"
"""Images that the pool lacks; see curate.stages.select.shopping_list."""
_SUMMARY = "select/summary.json"
_WHOLE_ONLY = tuple(sorted(set(FACTS).difference(TILE_FACTS)))
"""Facts of whole images that tiles don't have."""
_BLOCK = 64
"""Shards of one task: each takes a worker milliseconds."""


def write_selection(
    folder: RunFolder,
    recipe: Recipe,
    shards: Sequence[str],
    executor: Executor,
    progress: Progress,
    pins: Pins,
) -> StageOutcome:
    """Select images, and write the ledger, the manifests and the shopping list.

    Workers read and write the shards; only the columns that the selection needs come together here.

    Args:
        folder: the run folder; holds all earlier stages.
        recipe: of the run.
        shards: names of all shards.
        executor: reads and writes shards.
        progress: receives the events of the step.
        pins: see curate.pipeline.earlier_picks.

    Raises:
        RunError: if images were matched against other lists of benchmarks than the recipe's, or
            verdicts can't be read.
    """
    benchmarks = _load_benchmarks(folder, recipe, shards)
    reviewed = _Reviewed.read(folder, recipe)
    # all of the recipe, since manifests hold the whole of it
    settings = {
        "recipe": recipe.essence(),
        "benchmarks": benchmarks.digests,
        "pins": sorted(pins.items()),
        "verdicts": reviewed.verdicts.essence,
        "version": 5,
    }

    def build(whole: Shard) -> dict[str, int]:
        blocks = [shards[start : start + _BLOCK] for start in range(0, len(shards), _BLOCK)]
        pools = _read_pools(folder, recipe, blocks, executor, pins, reviewed)
        sizes = [len(pool.rows) for pool in pools]
        selection = _select(recipe, pools, pins)
        known = pa.concat_arrays([pool.reviewed for pool in pools])
        del pools  # millions of rows
        decisions = _split(selection.decisions, sizes)
        parts = zip(blocks, decisions, strict=True)
        tasks = (
            _WriteTask(folder, block, part, reviewed, _tiles_of(selection, part))
            for block, part in parts
        )
        kept, counts = [], Counter[str]()
        for written in engine.map_in_order(executor, _write_ledger, tasks):
            kept.append(written.kept)
            counts.update(written.counts)
            whole.outputs.update(written.outputs)
        _write_manifests(whole, pa.concat_tables(kept), recipe)
        with whole.create(SHOPPING) as sink:
            sink.write(shopping_csv(selection.summary["shopping"]["rows"]))
        summary = selection.summary | {
            "benchmarks": benchmarks.coverage(),
            "verdicts": {
                "named": len(reviewed.verdicts),
                "trouble": reviewed.verdicts.name_unknown(known),
            },
        }
        with whole.create(_SUMMARY) as sink:
            sink.write(json.dumps(summary, indent=1).encode())
        return dict(sorted(counts.items()))

    input = engine.input_of(folder, StageName.SELECT.input_folders, shards)
    return engine.run_whole(folder, StageName.SELECT.folder, build, input, settings, progress)


def _load_benchmarks(folder: RunFolder, recipe: Recipe, shards: Sequence[str]) -> Benchmarks:
    """Load the lists of benchmarks that the images were matched against.

    Raises:
        RunError: if the recipe's lists have changed since.
    """
    settings = build_stage(StageName.MATCH, recipe).fingerprint
    for record in engine.read_records(folder, StageName.MATCH.folder, shards):
        if not record.quarantined and record.config != settings:
            raise RunError(
                f"the lists of select.benchmarks aren't those that {folder} was held against: run  "
                f"curate match {folder}  first"
            )
    return Benchmarks.load(recipe.select.benchmarks)


@dataclass(frozen=True)
class _Reviewed:
    """Rows as people's verdicts have them: the one place where a selection heeds these."""

    verdicts: Verdicts
    broad: dict[str, str]
    """Category -> its broad class."""

    @classmethod
    def read(cls, folder: RunFolder, recipe: Recipe) -> _Reviewed:
        """Read the verdicts on a run's images.

        Raises:
            RunError: if they can't be read, or name a category that the taxonomy doesn't have.
        """
        verdicts = Verdicts.read(Sidecar.of_run(folder))
        categories = load_taxonomy(recipe.label.taxonomy).categories
        broad = {category.name: category.broad for category in categories}
        verdicts.check_categories(list(broad))
        return cls(verdicts, broad)

    def apply(self, rows: pa.Table) -> pa.Table:
        """See Verdicts.apply."""
        return self.verdicts.apply(rows, self.broad)


@dataclass(frozen=True)
class _ReadTask:
    """Shards to read, and the columns that the selection needs."""

    folder: RunFolder
    shards: Sequence[str]
    columns: Sequence[str]
    embeddings: bool
    pins: Collection[str]
    reviewed: _Reviewed
    tiles: Tiles | None
    tile_schema: pa.Schema


@dataclass(frozen=True)
class _Pool:
    """Rows of some shards that the selection decides on: rows that passed, and pinned rows."""

    rows: pa.Table
    embeddings_ND: NDArray[np.float32]
    """Embeddings of the rows; of length 0 where the selection doesn't need them."""
    candidates: int
    """Rows of the shards, rejected ones among them."""
    reviewed: pa.Array
    """Ids of all rows that have a verdict."""
    tiles: pa.Table
    """Tiles that the selection decides on; none where whole images are chosen."""


def _read_pools(
    folder: RunFolder,
    recipe: Recipe,
    blocks: Sequence[Sequence[str]],
    executor: Executor,
    pins: Pins,
    reviewed: _Reviewed,
) -> list[_Pool]:
    columns = [*needed_columns(recipe.select), "contaminated_by"]
    semantic = recipe.select.dedup.semantic is not None
    schema = MeasureShard(recipe.measure, recipe.tiles).tile_schema
    settings = (columns, semantic, tuple(pins), reviewed, recipe.tiles, schema)
    tasks = (_ReadTask(folder, block, *settings) for block in blocks)
    return engine.map_in_order(executor, _read_pool, tasks)


def _read_pool(task: _ReadTask, report: Report) -> _Pool:
    """Read the pool of some shards, on a worker."""
    parts, embeddings, candidates = [], [], 0
    with_verdict = [pa.array([], pa.string())]
    tiles = [_with_reason(task.tile_schema.empty_table())]
    columns = [*task.columns, *(["label_model"] if task.embeddings else [])]
    for name in task.shards:
        found = engine.rows_of(task.folder, StageName.SELECT.input_folders, name, columns)
        rows = task.reviewed.apply(found)
        with_verdict += rows["id"].filter(pc.is_valid(rows["verdict"])).chunks
        in_pool = pc.is_null(rows["reason"])
        wanted = pa.array(list(task.pins), pa.string())
        if task.tiles is not None:
            tiles.append(_read_tiles(task, name, rows.filter(in_pool)["id"]))
            wanted = tiles[-1]["tile_of"].combine_chunks()
        if len(wanted):
            in_pool = pc.or_(in_pool, pc.is_in(rows["id"], wanted))
        parts.append(rows.select(task.columns).filter(in_pool))
        if task.embeddings:
            of_shard_ND = read_embeddings(Shard(name, task.folder), name, found)
            embeddings.append(of_shard_ND[in_pool.to_numpy()])
        candidates += len(rows)
    table = pa.concat_tables(parts).combine_chunks()
    stacked_ND = _stack(embeddings) if embeddings else np.zeros((len(table), 0), np.float32)
    tiled = pa.concat_tables(tiles).combine_chunks()
    return _Pool(table, stacked_ND, candidates, pa.concat_arrays(with_verdict), tiled)


def _read_tiles(task: _ReadTask, shard: str, images: pa.ChunkedArray) -> pa.Table:
    """Read the tiles of a shard that the selection decides on, with the reason of pins that fail.

    Those are the chosen tiles of images that passed, and all pinned tiles.
    """
    assert task.tiles is not None
    path = tiles_path(shard)
    if not task.folder.exists(path) and not len(images):
        return _with_reason(task.tile_schema.empty_table())  # a shard that was given up
    every = read_run_table(task.folder, path)
    fitting = fitting_tiles(every, task.tiles)
    fitting = fitting.filter(pc.is_in(fitting["tile_of"], images.combine_chunks()))
    chosen = choose_tiles(fitting, task.tiles, task.pins)
    tiles = [_with_reason(chosen)]
    if task.pins:
        pins = pa.array(list(task.pins), pa.string())
        lost = pc.and_(
            pc.is_in(every["id"], pins),
            pc.invert(pc.is_in(every["id"], chosen["id"].combine_chunks())),
        )
        tiles.append(_with_reason(every.filter(lost), Reason.NO_TILE.value))
    return pa.concat_tables(tiles)


def _with_reason(tiles: pa.Table, reason: str | None = None) -> pa.Table:
    return tiles.append_column("reason", pa.array([reason] * len(tiles), pa.string()))


def _stack(embeddings: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Stack the embeddings of several shards; some shards have vectors of length 0."""
    length = max(part_ND.shape[1] for part_ND in embeddings)
    padded = [np.pad(part_ND, ((0, 0), (0, length - part_ND.shape[1]))) for part_ND in embeddings]
    return np.concatenate(padded)


def _select(recipe: Recipe, pools: Sequence[_Pool], pins: Pins) -> Selection:
    rows = pa.concat_tables([pool.rows for pool in pools]).combine_chunks()
    candidates = sum(pool.candidates for pool in pools)
    embeddings_ND = None
    if recipe.select.dedup.semantic is not None:
        embeddings_ND = _stack([pool.embeddings_ND for pool in pools])
    tiles, filters = None, recipe.filters
    if recipe.tiles is not None:
        tiles = pa.concat_tables([pool.tiles for pool in pools]).combine_chunks()
        of_images = {n: v for n, v in recipe.filters.min.items() if n not in tiles.column_names}
        filters = Filters(min=of_images | recipe.tiles.min)
    return select(
        rows,
        recipe.select,
        filters,
        load_taxonomy(recipe.label.taxonomy).names,
        recipe.seed,
        embeddings_ND,
        pins=pins,
        candidates=candidates,
        tiles=tiles,
    )


def _split(decisions: pa.Table, sizes: Sequence[int]) -> Iterator[pa.Table]:
    """Yield consecutive parts of so many rows each."""
    start = 0
    for size in sizes:
        # copied: a slice would take all rows along to a worker
        yield decisions.take(pa.array(np.arange(start, start + size)))
        start += size


def _tiles_of(selection: Selection, images: pa.Table) -> pa.Table | None:
    """Return the kept tiles of some images; None where whole images were chosen."""
    if selection.tiles is None:
        return None
    of_images = pc.is_in(selection.tiles["tile_of"], images["id"].combine_chunks())
    return selection.tiles.filter(of_images)


@dataclass(frozen=True)
class _WriteTask:
    """Shards of the ledger to write, and the decisions on their rows."""

    folder: RunFolder
    shards: Sequence[str]
    decisions: pa.Table
    reviewed: _Reviewed
    tiles: pa.Table | None
    """Kept tiles; None where whole images were chosen."""


@dataclass(frozen=True)
class _Written:
    """Result of a _WriteTask."""

    outputs: dict[str, str]
    """Path -> SHA-256."""
    counts: Counter[str]
    """Rows by reason."""
    kept: pa.Table


def _write_ledger(task: _WriteTask, report: Report) -> _Written:
    """Write the ledger of some shards, on a worker."""
    outputs: dict[str, str] = {}
    kept, counts = [], Counter[str]()
    for name in task.shards:
        rows = engine.rows_of(task.folder, StageName.SELECT.input_folders, name)
        ledger = _ledger(task.reviewed.apply(rows), task.decisions)
        path = f"ledger/{name}.parquet"
        outputs[path] = task.folder.write(path, engine.encode_table(ledger))
        counts.update(engine.count_reasons(ledger))
        images = ledger.filter(pc.equal(ledger["status"], "kept")).drop_columns(["tiles"])
        kept.append(images if task.tiles is None else _tile_rows(task, name, images))
    return _Written(outputs, counts, pa.concat_tables(kept))


def _tile_rows(task: _WriteTask, shard: str, images: pa.Table) -> pa.Table:
    """Return the manifest's rows of a shard's kept tiles: their own values, else their image's."""
    assert task.tiles is not None
    if not len(images):
        return images
    tiles = read_run_table(task.folder, tiles_path(shard))
    tiles = tiles.filter(pc.is_in(tiles["tile_of"], images["id"].combine_chunks()))
    decided = pc.index_in(tiles["id"], task.tiles["id"].combine_chunks())
    tiles, decided = tiles.filter(pc.is_valid(decided)), decided.drop_null()
    owner = pc.index_in(tiles["tile_of"], images["id"].combine_chunks()).combine_chunks()
    columns = {name: images[name].combine_chunks().take(owner) for name in images.column_names}
    # measures that tiles don't have are none of the image's either
    columns |= {name: pa.nulls(len(tiles), images[name].type) for name in _WHOLE_ONLY}
    for name in ("dup_cluster", "frequency_bin", "split"):
        columns[name] = task.tiles[name].combine_chunks().take(decided)
    columns |= {name: tiles[name] for name in tiles.column_names}
    places = zip(columns["url"].to_pylist(), boxes_of(tiles), strict=True)
    columns["url"] = pa.array([derived_url(url, fragment(box)) for url, box in places], pa.string())
    pixels = pc.multiply(tiles["width"].cast(pa.int64()), tiles["height"].cast(pa.int64()))
    return pa.table(columns | {"pixels": pixels}, images.schema)


def _ledger(rows: pa.Table, decisions: pa.Table) -> pa.Table:
    """Return a shard's ledger: all columns in the schema's order, then the input's own columns."""
    types = {column.name: column.type for column in LEDGER}
    place = pc.index_in(rows["id"], decisions["id"].combine_chunks())
    columns = {name: pa.nulls(len(rows), type_) for name, type_ in types.items()}
    columns |= {name: rows[name] for name in rows.column_names}
    for name in decisions.column_names:
        columns[name] = decisions[name].combine_chunks().take(place)
    columns["id"] = rows["id"]
    columns["reason"] = pc.coalesce(rows["reason"], columns["reason"])
    columns["status"] = pc.coalesce(columns["status"], "rejected")
    # paths of this machine stay private; an older version measured keypoints
    hidden = {*types, *LOCAL.names, "keypoints"}
    order = [*types, *(name for name in columns if name not in hidden)]
    return pa.table({n: columns[n].cast(types.get(n, columns[n].type)) for n in order})


def _write_manifests(whole: Shard, kept: pa.Table, recipe: Recipe) -> None:
    metadata = {
        "recipe": yaml.safe_dump(recipe.essence(), sort_keys=False, allow_unicode=True),
        "recipe_name": recipe.name,
        "recipe_fingerprint": fingerprint(recipe.essence()),
        "seed": str(recipe.seed),
    }
    columns = [column.name for column in MANIFEST]
    of_ledger = {column.name for column in LEDGER}
    # then the input's own columns that have any value
    for name in kept.column_names:
        if name not in of_ledger and kept[name].null_count < len(kept):
            columns.append(name)
    for split in ("train", "test"):
        table = kept.filter(pc.equal(kept["split"], split)).select(columns)
        with whole.create(f"manifest/{split}.parquet") as sink:
            sink.write(encode_manifest(table, metadata))


def read_summary(folder: RunFolder) -> dict[str, Any]:
    """Read the summary of the selection; see curate.stages.select.Selection.summary."""
    summary: dict[str, Any] = json.loads(folder.read(_SUMMARY))
    return summary


def write_report(folder: RunFolder, progress: Progress) -> StageOutcome:
    """Write the report and the dataset card.

    Raises:
        RunError: if the run has no selection.
    """
    selected = CommitRecord.read(folder, StageName.SELECT.folder, "whole")
    if selected is None:
        raise RunError(f"{folder} has nothing to report yet: run  curate select {folder}  first")

    def build(whole: Shard) -> dict[str, int]:
        from curate.stages.report import build_report  # matplotlib: only where figures are drawn

        build_report(whole)
        return {}

    input = fingerprint(selected.outputs)
    return engine.run_whole(folder, StageName.REPORT.folder, build, input, {"version": 5}, progress)


def write_comparison(runs: Sequence[str], out: str) -> None:
    """Write a page that shows several runs side by side.

    Args:
        runs: their folders, each of which has been selected.
        out: the HTML file to write.

    Raises:
        RunError: if a folder is named twice, or holds no selection.
    """
    from curate.stages.report import render_comparison  # matplotlib, as above

    folders = [RunFolder(run) for run in runs]
    if len(set(map(str, folders))) < len(folders):
        raise RunError(f"a run is named twice in {', '.join(runs)}: name each run once")
    for folder in folders:
        if CommitRecord.read(folder, StageName.SELECT.folder, "whole") is None:
            raise RunError(
                f"{folder} has nothing to report yet: run  curate select {folder}  first"
            )
    shards = dict(zip(_short_names(runs), (Shard("report", f) for f in folders), strict=True))
    atomic.write(out, render_comparison(shards).encode())


def _short_names(runs: Sequence[str]) -> list[str]:
    """Return the last parts of the runs' paths, as few as tell them apart."""
    parts = [run.rstrip("/").split("/") for run in runs]
    for length in range(1, max(map(len, parts))):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(runs)
