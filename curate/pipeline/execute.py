"""How a run goes: which stages, in which order, on which engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from typing import Any

from curate import engine
from curate.config import fingerprint
from curate.engine import Executor, Progress, RunFolder, ShardIndex, Stage, StageOutcome
from curate.errors import InputError, RunError
from curate.pipeline import recipe_changes
from curate.pipeline.earlier_picks import earlier_picks, named_picks, note_picks
from curate.pipeline.selection_step import SHOPPING, read_summary, write_report, write_selection
from curate.pipeline.tombstones import bury
from curate.recipe import Label, Recipe
from curate.stages.candidates import CandidateReader
from curate.stages.chain import (
    FOLDERS,
    SHARD_STAGES,
    STAGES,
    forget_other_shards,
    placed,
    retried,
    retry_reasons,
)
from curate.stages.label.weights import find_gpus, prepare_labeller

__all__ = ["STAGES", "RunOutcome", "plan", "run"]


@dataclass(frozen=True)
class _Input:
    """What candidates are read from."""

    reader: CandidateReader
    fingerprint: str
    before: tuple[engine.Source, ...] = ()
    """Sources of the run that stand before it, and"""
    after: tuple[engine.Source, ...] = ()
    """after it."""
    is_new: bool = True
    """Whether the run doesn't have it yet."""


@dataclass(frozen=True)
class RunOutcome:
    """What a run did and where its results lie."""

    folder: str
    stages: tuple[StageOutcome, ...]
    """In order."""
    passed_over: dict[str, int]
    """Lines of the input that are no candidates of their own: "blank" and "repeated" ones, and "known" ones, which an
    earlier input of the run has named. Of an img2dataset output also how many images are taken over, and how many are
    not, and why."""
    selection: dict[str, Any] = field(default_factory=dict)
    """What the selection aimed at and what it reached, if it was made."""

    @property
    def reasons(self) -> dict[str, int]:
        """Candidates by reason, those still in (after select: kept) under "ok"."""
        return next(
            (outcome.rows_out for outcome in reversed(self.stages) if outcome.stage != "report"), {}
        )

    @property
    def places(self) -> dict[str, str]:
        """Where the results of the stages that ran lie: what -> path."""
        results = {
            "select": {
                "train": "manifest/train.parquet",
                "test": "manifest/test.parquet",
                "ledger": "ledger",
                **({"lacking": SHOPPING} if self.selection.get("shopping", {}).get("rows") else {}),
            },
            "report": {"report": "report/index.html", "card": "manifest/README.md"},
        }
        ran = [results.get(outcome.stage, {}) for outcome in self.stages]
        return {what: f"{self.folder}/{path}" for found in ran for what, path in found.items()}


