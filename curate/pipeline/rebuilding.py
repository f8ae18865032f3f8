"""A dataset from its published list: each image is fetched again, held against its hash, and has its place again."""

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
from curate.manifest import LEDGER, MANIFEST, Manifest, encode_manifest
from curate.pipeline.link_rot import Rot, State, judge, tally
from curate.pipeline.published_list import Published, asking, read_published
from curate.pipeline.recipe_changes import RECIPE
from curate.recipe import Recipe
from curate.stages.candidates.reader import schema
from curate.stages.chain import build_stage, parse_retry
from curate.stages.fetch.shard import SCHEMA as FETCHED
from curate.stages.names import StageName

__all__ = ["Rebuilt", "rebuild"]

_STAGE = "rebuild"
_SUMMARY = f"{_STAGE}/summary.json"

# what must be as it was published -> the states that are kept
_ACCEPTED = {
    "bytes": (State.SAME, State.UNPROVEN),
    "picture": (State.SAME, State.UNPROVEN, State.RECODED),
}
_REASONS = {State.RECODED: Reason.RECODED, State.CHANGED: Reason.CHANGED}
_LEDGER = {column.name: column.type for column in LEDGER}
_OF_CANDIDATES = frozenset(schema(()).names)
_VERDICT = ("state", "distance", "published_sha256")
"""What the ledger of a rebuild has beside a ledger's columns."""
_REQUIRED = [column.name for column in MANIFEST if column.required]


@dataclass(frozen=True)
class Rebuilt:
    """What came of a list."""

    rot: Rot
    kept: dict[str, int]
    """Split -> images of its manifest."""
    left_out: dict[str, int]
    """Reason -> images that are in none."""
    passed_over: dict[str, int]
    """Lines of the list that are no images of their own: "blank", and "repeated" ones."""

    def to_json(self) -> str:
        """All of it, as one JSON object."""
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
    """Fetch every image of a published list, and write manifests of those that are still what was published.

    `out` is a run folder: images in `images/`, a row for every image of the list in `ledger/`, kept or not, and
    `manifest/train.parquet` and `manifest/test.parquet` in the list's order. The same call goes on where the last one
    stopped, and ends with the same bytes.

    Args:
        source: a manifest, or a list of URLs in any form that candidates come in; its columns of a manifest's names
            (sha256, split, category, ...) are what was published.
        out: the run folder, a path or any fsspec URL.
        accept: `bytes` keeps what has the published SHA-256, and what has none to be held against; `picture` also
            copies that were encoded anew or resized, with measures of their own.
        recipe: how to ask, and what to measure, a Recipe or the path or name of one; by default the folder's, else the
            defaults, measuring what the manifest says was measured. Its filters don't matter.
        settings: `a.b=c` overrides of it.
        folders: where local images are on this machine; see `read_published`.
        retry: reasons whose images are asked for again, if that was done before; `transient` stands for all that may
            pass.
        scheduler: `local`, `serial`, or the address of a Dask scheduler.
        workers: number of local workers, one per core by default.
        progress: told what happens.

    Raises:
        CurateError: for everything that the caller can mend.
    """
    again, progress, folder = parse_retry(retry), progress or Progress(), RunFolder(out)
    if accept not in _ACCEPTED:
        raise RunError(f"--accept takes {' or '.join(_ACCEPTED)}, not {accept!r}")
    if not folder.is_shared and scheduler != "serial":
        raise RunError(f"{folder} is seen by this process only: use --scheduler serial with it")
    published = read_published(str(source), [str(path) for path in folders])
    with folder.lock():
        recipe = asking(published, recipe, folder.url, settings)
        form = fingerprint(recipe.candidates.essence())
        _check_folder(folder, published, form)
        progress.run_started(folder.url, recipe.name, fingerprint(recipe.essence()))
        stages = [build_stage(name, recipe, again) for name in (StageName.FETCH, StageName.MEASURE)]
        folder.write(RECIPE, recipe.to_yaml().encode())
        tables, notes = (
            published.tables(recipe.candidates.shard_size),
            lambda: dict(published.passed_over),
        )
        index, _ = engine.write_source(folder, tables, notes, published.fingerprint, form, progress)
        with engine.open_executor(scheduler, workers) as executor:
            engine.run_stages(folder, stages, index.shards, index.rows, executor, progress)
        return _write(folder, published, index.shards, accept, progress)


