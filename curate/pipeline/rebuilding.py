"""Rebuild a dataset from its published list: fetch each image again and compare its hash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from os import PathLike

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.config import fingerprint
from curate.engine import Progress, RunFolder, Shard
from curate.errors import Reason, RunError
from curate.manifest import LEDGER, MANIFEST, NAMED_CATEGORIES, Manifest, encode_manifest
from curate.manifest.verdicts import Sidecar, Verdicts
from curate.pipeline.link_rot import LinkRot, State, judge, tally
from curate.pipeline.published_list import Published, fetching_recipe, read_published
from curate.pipeline.recipe_changes import write_recipe
from curate.recipe import Recipe
from curate.stages.candidates.reader import schema
from curate.stages.chain import build_stage, parse_retry
from curate.stages.fetch.shard import SCHEMA as FETCHED
from curate.stages.names import StageName

__all__ = ["Rebuilt", "rebuild"]

_STAGES = (StageName.FETCH, StageName.MEASURE)
_STAGE = "rebuild"
_SUMMARY = f"{_STAGE}/summary.json"

# value of --accept -> states of images that enter the manifests
_ACCEPTED = {
    "bytes": (State.SAME, State.UNPROVEN),
    "picture": (State.SAME, State.UNPROVEN, State.RECODED),
}
_REASONS = {State.RECODED: Reason.RECODED, State.CHANGED: Reason.CHANGED}
_LEDGER = {column.name: column.type for column in LEDGER}
_OF_CANDIDATES = frozenset(schema(()).names)
_JUDGED = ("state", "distance", "published_sha256")
"""Columns of a rebuild's ledger that other ledgers don't have."""
_REQUIRED = [column.name for column in MANIFEST if column.required]
_BROAD = {name: broad for broad, names in NAMED_CATEGORIES.items() for name in names}
_BROAD |= {f"{broad} others": broad for broad in NAMED_CATEGORIES}


@dataclass(frozen=True)
class Rebuilt:
    """Outcome of rebuilding a list."""

    rot: LinkRot
    kept: dict[str, int]
    """Split -> images in its manifest."""
    left_out: dict[str, int]
    """Reason -> images in no manifest."""
    passed_over: dict[str, int]
    """Lines of the list that add no image: "blank" and "repeated" ones."""

    def to_json(self) -> str:
        """Return all counts as one JSON object."""
        return json.dumps(asdict(self), indent=1)


def rebuild(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    accept: str = "bytes",
    recipe: Recipe | str | PathLike[str] | None = None,
    settings: Sequence[str] = (),
    folders: Sequence[str | PathLike[str]] = (),
    retry: Sequence[str] = (),
    scheduler: str = "local",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Rebuilt:
    """Fetch every image of a published list, and write manifests of the unchanged ones.

    `out` is a run folder: images are in `images/`, and `ledger/` has a row for every image of the
    list, kept or rejected. `manifest/train.parquet` and `manifest/test.parquet` follow the list's
    order. After a kill the same call resumes, and ends with the same bytes.

    Args:
        source: a manifest, or a list of URLs in any form that candidates come in; columns with a
            manifest's names (sha256, split, category, ...) hold what was published.
        out: the run folder, a path or any fsspec URL.
        accept: `bytes` keeps images with the published SHA-256, and images for which none was
            published; `picture` also keeps re-encoded and resized copies, with their own measures.
        recipe: settings of download and measures, a Recipe or the path or name of one; by default
            the folder's, else the defaults with the manifest's measures. Filters are ignored.
        settings: `a.b=c` overrides of it.
        folders: folders of local images on this machine; see `read_published`.
        retry: reasons whose images are requested again; `transient` stands for every reason that
            may pass.
        scheduler: `local`, `serial`, or the address of a Dask scheduler.
        workers: number of local workers, one per core by default.
        progress: callbacks for what happens.

    Raises:
        CurateError: for every error that the caller can mend.
    """
    retried, progress, folder = parse_retry(retry), progress or Progress(), RunFolder(out)
    if accept not in _ACCEPTED:
        raise RunError(f"--accept takes {' or '.join(_ACCEPTED)}, not {accept!r}")
    if not folder.is_shared and scheduler != "serial":
        raise RunError(f"{folder} is seen by this process only: use --scheduler serial with it")
    published = read_published(str(source), [str(path) for path in folders])
    with folder.lock():
        recipe = fetching_recipe(published, recipe, folder.url, settings)
        form = fingerprint(recipe.candidates.essence())
        _check_folder(folder, published, form)
        progress.run_started(folder.url, recipe.name, fingerprint(recipe.essence()))
        stages = [build_stage(name, recipe, retried) for name in _STAGES]
        write_recipe(folder, recipe)
        tables = published.tables(recipe.candidates.shard_size)
        notes = dict(published.passed_over)
        index, _ = engine.write_source(
            folder, tables, notes.copy, published.fingerprint, form, progress
        )
        with engine.open_executor(scheduler, workers) as executor:
            engine.run_stages(folder, stages, index.shards, index.rows, executor, progress)
        return _write(folder, published, index.shards, accept, progress)


def _check_folder(folder: RunFolder, published: Published, form: str) -> None:
    index = engine.read_index(folder)
    if index is not None and (index.inputs, index.config) != ((published.fingerprint,), form):
        raise RunError(
            f"{folder} was made from another list than {published.source}, or with other folders "
            "or shards: choose another --out"
        )


def _write(
    folder: RunFolder, published: Published, shards: Sequence[str], accept: str, progress: Progress
) -> Rebuilt:
    """Write the ledger, the manifests and the summary, unless they are up to date."""
    # the list's reviewers have seen these images as well as the folder's own
    verdicts = Verdicts.read(Sidecar.of(published.source), Sidecar.of_run(folder))
    ledgers, judged, start = {}, [], 0
    for shard in shards:
        found = engine.rows_of(folder, StageName.LABEL.input_folders, shard)
        facts = published.facts.slice(start, len(found))
        start += len(found)
        judged.append(judge(facts, found))
        ledgers[shard] = _ledger(facts, found, judged[-1], accept, verdicts)
    whole = pa.concat_tables(ledgers.values())
    kept = whole.filter(pc.equal(whole["status"], "kept"))
    rejected = engine.count_reasons(whole.filter(pc.equal(whole["status"], "rejected")))
    splits = {split: kept.filter(pc.equal(kept["split"], split)) for split in ("train", "test")}
    rot = tally(pa.concat_tables(judged), published.facts)
    sizes = {split: len(table) for split, table in splits.items()}
    rebuilt = Rebuilt(rot, sizes, rejected, dict(published.passed_over))

    def build(shard: Shard) -> dict[str, int]:
        for name, ledger in ledgers.items():
            with shard.create(f"ledger/{name}.parquet") as sink:
                sink.write(engine.encode_table(ledger))
        as_published = Manifest(published.source, published.facts, {}).fingerprint
        metadata = {**published.metadata, "rebuilt": f"{as_published}, same {accept}"}
        for split, table in splits.items():
            with shard.create(f"manifest/{split}.parquet") as sink:
                sink.write(encode_manifest(_as_manifest(table), metadata))
        with shard.create(_SUMMARY) as sink:
            sink.write(rebuilt.to_json().encode())
        return engine.count_reasons(whole)

    measured = engine.input_of(folder, StageName.LABEL.input_folders, shards)
    input = fingerprint([published.fingerprint, measured])
    settings = {"accept": accept, "verdicts": verdicts.essence, "version": 2}
    engine.run_whole(folder, _STAGE, build, input, settings, progress)
    return rebuilt


def _ledger(
    facts: pa.Table, found: pa.Table, judged: pa.Table, accept: str, verdicts: Verdicts
) -> pa.Table:
    """Join each image's new rows with its published facts, valid where the bytes are equal."""
    same = pc.equal(judged["state"], State.SAME.value)
    measured = [column.name for column in MANIFEST if column.stage == "measure"]
    # other cut-offs of the frequency ratio are columns of their own
    measured += [name for name in found.column_names if name not in {*_LEDGER, *_OF_CANDIDATES}]
    columns = dict(zip(facts.column_names, facts.columns, strict=True))
    columns |= {name: found[name] for name in FETCHED.names}
    # a measure taken here wins; a published one holds only for the very same bytes
    for name in measured:
        if name in facts.column_names:
            known = pc.if_else(same, facts[name], pa.scalar(None, facts[name].type))
            columns[name] = pc.coalesce(found[name].cast(known.type), known)
        else:
            columns[name] = found[name]
    accepted = pc.is_in(judged["state"], pa.array(_ACCEPTED[accept], pa.string()))
    # an image without a required measure, from here or from the list, can't be in a manifest
    kept = reduce(pc.and_, (pc.is_valid(columns[name]) for name in _REQUIRED), accepted)
    reasons = pc.coalesce(found["reason"], _reasons(judged))
    columns |= {
        "status": pc.if_else(kept, "kept", "rejected"),
        "reason": pc.if_else(kept, pa.scalar(None, pa.string()), reasons),
        "state": judged["state"],
        "distance": judged["distance"],
        "published_sha256": facts["sha256"],
    }
    reviewed = verdicts.apply(pa.table(columns), _BROAD)
    columns = dict(zip(reviewed.column_names, reviewed.columns, strict=True))
    dropped = pc.fill_null(pc.equal(columns["reason"], str(Reason.DROPPED_BY_REVIEW)), False)
    columns["status"] = pc.if_else(dropped, "rejected", columns["status"])
    empty = {name: pa.nulls(len(reviewed), type_) for name, type_ in _LEDGER.items()}
    columns = empty | columns
    types = {name: column.type for name, column in columns.items()} | _LEDGER
    return pa.table({name: column.cast(types[name]) for name, column in columns.items()})


def _reasons(judged: pa.Table) -> pa.ChunkedArray:
    """Return the reason for each downloaded image that isn't accepted; null for others."""
    reason = pa.scalar(None, pa.string())
    for state, why in _REASONS.items():
        reason = pc.if_else(pc.equal(judged["state"], state.value), why.value, reason)
    return reason


def _as_manifest(kept: pa.Table) -> pa.Table:
    """Select the columns of a manifest, and the list's own columns that aren't empty."""
    known = [column.name for column in MANIFEST]
    not_own = {*_LEDGER, *_JUDGED}
    own = [n for n in kept.column_names if n not in not_own and kept[n].null_count < len(kept)]
    return kept.select([*known, *own])