def run(
    recipe: Recipe | str | PathLike[str] | None,
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    out: str | PathLike[str] = "run",
    *,
    scheduler: str = "local",
    workers: int | None = None,
    stages: Sequence[str] = STAGES,
    redo_from: str | None = None,
    retry: Sequence[str] = (),
    verify: bool = False,
    grow: bool = False,
    progress: Progress | None = None,
) -> RunOutcome:
    """Curate: URLs in, manifest out. Running it again goes on where it stopped, and does nothing twice.

    Args:
        recipe: a Recipe, the path or name of one, or None for the recipe of an existing run.
        inputs: one or more lists of URLs, folders of images or img2dataset outputs; an existing run has its candidates
            already.
        out: the run folder, a path or any fsspec URL.
        scheduler: `local` (Dask workers on this machine), `serial`, or the address of a Dask scheduler.
        workers: number of local workers, one per core by default.
        stages: which to bring up to date, of STAGES.
        redo_from: a stage from which on the recipe may differ from the run's; that stage and later ones are made anew.
        retry: reasons whose candidates are asked for again, of shards that were fetched before; `transient` stands for
            all that may pass.
        verify: read every file of the run and compare its hash; by default only those that the file system shows to
            have changed since.
        grow: add what is new in the inputs to the candidates of an existing run; see `curate.grow`.
        progress: told what happens.

    Raises:
        CurateError: for everything that the caller can mend.
    """
    _check_stages(*stages, redo_from)
    again = retry_reasons(retry)
    folder = RunFolder(out)
    progress = progress or Progress()
    with folder.lock():
        inputs = [inputs] if isinstance(inputs, str | PathLike) else inputs
        # everything that can be refused is judged first: what it takes to redo a stage is days of fetching
        recipe = recipe_changes.settle(folder, recipe, redo_from)
        if verify:
            engine.distrust(folder)
        paths = [str(path) for path in inputs]
        source = _source(folder, recipe, paths, redo_from, grow) if "candidates" in stages else None
        pins = named_picks(folder, recipe) if "select" in stages else {}
        shard_stages = {
            name: build(recipe) for name, build in SHARD_STAGES.items() if name in stages
        }
        if again and "fetch" in stages:
            shard_stages["fetch"] = retried(shard_stages["fetch"], again)
        bury(folder, recipe.select.dedup)
        progress.run_started(folder.url, recipe.name, fingerprint(recipe.essence()))
        gpus = (
            find_gpus()
            if scheduler == "local" and "label" in stages and recipe.label.device != "cpu"
            else ()
        )
        with (
            _executor(folder, scheduler, workers, gpus)
            if shard_stages or "select" in stages
            else nullcontext()
        ) as executor:
            if executor is not None and "label" in stages:
                shard_stages["label"] = placed(shard_stages["label"], executor)
                if grow or _needs_labels(folder, redo_from):
                    engine.map_in_order(
                        executor, _prepare_labeller, [recipe.label], shard_stages["label"].resource
                    )
            index: ShardIndex | None
            begin = partial(_begin, folder, recipe, source, redo_from, grow)
            outcomes: list[StageOutcome] = []
            if "candidates" in stages:
                index, outcome = _read_candidates(folder, recipe, source, progress, begin)
                outcomes.append(outcome)
            else:
                begin()
                index = engine.read_index(folder)
            if index is None:
                raise RunError(
                    f"{folder} has no candidates yet: run  curate run RECIPE --input URLS --out {folder}"
                )
            bury(folder, recipe.select.dedup)
            if executor is not None:
                outcomes += _run_shards(
                    folder, recipe, list(shard_stages.values()), index, executor, progress
                )
            if "select" in stages:
                assert executor is not None
                pins = earlier_picks(folder) | pins
                outcomes.append(
                    write_selection(folder, recipe, index.shards, executor, progress, pins)
                )
        if "report" in stages:
            outcomes.append(write_report(folder, progress))
        recipe_changes.end(folder)
    selection = read_summary(folder) if "select" in stages else {}
    notes = index.sources[len(source.before)].notes if source is not None else index.notes
    return RunOutcome(folder.url, tuple(outcomes), notes, selection)


def plan(
    recipe: Recipe | str | PathLike[str] | None,
    inputs: Sequence[str | PathLike[str]] = (),
    out: str | PathLike[str] = "run",
    *,
    redo_from: str | None = None,
) -> dict[str, str]:
    """What `run` with the same arguments would find and do: a line for each stage. Nothing is written.

    Raises:
        CurateError: what `run` would refuse the recipe, the inputs or `redo_from` for. Inputs may be left out.
    """
    _check_stages(redo_from)
    folder = RunFolder(out)
    recipe = recipe_changes.settle(folder, recipe, redo_from)
    index = engine.read_index(folder)
    source = _source(folder, recipe, [str(path) for path in inputs], redo_from) if inputs else None
    if index is None:
        return dict.fromkeys(STAGES, "to do")
    shards = len(index.shards)
    found = {"candidates": f"{shards} shards, {index.rows} candidates"}
    for stage in SHARD_STAGES:
        committed = len(folder.names(FOLDERS[STAGES.index(stage)], ".json"))
        found[stage] = (
            "to do" if not committed else f"{committed} of {shards} shards, to be checked"
        )
    for stage in ("select", "report"):
        found[stage] = "there, to be checked" if folder.exists(f"{stage}/whole.json") else "to do"
    if redo_from is not None and not recipe_changes.is_under_way(
        folder, recipe, _fingerprint(source), redo_from
    ):
        anew = dict.fromkeys(STAGES[STAGES.index(redo_from) :], "to be made anew")
        found |= anew | ({"fetch": "to be made anew from what is there"} if "fetch" in anew else {})
    return found