def _check_folder(folder: RunFolder, published: Published, form: str) -> None:
    index = engine.read_index(folder)
    if index is not None and (index.inputs, index.config) != ((published.fingerprint,), form):
        raise RunError(
            f"{folder} was made from another list than {published.source}, or with other folders or shards: choose "
            "another --out"
        )


def _write(
    folder: RunFolder, published: Published, shards: Sequence[str], accept: str, progress: Progress
) -> Rebuilt:
    """The ledger, the manifests and the summary, unless they are there."""
    ledgers, verdicts, start = {}, [], 0
    for shard in shards:
        found = engine.rows_of(folder, StageName.LABEL.input_folders, shard)
        facts = published.facts.slice(start, len(found))
        start += len(found)
        verdicts.append(judge(facts, found))
        ledgers[shard] = _ledger(facts, found, verdicts[-1], accept)
    whole = pa.concat_tables(ledgers.values())
    kept = whole.filter(pc.equal(whole["status"], "kept"))
    rejected = engine.count_reasons(whole.filter(pc.equal(whole["status"], "rejected")))
    splits = {split: kept.filter(pc.equal(kept["split"], split)) for split in ("train", "test")}
    rot = tally(pa.concat_tables(verdicts), published.facts)
    rebuilt = Rebuilt(
        rot, {s: len(t) for s, t in splits.items()}, rejected, dict(published.passed_over)
    )

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

    input = fingerprint(
        [published.fingerprint, engine.input_of(folder, StageName.LABEL.input_folders, shards)]
    )
    engine.run_whole(folder, _STAGE, build, input, {"accept": accept, "version": 1}, progress)
    return rebuilt


def _ledger(facts: pa.Table, found: pa.Table, verdicts: pa.Table, accept: str) -> pa.Table:
    """All that is known of each image: what came of it, and of the same bytes whatever was published."""
    same = pc.equal(verdicts["state"], State.SAME.value)
    measured = [column.name for column in MANIFEST if column.stage == "measure"]
    # other cut-offs of the frequency ratio are columns of their own
    measured += [name for name in found.column_names if name not in {*_LEDGER, *_OF_CANDIDATES}]
    columns = {name: facts[name] for name in facts.column_names} | {
        name: found[name] for name in FETCHED.names
    }
    for name in measured:
        if name in facts.column_names:
            known = pc.if_else(same, facts[name], pa.scalar(None, facts[name].type))
            columns[name] = pc.coalesce(found[name].cast(known.type), known)
        else:
            columns[name] = found[name]
    accepted = pc.is_in(verdicts["state"], pa.array([state.value for state in _ACCEPTED[accept]]))
    # bytes that nobody could measure, neither here nor where they were published, can't be in a manifest
    kept = reduce(pc.and_, (pc.is_valid(columns[name]) for name in _REQUIRED), accepted)
    columns["status"] = pc.if_else(kept, "kept", "rejected")
    columns["reason"] = pc.if_else(
        kept, pa.scalar(None, pa.string()), pc.coalesce(found["reason"], _reasons(verdicts))
    )
    columns |= {
        "state": verdicts["state"],
        "distance": verdicts["distance"],
        "published_sha256": facts["sha256"],
    }
    names = dict.fromkeys([*_LEDGER, *columns])
    return pa.table(
        {name: columns[name].cast(_LEDGER.get(name, columns[name].type)) for name in names}
    )


def _reasons(verdicts: pa.Table) -> pa.ChunkedArray:
    """Why an image that came is left out."""
    reason = pa.scalar(None, pa.string())
    for state, why in _REASONS.items():
        reason = pc.if_else(pc.equal(verdicts["state"], state.value), why.value, reason)
    return reason


def _as_manifest(kept: pa.Table) -> pa.Table:
    """The columns of a manifest, and those of the list's own that hold anything."""
    known = [column.name for column in MANIFEST]
    own = [n for n in kept.column_names if n not in (*known, *_VERDICT, "status", "reason")]
    return kept.select([*known, *(n for n in own if kept[n].null_count < len(kept))])