def _run_shards(
    folder: RunFolder,
    recipe: Recipe,
    stages: Sequence[Stage],
    index: ShardIndex,
    executor: Executor,
    progress: Progress,
) -> list[StageOutcome]:
    """Bring the shards up to date; once more without what has turned out to be a copy of what was removed."""
    while True:
        done = [
            engine.run_stage(folder, stage, index.shards, index.rows, executor, progress)
            for stage in stages
        ]
        if not bury(folder, recipe.select.dedup):
            return done


def _prepare_labeller(config: Label, report: Callable[[Any], None]) -> None:
    prepare_labeller(config)


def _executor(
    folder: RunFolder, scheduler: str, workers: int | None, gpus: Sequence[str]
) -> AbstractContextManager[Executor]:
    if not folder.is_shared and scheduler != "serial":
        raise RunError(f"{folder} is seen by this process only: use --scheduler serial with it")
    return engine.open_executor(scheduler, workers, gpus)


def _check_stages(*names: str | None) -> None:
    for name in names:
        if name is not None and name not in STAGES:
            raise RunError(f"no stage {name!r}: the stages are {', '.join(STAGES)}")


def _begin(
    folder: RunFolder, recipe: Recipe, source: _Input | None, redo_from: str | None, grow: bool
) -> None:
    """Begin to change the run; before it grows, note what was picked."""
    if grow and source is not None and (source.is_new or redo_from is not None):
        note_picks(folder)
    recipe_changes.begin(folder, recipe, _fingerprint(source), redo_from)


def _fingerprint(source: _Input | None) -> str | None:
    return None if source is None else source.fingerprint


def _needs_labels(folder: RunFolder, redo_from: str | None) -> bool:
    """Whether any shard is going to be labelled, as far as can be told without reading the images again."""
    index = engine.read_index(folder)
    if index is None or STAGES.index(redo_from or "report") <= STAGES.index("label"):
        return True
    return len(folder.names("labelled", ".json")) < len(index.shards)


def _source(
    folder: RunFolder,
    recipe: Recipe,
    inputs: Sequence[str],
    redo_from: str | None,
    grow: bool = False,
) -> _Input | None:
    """What the candidates are to be read from; None where the run is to go on with those it has.

    Raises:
        InputError: if there is nothing to read, or it can't be read.
        RunError: if the run was made from something else, and isn't to grow by it.
    """
    index = None if redo_from == "candidates" else engine.read_index(folder)
    if not inputs:
        if index is None:
            raise InputError(
                "name the candidates with --input: a list of URLs, or a folder of images"
            )
        return None
    input = CandidateReader(inputs, recipe.candidates).fingerprint()
    sources = index.sources if index is not None else ()
    place = len(sources)
    if index is not None and input in index.inputs:
        place = index.inputs.index(input)
    elif index is not None and not grow:
        raise RunError(
            f"the input differs from the one {folder} was made with: curate grow adds it to the run; add --from "
            "candidates to start anew with it, or choose another --out"
        )
    before, after = sources[:place], sources[place + 1 :]
    known = partial(
        engine.read_ids, folder, [shard for source in before for shard in source.shards]
    )
    reader = CandidateReader(inputs, recipe.candidates, known=known)
    return _Input(reader, input, before, after, is_new=place == len(sources))


def _read_candidates(
    folder: RunFolder,
    recipe: Recipe,
    source: _Input | None,
    progress: Progress,
    begin: Callable[[], None],
) -> tuple[ShardIndex, StageOutcome]:
    if source is None:
        begin()
        return engine.resume_source(folder, progress)
    settings = fingerprint(recipe.candidates.essence())
    reader, places = source.reader, {"before": source.before, "after": source.after}
    index, outcome = engine.write_source(
        folder, reader, reader.notes, source.fingerprint, settings, progress, begin, **places
    )
    forget_other_shards(folder, index.shards)
    return index, outcome
